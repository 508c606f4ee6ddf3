//! Conversations.

use chrono::{DateTime, Utc};
use domain::{Conversation, Memory, MessageId, Page, PageLimit, PageRequest};
use serde::{Deserialize, Serialize};
use services::{ConversationEdit, ConversationQuery, ConversationSpec};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::sampling::ChatParameters;
use crate::dto::nullable;
use crate::{ApiError, cursor};

/// What becomes of turns that no longer fit the model's context.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MemoryName {
    /// They are left out.
    Newest,
    /// A summary by the model stands for them.
    Summary,
}

impl From<MemoryName> for Memory {
    fn from(name: MemoryName) -> Self {
        match name {
            MemoryName::Newest => Self::Newest,
            MemoryName::Summary => Self::Summary,
        }
    }
}

impl From<Memory> for MemoryName {
    fn from(memory: Memory) -> Self {
        match memory {
            Memory::Newest => Self::Newest,
            Memory::Summary => Self::Summary,
        }
    }
}

/// A conversation to be begun. All of it may be absent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConversationRequest {
    /// What it is called; its first message names it if this does not.
    #[schema(example = "Dragons", max_length = 200)]
    title: Option<String>,
    /// What the model is told before everything else; the server's own if absent, nothing if empty.
    #[schema(example = "You tell fairy tales.")]
    system_prompt: Option<String>,
    /// Which model answers; the default one if absent.
    model: Option<String>,
    /// How its answers are made.
    #[serde(default)]
    parameters: ChatParameters,
    /// What becomes of old turns; what suits the model if absent: `summary` where it was trained to chat, else `newest`.
    memory: Option<MemoryName>,
    /// Whether it is at hand.
    #[serde(default)]
    pinned: bool,
}

impl From<ConversationRequest> for ConversationSpec {
    fn from(request: ConversationRequest) -> Self {
        Self {
            title: request.title,
            system_prompt: request.system_prompt,
            model: request.model,
            parameters: request.parameters.into(),
            memory: request.memory.map(Into::into),
            pinned: request.pinned,
        }
    }
}

/// What to change of a conversation: what is absent stays, `null` goes back to what applies where nothing is said.
#[expect(clippy::option_option, reason = "what is absent and what is null are two wishes")]
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConversationChangeRequest {
    /// What it is called.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 200)]
    title: Option<Option<String>>,
    /// What the model is told before everything else.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    system_prompt: Option<Option<String>>,
    /// Which model answers.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    model: Option<Option<String>>,
    /// How its answers are made, all of it.
    parameters: Option<ChatParameters>,
    /// What becomes of old turns.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<MemoryName>)]
    memory: Option<Option<MemoryName>>,
    /// Whether it is at hand.
    pinned: Option<bool>,
    /// A message on whose branch to go on, at the newest message that follows it.
    active_message_id: Option<Uuid>,
}

impl From<ConversationChangeRequest> for ConversationEdit {
    fn from(request: ConversationChangeRequest) -> Self {
        Self {
            title: request.title,
            system_prompt: request.system_prompt,
            model: request.model,
            parameters: request.parameters.map(Into::into),
            memory: request.memory.map(|memory| memory.map(Into::into)),
            pinned: request.pinned,
            active_message: request.active_message_id.map(MessageId::new),
        }
    }
}

/// A conversation, without its messages.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConversationResponse {
    /// Which one.
    id: Uuid,
    /// Whether it is the caller's default one, of `/chat/stream` and `/chat/history`.
    default: bool,
    /// What it is called.
    #[schema(required, example = "Dragons")]
    title: Option<String>,
    /// What the model is told before everything else; `null` for the server's own.
    #[schema(required)]
    system_prompt: Option<String>,
    /// Which model answers; `null` for the default one.
    #[schema(required)]
    model: Option<String>,
    /// How its answers are made.
    parameters: ChatParameters,
    /// What becomes of old turns; `null` for what suits the model.
    #[schema(required)]
    memory: Option<MemoryName>,
    /// Whether it is at hand.
    pinned: bool,
    /// The last message of the branch that is active.
    #[schema(required)]
    active_message_id: Option<Uuid>,
    /// When it was begun.
    created_at: DateTime<Utc>,
    /// When something was last said or changed in it.
    updated_at: DateTime<Utc>,
}

impl From<Conversation> for ConversationResponse {
    fn from(conversation: Conversation) -> Self {
        Self {
            id: conversation.id.uuid(),
            default: conversation.is_default,
            title: conversation.title.map(|title| title.as_str().to_owned()),
            system_prompt: conversation.system_prompt,
            model: conversation.model.map(|model| model.to_string()),
            parameters: conversation.parameters.into(),
            memory: conversation.memory.map(Into::into),
            pinned: conversation.pinned,
            active_message_id: conversation.active_message.map(MessageId::uuid),
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
        }
    }
}

/// A page of conversations, the one in which something happened last first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConversationPage {
    /// The conversations.
    items: Vec<ConversationResponse>,
    /// Where the next page begins; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<Page<Conversation>> for ConversationPage {
    fn from(page: Page<Conversation>) -> Self {
        Self { items: page.items.into_iter().map(Into::into).collect(), next_cursor: page.next.as_ref().map(cursor::encode) }
    }
}

/// Which conversations.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConversationListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before; absent for the newest.
    cursor: Option<String>,
    /// Only those whose title or messages hold this text, in whatever case: 1 to 200 characters.
    search: Option<String>,
    /// Only those that are pinned, or are not.
    pinned: Option<bool>,
}

impl ConversationListQuery {
    /// What is looked for, and which page of it.
    pub(crate) fn read(self) -> Result<(ConversationQuery, PageRequest), ApiError> {
        let limit = self.limit.map(PageLimit::new).transpose()?.unwrap_or_default();
        let after = self.cursor.as_deref().map(cursor::decode).transpose()?;
        Ok((ConversationQuery { search: self.search, pinned: self.pinned }, PageRequest { after, limit }))
    }
}
