//! Settings of conversations, and of the answers that outlive their connection.

use std::time::Duration;

use super::{ConfigError, Reader};

/// What a model is told, and how much of everything there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChatConfig {
    /// What a model is told where its conversation does not say; empty for nothing.
    pub(crate) system_prompt: String,
    /// How long an answer goes on without a reader, and can be taken up after its end.
    pub(crate) resume_window: Duration,
    /// The most answers that this process makes at a time.
    pub(crate) max_streams: usize,
    /// The most messages of a conversation, all branches together.
    pub(crate) max_messages: u32,
    /// The most conversations of a user.
    pub(crate) max_conversations: u32,
    /// The most messages of a branch that are looked at for an answer.
    pub(crate) max_context_messages: u32,
    /// The context, in tokens, of a provider's model that does not tell its own.
    pub(crate) unknown_context_tokens: u32,
    /// The most conversations of one import, and the largest body of it.
    pub(crate) max_import_conversations: usize,
    pub(crate) max_import_bytes: usize,
}

impl ChatConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            system_prompt: reader.text_or("SYSTEM_PROMPT", ""),
            resume_window: reader.seconds("STREAM_RESUME_SECONDS", 30, 0..=3600)?,
            max_streams: reader.number("MAX_CHAT_STREAMS", 1024, 1..=100_000)?,
            max_messages: reader.number("MAX_CONVERSATION_MESSAGES", 10_000, 2..=1_000_000)?,
            max_conversations: reader.number("MAX_CONVERSATIONS_PER_USER", 10_000, 1..=1_000_000)?,
            max_context_messages: reader.number("MAX_CONTEXT_MESSAGES", 500, 2..=10_000)?,
            unknown_context_tokens: reader.number("UNKNOWN_CONTEXT_TOKENS", 8192, 256..=1 << 20)?,
            max_import_conversations: reader.number("MAX_IMPORT_CONVERSATIONS", 1000, 1..=100_000)?,
            max_import_bytes: reader.number("MAX_IMPORT_BYTES", 16 << 20, 1024..=1 << 30)?,
        })
    }
}
