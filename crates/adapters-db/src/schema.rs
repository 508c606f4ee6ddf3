//! The tables, as both databases have them. Every name here stands in `migrations/` too.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

table! {
    users (id) {
        id -> Text,
        username -> Text,
        email -> Nullable<Text>,
        password_hash -> Text,
        role -> Text,
        disabled -> Bool,
        created_at -> Timestamp,
    }
}

table! {
    sessions (id) {
        id -> Text,
        user_id -> Text,
        created_at -> Timestamp,
        last_used_at -> Timestamp,
        expires_at -> Timestamp,
        revoked_at -> Nullable<Timestamp>,
        client -> Nullable<Text>,
        address -> Nullable<Text>,
    }
}

table! {
    refresh_tokens (hash) {
        hash -> Text,
        session_id -> Text,
        spent_at -> Nullable<Timestamp>,
    }
}

table! {
    models (name) {
        name -> Text,
        llm -> Text,
        max_length -> BigInt,
        temperature -> Double,
        top_p -> Double,
    }
}

table! {
    user_model_defaults (user_id, model_name) {
        user_id -> Text,
        model_name -> Text,
        max_length -> BigInt,
        temperature -> Double,
        top_p -> Double,
    }
}

table! {
    text_generations (id) {
        id -> Text,
        user_id -> Text,
        prompt -> Text,
        generated_text -> Text,
        model -> Text,
        llm -> Text,
        weights_digest -> Nullable<Text>,
        parameters -> Text,
        prompt_tokens -> BigInt,
        completion_tokens -> BigInt,
        finish_reason -> Text,
        duration_ms -> BigInt,
        created_at -> Timestamp,
        truncated_tokens -> BigInt,
        queued_ms -> Nullable<BigInt>,
        first_token_ms -> Nullable<BigInt>,
        edited -> Bool,
    }
}

table! {
    api_keys (id) {
        id -> Text,
        user_id -> Text,
        name -> Text,
        prefix -> Text,
        hash -> Text,
        scopes -> Text,
        created_at -> Timestamp,
        expires_at -> Nullable<Timestamp>,
        last_used_at -> Nullable<Timestamp>,
    }
}

table! {
    token_reservations (id) {
        id -> Text,
        user_id -> Text,
        api_key_id -> Nullable<Text>,
        day -> Date,
        tokens -> BigInt,
        expires_at -> Timestamp,
    }
}

table! {
    token_days (user_id, day) {
        user_id -> Text,
        day -> Date,
        used -> BigInt,
        reserved -> BigInt,
    }
}

table! {
    api_key_token_days (api_key_id, day) {
        api_key_id -> Text,
        day -> Date,
        used -> BigInt,
        reserved -> BigInt,
    }
}

table! {
    audit_events (sequence) {
        sequence -> BigInt,
        occurred_at -> Timestamp,
        action -> Text,
        actor -> Nullable<Text>,
        subject -> Text,
        address -> Nullable<Text>,
        detail -> Text,
        previous_hash -> Text,
        hash -> Text,
    }
}

table! {
    audit_head (id) {
        id -> BigInt,
        sequence -> BigInt,
        hash -> Text,
    }
}

table! {
    one_time_codes (id) {
        id -> Text,
        hash -> Text,
        purpose -> Text,
        user_id -> Nullable<Text>,
        created_by -> Nullable<Text>,
        created_at -> Timestamp,
        expires_at -> Timestamp,
    }
}

table! {
    limit_overrides (subject) {
        subject -> Text,
        user_id -> Nullable<Text>,
        api_key_id -> Nullable<Text>,
        requests_per_minute -> Nullable<BigInt>,
        tokens_per_day -> Nullable<BigInt>,
    }
}

table! {
    conversations (id) {
        id -> Text,
        user_id -> Text,
        is_default -> Bool,
        title -> Nullable<Text>,
        folded_title -> Nullable<Text>,
        system_prompt -> Nullable<Text>,
        model -> Nullable<Text>,
        parameters -> Text,
        memory -> Nullable<Text>,
        pinned -> Bool,
        active_message -> Nullable<Text>,
        summary -> Nullable<Text>,
        summary_up_to -> Nullable<Text>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

table! {
    messages (id) {
        id -> Text,
        conversation_id -> Text,
        parent_id -> Nullable<Text>,
        depth -> BigInt,
        role -> Text,
        content -> Text,
        folded_content -> Text,
        status -> Text,
        model -> Nullable<Text>,
        prompt_tokens -> Nullable<BigInt>,
        completion_tokens -> Nullable<BigInt>,
        created_at -> Timestamp,
    }
}

table! {
    chat_streams (id) {
        id -> Text,
        user_id -> Text,
        conversation_id -> Text,
        parent_id -> Text,
        parent_depth -> BigInt,
        message_id -> Text,
        model -> Text,
        state -> Text,
        stop_requested -> Bool,
        attended_until -> Nullable<Timestamp>,
        started_at -> Timestamp,
        beat_at -> Timestamp,
        ended_at -> Nullable<Timestamp>,
    }
}

table! {
    chat_stream_pieces (stream_id, first_number) {
        stream_id -> Text,
        first_number -> BigInt,
        pieces -> Text,
    }
}

table! {
    media (id) {
        id -> Text,
        kind -> Text,
        user_id -> Nullable<Text>,
        prompt -> Text,
        model -> Text,
        settings -> Text,
        status -> Text,
        failure -> Nullable<Text>,
        size_bytes -> Nullable<BigInt>,
        created_at -> Timestamp,
        finished_at -> Nullable<Timestamp>,
    }
}

joinable!(sessions -> users (user_id));
joinable!(api_keys -> users (user_id));
joinable!(refresh_tokens -> sessions (session_id));
allow_tables_to_appear_in_same_query!(users, sessions, refresh_tokens);
allow_tables_to_appear_in_same_query!(models, user_model_defaults);
allow_tables_to_appear_in_same_query!(users, api_keys);
allow_tables_to_appear_in_same_query!(conversations, messages);
