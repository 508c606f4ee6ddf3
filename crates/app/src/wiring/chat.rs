//! Conversations.

use std::sync::Arc;

use adapters_db::{DbChatStreamStore, DbConversationStore, DbModelStore, DbPool};
use ports::{Background, LanguageModels};
use services::{ChatLimits, ChatPorts, ChatService, LimitService};

use super::Shared;
use crate::config::Config;
use crate::system::TokioTimer;

/// One user may have this share of the answers that are made at the same time.
const STREAM_SHARES: usize = 8;

/// Joins the use cases around conversations and what they stand on.
pub(super) fn service(
    config: &Config,
    shared: &Shared,
    database: &DbPool,
    language_models: Arc<dyn LanguageModels>,
    background: Arc<dyn Background>,
    token_limits: LimitService,
) -> ChatService {
    let ports = ChatPorts {
        conversations: Arc::new(DbConversationStore::new(database.clone())),
        streams: Arc::new(DbChatStreamStore::new(database.clone())),
        models: Arc::new(DbModelStore::new(database.clone())),
        language_models,
        background,
        timer: Arc::new(TokioTimer),
        clock: Arc::clone(&shared.clock),
        randomness: Arc::clone(&shared.randomness),
    };
    let chat = &config.chat;
    let limits = ChatLimits {
        message_characters: config.generations.max_prompt_characters,
        conversation_messages: chat.max_messages,
        user_conversations: chat.max_conversations,
        context_messages: chat.max_context_messages,
        unknown_context_tokens: chat.unknown_context_tokens,
        import_conversations: chat.max_import_conversations,
        running_streams: chat.max_streams,
        // Whoever has a page open in every window does not take them all.
        running_streams_a_user: chat.max_streams.div_ceil(STREAM_SHARES),
        resume_window: chat.resume_window,
    };
    ChatService::new(ports, config.model.name.clone(), &chat.system_prompt, limits, token_limits, shared.audit_trail())
}
