//! Conversations and messages, without a model.

use std::collections::HashMap;

use domain::{
    AuditAction, ChatRole, Conversation, ConversationId, ConversationTitle, Cursor, Memory, Message, MessageId, MessageStatus,
    ModelDefaults, ModelName, Page, PageRequest, Prompt, Refusal, SamplingParameters, SamplingRequest, SearchText, Seed,
};
use ports::{ConversationChange, ConversationFilter, NewConversation, RecordScope};

use super::{Addressed, ChatService, added_error, conversation_error, message_not_found};
use crate::models::model_name;
use crate::{Caller, ServiceError};

/// A conversation that is to be begun.
#[derive(Clone, Default)]
pub struct ConversationSpec {
    /// What it is called; its first message names it if this does not.
    pub title: Option<String>,
    /// What the model is told first; `None` for the server's own, empty for nothing.
    pub system_prompt: Option<String>,
    /// Which model answers; `None` for the default one.
    pub model: Option<String>,
    /// How answers are made.
    pub parameters: SamplingRequest,
    /// What becomes of old turns; `None` for what suits the model.
    pub memory: Option<Memory>,
    /// Whether it is at hand.
    pub pinned: bool,
}

/// What to change of a conversation: the outer `None` stays, the inner one goes back to what applies where nothing is said.
#[derive(Clone, Default)]
pub struct ConversationEdit {
    /// What it is called.
    pub title: Option<Option<String>>,
    /// What the model is told first.
    pub system_prompt: Option<Option<String>>,
    /// Which model answers.
    pub model: Option<Option<String>>,
    /// How answers are made, all of it.
    pub parameters: Option<SamplingRequest>,
    /// What becomes of old turns.
    pub memory: Option<Option<Memory>>,
    /// Whether it is at hand.
    pub pinned: Option<bool>,
    /// A message on whose branch to go on: at the newest message that follows it.
    pub active_message: Option<MessageId>,
}

/// Which of the caller's conversations are meant.
#[derive(Clone, Default)]
pub struct ConversationQuery {
    /// Those whose title or messages hold this text.
    pub search: Option<String>,
    /// Those that are pinned, or are not.
    pub pinned: Option<bool>,
}

/// A message, and its place among others.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageView {
    /// The message.
    pub message: Message,
    /// All messages that follow the same one, itself included, the oldest first: more than one where it was edited or made again.
    pub siblings: Vec<MessageId>,
}

/// Some messages of a branch.
#[derive(Debug, Clone, PartialEq)]
pub struct MessagePage {
    /// The oldest of them first.
    pub messages: Vec<MessageView>,
    /// Where those before them end; absent where the branch begins with these.
    pub next: Option<Cursor>,
}

impl ChatService {
    /// Begins a conversation.
    pub async fn create_conversation(&self, caller: &Caller, spec: ConversationSpec) -> Result<Conversation, ServiceError> {
        let id = self.new_conversation_id();
        let conversation = self.checked(spec, Conversation::empty(id, caller.user.id, self.ports.clock.now()))?;
        let new = NewConversation { conversation: conversation.clone(), messages: Vec::new() };
        self.add_conversations(caller, vec![new]).await?;
        Ok(conversation)
    }

    /// Adds conversations of the caller's, all or none.
    pub(super) async fn add_conversations(&self, caller: &Caller, added: Vec<NewConversation>) -> Result<(), ServiceError> {
        let limit = self.limits.user_conversations;
        let kept = self.ports.conversations.add_all(caller.user.id, added, limit).await;
        kept.map_err(|error| added_error(error, limit))
    }

    /// An empty conversation with what was asked for, checked.
    pub(super) fn checked(&self, spec: ConversationSpec, empty: Conversation) -> Result<Conversation, ServiceError> {
        Ok(Conversation {
            title: spec.title.as_deref().map(ConversationTitle::new).transpose()?,
            system_prompt: spec.system_prompt.map(|prompt| self.checked_system_prompt(prompt)).transpose()?,
            model: spec.model.map(checked_model).transpose()?,
            parameters: checked_parameters(spec.parameters)?,
            memory: spec.memory,
            pinned: spec.pinned,
            ..empty
        })
    }

    fn checked_system_prompt(&self, prompt: String) -> Result<String, Refusal> {
        let limit = self.limits.message_characters;
        let fits = prompt.chars().count() <= limit;
        if fits { Ok(prompt) } else { Err(Refusal::field("system_prompt", format!("must have at most {limit} characters"))) }
    }

    /// The caller's conversations, the one in which something happened last first.
    pub async fn list_conversations(
        &self,
        caller: &Caller,
        query: ConversationQuery,
        page: PageRequest,
    ) -> Result<Page<Conversation>, ServiceError> {
        let search = query.search.as_deref().map(SearchText::new).transpose()?;
        let filter = ConversationFilter { search, pinned: query.pinned };
        self.ports.conversations.list(caller.user.id, filter, page).await.map_err(ServiceError::Store)
    }

    /// One of the caller's conversations; an admin reads everybody's.
    pub async fn conversation(&self, caller: &Caller, id: ConversationId) -> Result<Conversation, ServiceError> {
        let conversation = self.ports.conversations.get(caller.scope(), id).await.map_err(conversation_error)?;
        self.note_access(caller, &conversation, "read").await;
        Ok(conversation)
    }

    /// Changes one of the caller's conversations.
    pub async fn change_conversation(
        &self,
        caller: &Caller,
        id: ConversationId,
        edit: ConversationEdit,
    ) -> Result<Conversation, ServiceError> {
        let own = RecordScope::Of(caller.user.id);
        let title = edit.title.map(|title| title.as_deref().map(ConversationTitle::new).transpose()).transpose()?;
        let checked_prompt = |prompt: Option<String>| prompt.map(|prompt| self.checked_system_prompt(prompt)).transpose();
        let active_message = match edit.active_message {
            None => None,
            Some(message) => {
                self.ports.conversations.message(own, id, message).await.map_err(message_not_found)?;
                Some(self.ports.conversations.newest_leaf_below(id, message).await.map_err(message_not_found)?)
            }
        };
        let change = ConversationChange {
            title,
            system_prompt: edit.system_prompt.map(checked_prompt).transpose()?,
            model: edit.model.map(|model| model.map(checked_model).transpose()).transpose()?,
            parameters: edit.parameters.map(checked_parameters).transpose()?,
            memory: edit.memory,
            pinned: edit.pinned,
            active_message,
        };
        let now = self.ports.clock.now();
        self.ports.conversations.change(caller.user.id, id, change, now).await.map_err(conversation_error)
    }

    /// Removes a conversation with everything in it, and ends what is being answered there.
    pub async fn remove_conversation(&self, caller: &Caller, id: ConversationId) -> Result<(), ServiceError> {
        let conversation = self.ports.conversations.get(caller.scope(), id).await.map_err(conversation_error)?;
        self.ports.conversations.remove(caller.scope(), id).await.map_err(conversation_error)?;
        self.live.cut_in(id);
        self.note_access(caller, &conversation, "removed").await;
        Ok(())
    }

    /// Empties the caller's default conversation, and ends what is being answered there.
    pub async fn empty_history(&self, caller: &Caller) -> Result<(), ServiceError> {
        let found = self.ports.conversations.find_default(caller.user.id).await.map_err(conversation_error)?;
        let Some(conversation) = found else { return Ok(()) };
        let now = self.ports.clock.now();
        self.ports.conversations.empty(caller.user.id, conversation.id, now).await.map_err(conversation_error)?;
        self.live.cut_in(conversation.id);
        Ok(())
    }

    /// The last messages of the caller's default conversation, before the cursor.
    pub async fn history(&self, caller: &Caller, page: PageRequest) -> Result<MessagePage, ServiceError> {
        let found = self.ports.conversations.find_default(caller.user.id).await.map_err(conversation_error)?;
        match found {
            Some(conversation) => self.branch_page(&conversation, conversation.active_message, page).await,
            None => Ok(MessagePage { messages: Vec::new(), next: None }),
        }
    }

    /// The last messages of a conversation, before the cursor: of the branch that is active, or that `leaf` ends.
    pub async fn messages(
        &self,
        caller: &Caller,
        id: ConversationId,
        leaf: Option<MessageId>,
        page: PageRequest,
    ) -> Result<MessagePage, ServiceError> {
        let conversation = self.conversation(caller, id).await?;
        self.branch_page(&conversation, leaf.or(conversation.active_message), page).await
    }

    async fn branch_page(
        &self,
        conversation: &Conversation,
        leaf: Option<MessageId>,
        page: PageRequest,
    ) -> Result<MessagePage, ServiceError> {
        // A cursor names the oldest message of the page before: the branch that ends with it is the rest, whatever was said since.
        let (end, given) = match page.after {
            Some(after) => (Some(MessageId::new(after.id)), 1),
            None => (leaf, 0),
        };
        let Some(end) = end else { return Ok(MessagePage { messages: Vec::new(), next: None }) };
        let limit = page.limit.get();
        let branch = self.ports.conversations.branch(conversation.id, end, limit.saturating_add(1 + given)).await;
        let mut branch = branch.map_err(ServiceError::Store)?;
        branch.truncate(branch.len().saturating_sub(usize::try_from(given).unwrap_or(0)));
        let excess = branch.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        let messages = branch.split_off(excess);
        let oldest = messages.first().filter(|_| excess > 0);
        let next = oldest.map(|oldest| Cursor { created_at: oldest.created_at, id: oldest.id.uuid() });
        Ok(MessagePage { messages: self.with_siblings(conversation.id, messages).await?, next })
    }

    async fn with_siblings(&self, id: ConversationId, messages: Vec<Message>) -> Result<Vec<MessageView>, ServiceError> {
        let parents = messages.iter().map(|message| message.parent_id).collect();
        let following = self.ports.conversations.following(id, parents).await.map_err(ServiceError::Store)?;
        let mut by_parent: HashMap<Option<MessageId>, Vec<MessageId>> = HashMap::new();
        for (parent, message) in following {
            by_parent.entry(parent).or_default().push(message);
        }
        let view = |message: Message| {
            let siblings = by_parent.get(&message.parent_id).cloned().unwrap_or_default();
            MessageView { message, siblings }
        };
        Ok(messages.into_iter().map(view).collect())
    }

    /// Says something else in a message's place: a new branch, on which the conversation goes on. The old one stays.
    pub async fn edit_message(
        &self,
        caller: &Caller,
        conversation_id: ConversationId,
        message_id: MessageId,
        content: String,
    ) -> Result<MessageView, ServiceError> {
        let content = Prompt::new(content, self.limits.message_characters)?;
        self.addressed(caller, Addressed::Conversation(conversation_id)).await?;
        let own = RecordScope::Of(caller.user.id);
        let old = self.ports.conversations.message(own, conversation_id, message_id).await.map_err(message_not_found)?;
        let message = Message {
            id: self.new_message_id(),
            content: content.as_str().to_owned(),
            status: MessageStatus::Done,
            model: None,
            usage: None,
            created_at: self.ports.clock.now(),
            ..old
        };
        let added =
            self.ports.conversations.add_message(caller.user.id, message.clone(), self.limits.conversation_messages).await;
        added.map_err(|error| self.message_error(error))?;
        let mut views = self.with_siblings(conversation_id, vec![message.clone()]).await?;
        Ok(views.pop().unwrap_or(MessageView { siblings: vec![message.id], message }))
    }

    /// That an admin had to do with another's conversation goes into the audit log.
    pub(super) async fn note_access(&self, caller: &Caller, conversation: &Conversation, what: &str) {
        if conversation.user_id != caller.user.id {
            let subject = format!("conversation:{}", conversation.id);
            self.audit.record(AuditAction::OthersRecordAccessed, caller.into(), subject, what).await;
        }
    }
}

/// Whether a message may be of this role: what a system says is the conversation's own.
pub(super) fn checked_role(role: ChatRole) -> Result<ChatRole, Refusal> {
    match role {
        ChatRole::User | ChatRole::Assistant => Ok(role),
        ChatRole::System => Err(Refusal::field("role", "must be 'user' or 'assistant'")),
    }
}

/// A model may come and go, so only the name is looked at.
fn checked_model(name: String) -> Result<ModelName, ServiceError> {
    model_name(name)
}

/// Parameters whose every value is in its range.
fn checked_parameters(parameters: SamplingRequest) -> Result<SamplingRequest, Refusal> {
    SamplingParameters::resolve(parameters.clone(), &ModelDefaults::default(), Seed::from_random_bits(0))?;
    Ok(parameters)
}
