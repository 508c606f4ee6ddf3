//! Conversations as files: what is taken along, and brought in.

use chrono::{DateTime, Utc};
use domain::{ChatRole, Conversation, Message, MessageStatus};
use serde::{Deserialize, Serialize};
use services::{ConversationReader, ImportedConversation, ImportedMessage, MessageOrder};
use utoipa::{IntoParams, ToSchema};

use super::conversations::{ConversationResponse, MemoryName};
use super::messages::{RoleName, StatusName};
use super::sampling::ChatParameters;
use crate::ApiError;

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    active_message_id: Option<String>,
    /// When it was begun. An import does not look at it.
    #[serde(default)]
    created_at: Option<DateTime<Utc>>,
    /// Its messages, on all branches, each after the one that it follows.
    #[serde(default)]
    messages: Vec<MessageRecord>,
}

impl From<&Conversation> for ExportedConversation {
    /// Without its messages, and without where it was left: that is one of them.
    fn from(conversation: &Conversation) -> Self {
        Self {
            title: conversation.title.as_ref().map(|title| title.as_str().to_owned()),
            system_prompt: conversation.system_prompt.clone(),
            model: conversation.model.as_ref().map(ToString::to_string),
            parameters: conversation.parameters.clone().into(),
            memory: conversation.memory.map(Into::into),
            pinned: conversation.pinned,
            active_message_id: None,
            created_at: Some(conversation.created_at),
            messages: Vec::new(),
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
#[derive(ToSchema)]
#[expect(dead_code, reason = "the file is written while it is read from the database; this describes it")]
pub(crate) struct ExportedConversations {
    /// The conversations.
    conversations: Vec<ExportedConversation>,
}

impl ExportFormat {
    /// Which messages are written, and in which order.
    pub(crate) const fn order(self) -> MessageOrder {
        match self {
            Self::Json => MessageOrder::Tree,
            Self::Markdown => MessageOrder::ActiveBranch,
        }
    }
}

/// A conversation as text, a page of messages at a time.
pub(crate) struct ConversationText {
    reader: ConversationReader,
    format: ExportFormat,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    /// Whether a message was written already.
    Messages(bool),
    Over,
}

impl ConversationText {
    /// Of a conversation that is read in the order of this format.
    pub(crate) fn of(reader: ConversationReader, format: ExportFormat) -> Self {
        Self { reader, format, place: Place::Head }
    }

    /// What follows; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, ApiError> {
        let (text, next) = match self.place {
            Place::Over => return Ok(None),
            Place::Head => (self.head()?, Place::Messages(false)),
            Place::Messages(begun) => {
                let messages = self.reader.next().await?;
                if messages.is_empty() {
                    (self.tail()?, Place::Over)
                } else {
                    (self.body(messages, begun)?, Place::Messages(true))
                }
            }
        };
        self.place = next;
        Ok(Some(text))
    }

    /// Everything but the messages, up to where they begin.
    fn head(&self) -> Result<String, ApiError> {
        let conversation = self.reader.conversation();
        match self.format {
            ExportFormat::Json => {
                let mut text = json(&ExportedConversation::from(conversation))?;
                // The list of messages is last, and empty.
                text.truncate(text.len().saturating_sub("]}".len()));
                Ok(text)
            }
            ExportFormat::Markdown => {
                let title = conversation.title.as_ref().map_or("Conversation", |title| title.as_str());
                let prompt = conversation.system_prompt.as_deref().filter(|prompt| !prompt.is_empty());
                let told = prompt.map(|prompt| format!("\n> {}\n", prompt.replace('\n', "\n> "))).unwrap_or_default();
                Ok(format!("# {title}\n{told}"))
            }
        }
    }

    fn body(&self, messages: Vec<Message>, begun: bool) -> Result<String, ApiError> {
        let mut text = String::new();
        for (number, message) in messages.into_iter().enumerate() {
            match self.format {
                ExportFormat::Json => {
                    text.push_str(if begun || number > 0 { "," } else { "" });
                    text.push_str(&json(&MessageRecord::from(message))?);
                }
                ExportFormat::Markdown => text.push_str(&markdown(&message)),
            }
        }
        Ok(text)
    }

    fn tail(&self) -> Result<String, ApiError> {
        match self.format {
            ExportFormat::Json => {
                let active = self.reader.active_message().map(|id| id.to_string());
                Ok(format!("],\"active_message_id\":{}}}", json(&active)?))
            }
            ExportFormat::Markdown => Ok(String::new()),
        }
    }
}

fn json(value: &impl Serialize) -> Result<String, ApiError> {
    serde_json::to_string(value).map_err(ApiError::internal)
}

/// A message for people to read.
fn markdown(message: &Message) -> String {
    let speaker = match message.role {
        ChatRole::User => "User",
        ChatRole::Assistant => "Assistant",
        ChatRole::System => "System",
    };
    let cut = if message.status == MessageStatus::Done { "" } else { " (cut)" };
    let time = message.created_at.format("%Y-%m-%d %H:%M:%S");
    format!("\n## {speaker}{cut}, {time} UTC\n\n{}\n", message.content.trim_end())
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
