//! Conversations and their messages in memory.

use std::collections::HashSet;

use async_trait::async_trait;
use domain::{
    Conversation, ConversationId, ConversationSummary, Cursor, Message, MessageId, Page, PageRequest, Timestamp, UserId, folded,
    path_to,
};
use ports::{ConversationChange, ConversationFilter, ConversationStore, MessagePlace, NewConversation, RecordScope, StoreError};

use super::{FakeDatabase, Tables, page_of};

impl Tables {
    pub(super) fn conversation(&mut self, scope: RecordScope, id: ConversationId) -> Result<&mut Conversation, StoreError> {
        let visible = |conversation: &&mut Conversation| match scope {
            RecordScope::Of(user_id) => conversation.user_id == user_id,
            RecordScope::Everyone => true,
        };
        self.conversations.get_mut(&id).filter(visible).ok_or(StoreError::NotFound)
    }

    pub(super) fn message_of(&self, conversation_id: ConversationId, id: MessageId) -> Result<&Message, StoreError> {
        let found = self.messages.get(&id).filter(|message| message.conversation_id == conversation_id);
        found.ok_or(StoreError::NotFound)
    }

    /// All messages of a conversation, each after its parent.
    pub(super) fn messages_of(&self, id: ConversationId) -> Vec<Message> {
        let mut messages: Vec<Message> =
            self.messages.values().filter(|message| message.conversation_id == id).cloned().collect();
        messages.sort_by_key(|message| (message.depth, message.id));
        messages
    }

    /// Adds a message and makes it the active one.
    pub(super) fn add_active_message(&mut self, user_id: UserId, message: Message, max_messages: u32) -> Result<(), StoreError> {
        let id = message.conversation_id;
        self.conversation(RecordScope::Of(user_id), id)?;
        if let Some(parent) = message.parent_id {
            self.message_of(id, parent)?;
        }
        if self.messages_of(id).len() >= max_messages as usize {
            return Err(StoreError::Conflict { field: "messages" });
        }
        if self.messages.contains_key(&message.id) {
            return Err(StoreError::Conflict { field: "id" });
        }
        let conversation = self.conversation(RecordScope::Of(user_id), id)?;
        conversation.active_message = Some(message.id);
        conversation.updated_at = message.created_at;
        self.messages.insert(message.id, message);
        Ok(())
    }

    fn forget_contents(&mut self, id: ConversationId) {
        self.messages.retain(|_, message| message.conversation_id != id);
        self.chat_streams.retain(|_, row| row.stream.conversation_id != id);
    }

    /// Removes a user's conversations and answers how many there were.
    pub(super) fn forget_conversations_of(&mut self, user_id: UserId) -> u64 {
        let ids: Vec<ConversationId> =
            self.conversations.values().filter(|kept| kept.user_id == user_id).map(|kept| kept.id).collect();
        for id in &ids {
            self.conversations.remove(id);
            self.forget_contents(*id);
        }
        ids.len() as u64
    }
}

#[async_trait]
impl ConversationStore for FakeDatabase {
    async fn add_all(&self, user_id: UserId, added: Vec<NewConversation>, max_conversations: u32) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        if !tables.users.contains_key(&user_id) {
            return Err(StoreError::NotFound);
        }
        let kept = tables.conversations.values().filter(|kept| kept.user_id == user_id).count();
        if kept + added.len() > max_conversations as usize {
            return Err(StoreError::Conflict { field: "conversations" });
        }
        let ids: HashSet<ConversationId> = added.iter().map(|new| new.conversation.id).collect();
        if ids.len() < added.len() || ids.iter().any(|id| tables.conversations.contains_key(id)) {
            return Err(StoreError::Conflict { field: "id" });
        }
        for NewConversation { conversation, messages } in added {
            tables.conversations.insert(conversation.id, conversation);
            tables.messages.extend(messages.into_iter().map(|message| (message.id, message)));
        }
        Ok(())
    }

    async fn default_of(&self, fresh: Conversation) -> Result<Conversation, StoreError> {
        let mut tables = self.tables()?;
        let of_user = |kept: &&Conversation| kept.user_id == fresh.user_id && kept.is_default;
        if let Some(found) = tables.conversations.values().find(of_user) {
            return Ok(found.clone());
        }
        if !tables.users.contains_key(&fresh.user_id) {
            return Err(StoreError::NotFound);
        }
        let fresh = Conversation { is_default: true, ..fresh };
        tables.conversations.insert(fresh.id, fresh.clone());
        Ok(fresh)
    }

    async fn find_default(&self, user_id: UserId) -> Result<Option<Conversation>, StoreError> {
        let of_user = |kept: &&Conversation| kept.user_id == user_id && kept.is_default;
        Ok(self.tables()?.conversations.values().find(of_user).cloned())
    }

    async fn get(&self, scope: RecordScope, id: ConversationId) -> Result<Conversation, StoreError> {
        self.tables()?.conversation(scope, id).cloned()
    }

    async fn list(
        &self,
        user_id: UserId,
        filter: ConversationFilter,
        page: PageRequest,
    ) -> Result<Page<Conversation>, StoreError> {
        let tables = self.tables()?;
        let speaks_of = |conversation: &Conversation, text: &str| {
            conversation.title.as_ref().is_some_and(|title| folded(title.as_str()).contains(text))
                || tables.messages_of(conversation.id).iter().any(|message| folded(&message.content).contains(text))
        };
        let found = tables.conversations.values().filter(|conversation| {
            conversation.user_id == user_id
                && filter.pinned.is_none_or(|pinned| conversation.pinned == pinned)
                && filter.search.as_ref().is_none_or(|search| speaks_of(conversation, search.as_folded()))
        });
        let cursor_of = |kept: &Conversation| Cursor { created_at: kept.updated_at, id: kept.id.uuid() };
        Ok(page_of(found.cloned().collect(), page, cursor_of))
    }

    async fn list_as_begun(
        &self,
        user_id: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let tables = self.tables()?;
        let of_user = |kept: &&Conversation| kept.user_id == user_id && after.is_none_or(|after| kept.id > after);
        let mut found: Vec<Conversation> = tables.conversations.values().filter(of_user).cloned().collect();
        found.sort_by_key(|kept| kept.id);
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn change(
        &self,
        user_id: UserId,
        id: ConversationId,
        change: ConversationChange,
        now: Timestamp,
    ) -> Result<Conversation, StoreError> {
        let mut tables = self.tables()?;
        tables.conversation(RecordScope::Of(user_id), id)?;
        if let Some(message) = change.active_message
            && tables.message_of(id, message).is_err()
        {
            return Err(StoreError::Conflict { field: "active_message" });
        }
        let conversation = tables.conversation(RecordScope::Of(user_id), id)?;
        let ConversationChange { title, system_prompt, model, parameters, memory, pinned, active_message } = change;
        *conversation = Conversation {
            title: title.unwrap_or(conversation.title.take()),
            system_prompt: system_prompt.unwrap_or(conversation.system_prompt.take()),
            model: model.unwrap_or(conversation.model.take()),
            parameters: parameters.unwrap_or(conversation.parameters.clone()),
            memory: memory.unwrap_or(conversation.memory),
            pinned: pinned.unwrap_or(conversation.pinned),
            active_message: active_message.or(conversation.active_message),
            updated_at: now,
            ..conversation.clone()
        };
        Ok(conversation.clone())
    }

    async fn remove(&self, scope: RecordScope, id: ConversationId) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        tables.conversation(scope, id)?;
        tables.conversations.remove(&id);
        tables.forget_contents(id);
        Ok(())
    }

    async fn empty(&self, user_id: UserId, id: ConversationId, now: Timestamp) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let conversation = tables.conversation(RecordScope::Of(user_id), id)?;
        (conversation.title, conversation.active_message, conversation.summary) = (None, None, None);
        conversation.updated_at = now;
        tables.forget_contents(id);
        Ok(())
    }

    async fn keep_summary(&self, id: ConversationId, summary: ConversationSummary) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        if tables.message_of(id, summary.up_to).is_ok()
            && let Ok(conversation) = tables.conversation(RecordScope::Everyone, id)
        {
            conversation.summary = Some(summary);
        }
        Ok(())
    }

    async fn add_message(&self, user_id: UserId, message: Message, max_messages: u32) -> Result<(), StoreError> {
        self.tables()?.add_active_message(user_id, message, max_messages)
    }

    async fn message(&self, scope: RecordScope, conversation_id: ConversationId, id: MessageId) -> Result<Message, StoreError> {
        let mut tables = self.tables()?;
        tables.conversation(scope, conversation_id)?;
        tables.message_of(conversation_id, id).cloned()
    }

    async fn branch(&self, conversation_id: ConversationId, leaf: MessageId, limit: u32) -> Result<Vec<Message>, StoreError> {
        let messages = self.tables()?.messages_of(conversation_id);
        let path = path_to(&messages, leaf);
        let begin = path.len().saturating_sub(limit as usize);
        Ok(path[begin..].iter().map(|message| (*message).clone()).collect())
    }

    async fn newest_leaf_below(&self, conversation_id: ConversationId, id: MessageId) -> Result<MessageId, StoreError> {
        let messages = self.tables()?.messages_of(conversation_id);
        let below = messages.iter().filter(|message| path_to(&messages, message.id).iter().any(|above| above.id == id));
        below.map(|message| message.id).max().ok_or(StoreError::NotFound)
    }

    async fn following(
        &self,
        conversation_id: ConversationId,
        parents: Vec<Option<MessageId>>,
    ) -> Result<Vec<(Option<MessageId>, MessageId)>, StoreError> {
        let messages = self.tables()?.messages_of(conversation_id);
        let mut found: Vec<_> = messages
            .iter()
            .filter(|message| parents.contains(&message.parent_id))
            .map(|message| (message.parent_id, message.id))
            .collect();
        found.sort_by_key(|(_, id)| *id);
        Ok(found)
    }

    async fn messages_after(
        &self,
        conversation_id: ConversationId,
        after: Option<MessagePlace>,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let mut messages = self.tables()?.messages_of(conversation_id);
        messages.retain(|message| after.is_none_or(|after| MessagePlace::from(message) > after));
        messages.truncate(limit as usize);
        Ok(messages)
    }
}
