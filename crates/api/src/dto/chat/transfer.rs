//! Conversations as files: what is taken along, and brought in.

use chrono::{DateTime, Utc};
use domain::{Message, MessageId};
use serde::{Deserialize, Serialize};
use services::{ImportedConversation, ImportedMessage};
use utoipa::{IntoParams, ToSchema};

use super::conversations::{ConversationResponse, MemoryName};
use super::messages::{RoleName, StatusName};
use super::sampling::ChatParameters;

/// In which form.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExportFormat {
    /// All messages of all branches, as the import reads them.
    #[default]
    Json,
    /// The active branch, for people to read.
    Markdown,
}

/// How to export.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// `json` or `markdown`.
    #[serde(default)]
    #[param(inline, default = "json")]
    pub(crate) format: ExportFormat,
}

/// A message in a file.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageRecord {
    /// What it is called in this file. Where it is absent, the message follows the one before it.
    id: Option<String>,
    /// The message that it follows, which stands before it; `null` where it begins the conversation.
    parent_id: Option<String>,
    /// Who says it: `user` or `assistant`.
    role: RoleName,
    /// What is said.
    content: String,
    /// How it came to its end.
    #[serde(default)]
    status: StatusName,
    /// The name of the model that said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// When it was said.
    created_at: Option<DateTime<Utc>>,
}

impl From<Message> for MessageRecord {
    fn from(message: Message) -> Self {
        Self {
            id: Some(message.id.to_string()),
            parent_id: message.parent_id.map(|id| id.to_string()),
            role: message.role.into(),
            content: message.content,
            status: message.status.into(),
            model: message.model.map(|model| model.to_string()),
            created_at: Some(message.created_at),
        }
    }
}

impl From<MessageRecord> for ImportedMessage {
    fn from(record: MessageRecord) -> Self {
        Self {
            id: record.id,
            parent: record.parent_id,
            role: record.role.into(),
            content: record.content,
            status: record.status.into(),
            model: record.model,
            created_at: record.created_at,
        }
    }
}

/// A conversation in a file.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportedConversation {
    /// What it is called.
    #[serde(default)]
    title: Option<String>,
    /// What the model is told before everything else.
    #[serde(default)]
    system_prompt: Option<String>,
    /// Which model answers.
    #[serde(default)]
    model: Option<String>,
    /// How its answers are made.
    #[serde(default)]
    parameters: ChatParameters,
    /// What becomes of old turns.
    #[serde(default)]
    memory: Option<MemoryName>,
    /// Whether it is at hand.
    #[serde(default)]
    pinned: bool,
    /// Where it was left; at the last message if absent.
    #[serde(default)]
    active_message_id: Option<String>,
    /// When it was begun. An import does not look at it.
    #[serde(default)]
    created_at: Option<DateTime<Utc>>,
    /// Its messages, on all branches, each after the one that it follows.
    #[serde(default)]
    messages: Vec<MessageRecord>,
}

impl From<services::ExportedConversation> for ExportedConversation {
    fn from(exported: services::ExportedConversation) -> Self {
        let services::ExportedConversation { conversation, messages } = exported;
        Self {
            title: conversation.title.map(|title| title.as_str().to_owned()),
            system_prompt: conversation.system_prompt,
            model: conversation.model.map(|model| model.to_string()),
            parameters: conversation.parameters.into(),
            memory: conversation.memory.map(Into::into),
            pinned: conversation.pinned,
            active_message_id: conversation.active_message.map(|id: MessageId| id.to_string()),
            created_at: Some(conversation.created_at),
            messages: messages.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ExportedConversation> for ImportedConversation {
    fn from(exported: ExportedConversation) -> Self {
        Self {
            title: exported.title,
            system_prompt: exported.system_prompt,
            model: exported.model,
            parameters: exported.parameters.into(),
            memory: exported.memory.map(Into::into),
            pinned: exported.pinned,
            active_message: exported.active_message_id,
            messages: exported.messages.into_iter().map(Into::into).collect(),
        }
    }
}

/// Conversations in a file.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExportedConversations {
    /// The conversations.
    pub(crate) conversations: Vec<ExportedConversation>,
}

/// Conversations to bring in: a file as the export writes it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConversationImport {
    /// The conversations.
    conversations: Vec<ExportedConversation>,
}

impl From<ConversationImport> for Vec<ImportedConversation> {
    fn from(import: ConversationImport) -> Self {
        import.conversations.into_iter().map(Into::into).collect()
    }
}

/// What was brought in.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImportResponse {
    /// The new conversations.
    pub(crate) items: Vec<ConversationResponse>,
}
