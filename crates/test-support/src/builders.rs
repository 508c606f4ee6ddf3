//! Valid values for tests that care about one field and not about the others:
//! `User { role: Role::Admin, ..a_user() }`.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ApiKey, ApiKeyHash, ApiKeyId, ApiKeyName, AudioFormat, AuditAction, AuditEntry, ChatRole, ChatStream, ChatStreamId,
    ChatStreamState, CodePurpose, Conversation, ConversationId, FinishReason, ImageSize, LlmId, MediaId, MediaRecord,
    MediaSettings, MediaState, Message, MessageId, MessageStatus, ModelDefaults, ModelName, NamedModel, OneTimeCode,
    OneTimeCodeHash, PasswordHash, Pitch, Prompt, RefreshTokenHash, Role, SamplingParameters, SamplingRequest, Scope, Seed,
    Session, SessionId, Speed, TextGeneration, TextGenerationId, TokenReservation, TokenUsage, User, UserId, Username, VoiceName,
};
use ports::{GenerationInput, GenerationRequest, NewUser, Owner, SignInTerms};
use uuid::{Builder, Uuid};

/// Noon in UTC on the first of January 2026: the time of everything that is built here.
pub fn a_time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_268_800, 0).unwrap()
}

/// A number that no other call in this process gets.
fn a_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// A UUID of version 7 whose time is [`a_time`], greater than every one before it in this process.
pub fn a_uuid() -> Uuid {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&a_number().to_be_bytes());
    let millis = u64::try_from(a_time().timestamp_millis()).unwrap();
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// A user's identifier.
pub fn a_user_id() -> UserId {
    UserId::new(a_uuid())
}

/// An account with a name of its own, no address, and the role of a user.
pub fn a_user() -> User {
    User { id: a_user_id(), username: a_username(), email: None, role: Role::User, disabled: false, created_at: a_time() }
}

/// A name that no other call gets.
pub fn a_username() -> Username {
    Username::new(format!("user-{}", a_number())).unwrap()
}

/// An account about to be made, with a name of its own and no address.
pub fn a_new_user() -> NewUser {
    NewUser {
        id: a_user_id(),
        username: a_username(),
        email: None,
        password_hash: PasswordHash::new("a hash"),
        created_at: a_time(),
    }
}

/// A sign-in of this user that lasts 30 days.
pub fn a_session(user_id: UserId) -> Session {
    Session {
        id: SessionId::new(a_uuid()),
        user_id,
        created_at: a_time(),
        last_used_at: a_time(),
        expires_at: a_time() + TimeDelta::days(30),
        revoked_at: None,
        client: Some("a browser".into()),
        address: Some("127.0.0.1".into()),
    }
}

/// The terms of whoever proved the password of [`a_new_user`], with room for more sessions than a story has.
pub fn sign_in_terms() -> SignInTerms {
    SignInTerms { proven: a_new_user().password_hash, max_sessions: 1000 }
}

/// A refresh token's hash that no other call gets.
pub fn a_token_hash() -> RefreshTokenHash {
    RefreshTokenHash::new(format!("{:064x}", a_number()))
}

/// A key of this user for texts, with a prefix of its own and without an end.
pub fn an_api_key(user_id: UserId) -> ApiKey {
    ApiKey {
        id: ApiKeyId::new(a_uuid()),
        user_id,
        name: ApiKeyName::new("a script").unwrap(),
        prefix: format!("tt_{:08x}", a_number()),
        scopes: vec![Scope::Text],
        created_at: a_time(),
        expires_at: None,
        last_used_at: None,
    }
}

/// A key's hash that no other call gets.
pub fn an_api_key_hash() -> ApiKeyHash {
    ApiKeyHash::new(format!("{:064x}", a_number()))
}

/// A hundred tokens of this user's, set aside on the day of [`a_time`] for an hour.
pub fn a_token_reservation(user_id: UserId) -> TokenReservation {
    TokenReservation {
        id: a_uuid(),
        user_id,
        api_key_id: None,
        tokens: 100,
        day: a_time().date_naive(),
        expires_at: a_time() + TimeDelta::hours(1),
    }
}

/// That somebody signed in, from this very machine.
pub fn an_audit_entry() -> AuditEntry {
    AuditEntry {
        occurred_at: a_time(),
        action: AuditAction::SignedIn,
        actor: Some(a_user_id()),
        subject: "user:somebody".into(),
        address: Some("127.0.0.1".into()),
        detail: String::new(),
    }
}

/// A code for this purpose, made on the command line, that works for an hour.
pub fn a_one_time_code(purpose: CodePurpose) -> OneTimeCode {
    OneTimeCode { id: a_uuid(), purpose, created_by: None, created_at: a_time(), expires_at: a_time() + TimeDelta::hours(1) }
}

/// A one-time code's hash that no other call gets.
pub fn a_code_hash() -> OneTimeCodeHash {
    OneTimeCodeHash::new(format!("{:064x}", a_number()))
}

/// Parameters with the defaults everywhere and seed 42.
pub fn some_parameters() -> SamplingParameters {
    SamplingParameters::resolve(SamplingRequest::default(), &ModelDefaults::default(), Seed::new(42).unwrap()).unwrap()
}

/// A finished text of this user.
pub fn a_text_generation(user_id: UserId) -> TextGeneration {
    TextGeneration {
        id: TextGenerationId::new(a_uuid()),
        user_id,
        prompt: "Once upon".into(),
        generated_text: "Once upon a time".into(),
        model: ModelName::new("default").unwrap(),
        llm: LlmId::parse("bundled:fairy-tales").unwrap(),
        weights_digest: Some("0".repeat(64)),
        parameters: some_parameters(),
        usage: TokenUsage { prompt_tokens: 2, completion_tokens: 2 },
        finish_reason: FinishReason::Stop,
        truncated_tokens: 0,
        queued_ms: Some(1),
        first_token_ms: Some(5),
        duration_ms: 12,
        edited: false,
        created_at: a_time(),
    }
}

/// A finished recording of this user's, or of nobody's.
pub fn a_speech_record(user_id: Option<UserId>) -> MediaRecord {
    let settings = MediaSettings::Speech {
        voice: VoiceName::default(),
        format: AudioFormat::Mp3,
        speed: Speed::default(),
        pitch: Pitch::default(),
    };
    a_media_record(user_id, "espeak", settings)
}

/// A finished picture of this user's, or of nobody's.
pub fn a_picture_record(user_id: Option<UserId>) -> MediaRecord {
    let settings = MediaSettings::Image { size: ImageSize::default(), seed: Seed::new(42).unwrap() };
    a_media_record(user_id, "pollinations", settings)
}

fn a_media_record(user_id: Option<UserId>, model: &str, settings: MediaSettings) -> MediaRecord {
    let uuid = a_uuid();
    MediaRecord {
        id: user_id.map_or_else(|| MediaId::anonymous(uuid, uuid.as_u128() << 7 | 1), |_| MediaId::owned(uuid)),
        user_id,
        prompt: "Once upon a time".into(),
        model: ModelName::new(model).unwrap(),
        settings,
        state: MediaState::Done { size_bytes: 16, finished_at: a_time() },
        created_at: a_time(),
    }
}

/// A conversation of this user without messages.
pub fn a_conversation(user_id: UserId) -> Conversation {
    Conversation::empty(ConversationId::new(a_uuid()), user_id, a_time())
}

/// A message of the user's that begins this conversation, or follows `parent`.
pub fn a_message(conversation_id: ConversationId, parent: Option<&Message>) -> Message {
    Message {
        id: MessageId::new(a_uuid()),
        conversation_id,
        parent_id: parent.map(|parent| parent.id),
        depth: parent.map_or(0, |parent| parent.depth + 1),
        role: ChatRole::User,
        content: "Hello".into(),
        status: MessageStatus::Done,
        model: None,
        usage: None,
        created_at: a_time(),
    }
}

/// A running answer to this message.
pub fn a_chat_stream(user_id: UserId, message: &Message) -> ChatStream {
    ChatStream {
        id: ChatStreamId::new(a_uuid()),
        user_id,
        conversation_id: message.conversation_id,
        parent_id: message.id,
        parent_depth: message.depth,
        message_id: MessageId::new(a_uuid()),
        model: ModelName::new("default").unwrap(),
        state: ChatStreamState::Running,
        started_at: a_time(),
        beat_at: a_time(),
        ended_at: None,
    }
}

/// A model of this name with the default defaults.
pub fn a_model(name: &str) -> NamedModel {
    NamedModel {
        name: ModelName::new(name).unwrap(),
        llm: LlmId::parse("bundled:fairy-tales").unwrap(),
        defaults: ModelDefaults::default(),
    }
}

/// A guest's request to go on with this prompt.
pub fn a_generation_request(prompt: &str) -> GenerationRequest {
    let input = GenerationInput::Text(Prompt::new(prompt, 10_000).unwrap());
    GenerationRequest::new(input, some_parameters(), Owner::Guests)
}
