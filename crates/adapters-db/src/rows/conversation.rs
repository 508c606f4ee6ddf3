//! Rows of `conversations` and `messages`.

use chrono::NaiveDateTime;
use diesel::{AsChangeset, Insertable, Queryable, QueryableByName, Selectable};
use domain::{
    ChatRole, Conversation, ConversationId, ConversationSummary, ConversationTitle, Memory, Message, MessageId, MessageStatus,
    ModelName, TokenUsage, folded,
};
use ports::{ConversationChange, StoreError};

use super::sampling_request::KeptRequest;
use super::{
    corrupt, from_kept_time, parse_id, parse_number, parse_optional_id, parse_text, refused, to_kept_text, to_kept_time,
};
use crate::schema::{conversations, messages};

const TABLE: &str = "conversations";

/// A conversation as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = conversations)]
pub(crate) struct ConversationRow {
    id: String,
    user_id: String,
    is_default: bool,
    title: Option<String>,
    folded_title: Option<String>,
    system_prompt: Option<String>,
    model: Option<String>,
    parameters: String,
    memory: Option<String>,
    pinned: bool,
    active_message: Option<String>,
    summary: Option<String>,
    summary_up_to: Option<String>,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
}

/// A title as it is kept, and as it is searched.
pub(crate) fn kept_title(title: Option<&ConversationTitle>) -> (Option<String>, Option<String>) {
    let kept = |text: &str| to_kept_text(text.to_owned());
    let title = title.map(ConversationTitle::as_str);
    (title.map(kept), title.map(|title| kept(&folded(title))))
}

fn kept_parameters(parameters: domain::SamplingRequest) -> Result<String, StoreError> {
    serde_json::to_string(&KeptRequest::from(parameters)).map_err(|error| corrupt(TABLE, error))
}

impl TryFrom<Conversation> for ConversationRow {
    type Error = StoreError;

    fn try_from(conversation: Conversation) -> Result<Self, StoreError> {
        let (title, folded_title) = kept_title(conversation.title.as_ref());
        let (summary, summary_up_to) = conversation
            .summary
            .map_or((None, None), |summary| (Some(to_kept_text(summary.text)), Some(summary.up_to.to_string())));
        Ok(Self {
            id: conversation.id.to_string(),
            user_id: conversation.user_id.to_string(),
            is_default: conversation.is_default,
            title,
            folded_title,
            system_prompt: conversation.system_prompt.map(to_kept_text),
            model: conversation.model.map(|model| model.to_string()),
            parameters: kept_parameters(conversation.parameters)?,
            memory: conversation.memory.map(|memory| memory.as_str().to_owned()),
            pinned: conversation.pinned,
            active_message: conversation.active_message.map(|id| id.to_string()),
            summary,
            summary_up_to,
            created_at: to_kept_time(conversation.created_at),
            updated_at: to_kept_time(conversation.updated_at),
        })
    }
}

impl TryFrom<ConversationRow> for Conversation {
    type Error = StoreError;

    fn try_from(row: ConversationRow) -> Result<Self, StoreError> {
        let text = |kept: Option<String>| kept.map(|kept| parse_text(TABLE, kept)).transpose();
        let title = text(row.title)?.map(|title| ConversationTitle::new(&title)).transpose().map_err(refused(TABLE))?;
        let parameters: KeptRequest =
            serde_json::from_str(&row.parameters).map_err(|_| corrupt(TABLE, "the parameters cannot be read"))?;
        let up_to = parse_optional_id(TABLE, row.summary_up_to.as_deref())?;
        let summary = text(row.summary)?.zip(up_to).map(|(text, up_to)| ConversationSummary { text, up_to });
        Ok(Self {
            id: parse_id(TABLE, &row.id)?,
            user_id: parse_id(TABLE, &row.user_id)?,
            is_default: row.is_default,
            title,
            system_prompt: text(row.system_prompt)?,
            model: row.model.map(ModelName::new).transpose().map_err(refused(TABLE))?,
            parameters: parameters.into(),
            memory: row.memory.as_deref().map(Memory::parse).transpose().map_err(refused(TABLE))?,
            pinned: row.pinned,
            active_message: parse_optional_id(TABLE, row.active_message.as_deref())?,
            summary,
            created_at: from_kept_time(row.created_at),
            updated_at: from_kept_time(row.updated_at),
        })
    }
}

/// What to change of a conversation: the outer `None` stays, the inner one empties.
#[expect(clippy::option_option, reason = "diesel's own way to tell 'leave it' from 'make it NULL'")]
#[derive(AsChangeset)]
#[diesel(table_name = conversations)]
pub(crate) struct ConversationChangeRow {
    title: Option<Option<String>>,
    folded_title: Option<Option<String>>,
    system_prompt: Option<Option<String>>,
    model: Option<Option<String>>,
    parameters: Option<String>,
    memory: Option<Option<String>>,
    pinned: Option<bool>,
    active_message: Option<Option<String>>,
    updated_at: NaiveDateTime,
}

impl ConversationChangeRow {
    pub(crate) fn new(change: ConversationChange, now: NaiveDateTime) -> Result<Self, StoreError> {
        let (title, folded_title) = change.title.map(|title| kept_title(title.as_ref())).unzip();
        Ok(Self {
            title,
            folded_title,
            system_prompt: change.system_prompt.map(|prompt| prompt.map(to_kept_text)),
            model: change.model.map(|model| model.map(|model| model.to_string())),
            parameters: change.parameters.map(kept_parameters).transpose()?,
            memory: change.memory.map(|memory| memory.map(|memory| memory.as_str().to_owned())),
            pinned: change.pinned,
            active_message: change.active_message.map(|id| Some(id.to_string())),
            updated_at: now,
        })
    }
}

const MESSAGES: &str = "messages";

/// A conversation's identifier as another table keeps it.
pub(crate) fn parse_conversation_id(kept: &str) -> Result<ConversationId, StoreError> {
    parse_id(TABLE, kept)
}

/// A message's identifier as it is kept.
pub(crate) fn parse_message_id(kept: &str) -> Result<MessageId, StoreError> {
    parse_id(MESSAGES, kept)
}

/// A message as it is kept.
#[derive(Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = messages)]
pub(crate) struct MessageRow {
    id: String,
    conversation_id: String,
    parent_id: Option<String>,
    depth: i64,
    role: String,
    content: String,
    folded_content: String,
    status: String,
    model: Option<String>,
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
    created_at: NaiveDateTime,
}

impl From<Message> for MessageRow {
    fn from(message: Message) -> Self {
        let folded_content = to_kept_text(folded(&message.content));
        Self {
            id: message.id.to_string(),
            conversation_id: message.conversation_id.to_string(),
            parent_id: message.parent_id.map(|id| id.to_string()),
            depth: i64::from(message.depth),
            role: message.role.as_str().to_owned(),
            content: to_kept_text(message.content),
            folded_content,
            status: message.status.as_str().to_owned(),
            model: message.model.map(|model| model.to_string()),
            prompt_tokens: message.usage.map(|usage| i64::from(usage.prompt_tokens)),
            completion_tokens: message.usage.map(|usage| i64::from(usage.completion_tokens)),
            created_at: to_kept_time(message.created_at),
        }
    }
}

impl TryFrom<MessageRow> for Message {
    type Error = StoreError;

    fn try_from(row: MessageRow) -> Result<Self, StoreError> {
        let number = |kept| parse_number(MESSAGES, kept);
        let usage = row.prompt_tokens.zip(row.completion_tokens);
        let usage = usage.map(|(prompt, completion)| -> Result<TokenUsage, StoreError> {
            Ok(TokenUsage { prompt_tokens: number(prompt)?, completion_tokens: number(completion)? })
        });
        Ok(Self {
            id: parse_id(MESSAGES, &row.id)?,
            conversation_id: parse_id(MESSAGES, &row.conversation_id)?,
            parent_id: parse_optional_id(MESSAGES, row.parent_id.as_deref())?,
            depth: number(row.depth)?,
            role: ChatRole::parse(&row.role).map_err(refused(MESSAGES))?,
            content: parse_text(MESSAGES, row.content)?,
            status: MessageStatus::parse(&row.status).map_err(refused(MESSAGES))?,
            model: row.model.map(ModelName::new).transpose().map_err(refused(MESSAGES))?,
            usage: usage.transpose()?,
            created_at: from_kept_time(row.created_at),
        })
    }
}
