//! Messages, and what is asked for an answer.

use chrono::{DateTime, Utc};
use domain::{ChatRole, ContextUse, Message, MessageStatus, PageLimit, PageRequest};
use serde::{Deserialize, Serialize};
use services::{AnswerRequest, ChatRequest, MessagePage, MessageView};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::super::texts::UsageResponse;
use super::sampling::request_with_sampling;
use crate::{ApiError, cursor};

request_with_sampling! {
    /// Something said, to be answered piece by piece.
    ChatStreamRequest {
        /// What is said.
        #[schema(example = "Tell me of the dragon.", min_length = 1)]
        message: String,
        /// Whether the model is given what was said before, as far as it fits.
        #[serde(default = "yes")]
        use_context: bool,
        /// In which conversation; the caller's default one if absent.
        conversation_id: Option<Uuid>,
        /// Which model; the conversation's, or the default one, if absent.
        model: Option<String>,
    }
}

fn yes() -> bool {
    true
}

impl From<ChatStreamRequest> for ChatRequest {
    fn from(mut request: ChatStreamRequest) -> Self {
        let sampling = request.sampling();
        Self {
            content: request.message,
            use_context: request.use_context,
            answer: AnswerRequest { model: request.model, sampling },
        }
    }
}

request_with_sampling! {
    /// Something said in a conversation.
    MessageRequest {
        /// What is said.
        #[schema(example = "Tell me of the dragon.", min_length = 1)]
        content: String,
        /// Whether to answer piece by piece, as server-sent events.
        #[serde(default)]
        stream: bool,
        /// Which model; the conversation's, or the default one, if absent.
        model: Option<String>,
    }
}

impl From<MessageRequest> for ChatRequest {
    fn from(mut request: MessageRequest) -> Self {
        let sampling = request.sampling();
        Self { content: request.content, use_context: true, answer: AnswerRequest { model: request.model, sampling } }
    }
}

request_with_sampling! {
    /// How an answer is to be made again. All of it may be absent.
    RegenerationRequest {
        /// Whether to answer piece by piece, as server-sent events.
        #[serde(default)]
        stream: bool,
        /// Which model; the conversation's, or the default one, if absent.
        model: Option<String>,
    }
}

impl From<RegenerationRequest> for AnswerRequest {
    fn from(mut request: RegenerationRequest) -> Self {
        let sampling = request.sampling();
        Self { model: request.model, sampling }
    }
}

/// What is said instead.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageEditRequest {
    /// The new words.
    #[schema(min_length = 1)]
    pub(crate) content: String,
}

/// Who says a message.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoleName {
    /// Whoever set the conversation up.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl From<ChatRole> for RoleName {
    fn from(role: ChatRole) -> Self {
        match role {
            ChatRole::System => Self::System,
            ChatRole::User => Self::User,
            ChatRole::Assistant => Self::Assistant,
        }
    }
}

impl From<RoleName> for ChatRole {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::System => Self::System,
            RoleName::User => Self::User,
            RoleName::Assistant => Self::Assistant,
        }
    }
}

/// How a message came to its end.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatusName {
    /// It was said whole.
    #[default]
    Done,
    /// It was cut; it holds what was said until then.
    Interrupted,
    /// It broke off; it holds what was said until then.
    Failed,
}

impl From<MessageStatus> for StatusName {
    fn from(status: MessageStatus) -> Self {
        match status {
            MessageStatus::Done => Self::Done,
            MessageStatus::Interrupted => Self::Interrupted,
            MessageStatus::Failed => Self::Failed,
        }
    }
}

impl From<StatusName> for MessageStatus {
    fn from(name: StatusName) -> Self {
        match name {
            StatusName::Done => Self::Done,
            StatusName::Interrupted => Self::Interrupted,
            StatusName::Failed => Self::Failed,
        }
    }
}

/// A message.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageResponse {
    /// Which one.
    id: Uuid,
    /// Who says it.
    role: RoleName,
    /// What is said.
    #[schema(example = "Once there was a dragon.")]
    content: String,
    /// How it came to its end.
    status: StatusName,
    /// The message that it follows; `null` where it begins the conversation.
    #[schema(required)]
    parent_id: Option<Uuid>,
    /// All messages that follow the same one, itself included, the oldest first, where a list was asked for: more than one where it was
    /// edited or made again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    siblings: Vec<Uuid>,
    /// The name of the model that said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// When it was asked for or said.
    created_at: DateTime<Utc>,
}

impl From<Message> for MessageResponse {
    fn from(message: Message) -> Self {
        Self::from(MessageView { message, siblings: Vec::new() })
    }
}

impl From<MessageView> for MessageResponse {
    fn from(MessageView { message, siblings }: MessageView) -> Self {
        Self {
            id: message.id.uuid(),
            role: message.role.into(),
            content: message.content,
            status: message.status.into(),
            parent_id: message.parent_id.map(domain::MessageId::uuid),
            siblings: siblings.into_iter().map(domain::MessageId::uuid).collect(),
            model: message.model.map(|model| model.to_string()),
            created_at: message.created_at,
        }
    }
}

/// What of the conversation the model was given.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContextResponse {
    /// Messages that it was given, the one it answers included.
    #[schema(example = 7)]
    messages_used: u32,
    /// Messages before those, which did not fit.
    #[schema(example = 2)]
    messages_dropped: u32,
    /// All that it was given, in tokens.
    #[schema(example = 180)]
    prompt_tokens: u32,
}

impl From<ContextUse> for ContextResponse {
    fn from(context: ContextUse) -> Self {
        let ContextUse { messages_used, messages_dropped, prompt_tokens } = context;
        Self { messages_used, messages_dropped, prompt_tokens }
    }
}

/// What was said, and what was answered.
#[derive(Serialize, ToSchema)]
pub(crate) struct AnswerResponse {
    /// What was said.
    user_message: MessageResponse,
    /// What was answered.
    assistant_message: MessageResponse,
    /// Tokens read and made.
    usage: UsageResponse,
    /// What the model was given.
    context: ContextResponse,
}

impl From<services::Answer> for AnswerResponse {
    fn from(answer: services::Answer) -> Self {
        let usage = answer.assistant_message.usage.unwrap_or_default();
        Self {
            user_message: answer.user_message.into(),
            assistant_message: answer.assistant_message.into(),
            usage: usage.into(),
            context: answer.context.into(),
        }
    }
}

/// Some messages of a conversation, the oldest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct HistoryPage {
    /// The messages.
    messages: Vec<MessageResponse>,
    /// Leads back in time; `null` where the conversation begins with these.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<MessagePage> for HistoryPage {
    fn from(page: MessagePage) -> Self {
        Self {
            messages: page.messages.into_iter().map(Into::into).collect(),
            next_cursor: page.next.as_ref().map(cursor::encode),
        }
    }
}

/// Which messages.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessageListQuery {
    /// How many messages at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The `next_cursor` of the page after these; absent for the last messages.
    cursor: Option<String>,
    /// The last message of the branch to read; absent for the one that is active.
    pub(crate) leaf: Option<Uuid>,
}

impl TryFrom<&MessageListQuery> for PageRequest {
    type Error = ApiError;

    fn try_from(query: &MessageListQuery) -> Result<Self, ApiError> {
        let limit = query.limit.map(PageLimit::new).transpose()?.unwrap_or_default();
        Ok(Self { after: query.cursor.as_deref().map(cursor::decode).transpose()?, limit })
    }
}
