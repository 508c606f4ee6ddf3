//! Bringing conversations in.

use std::collections::HashMap;

use domain::{
    ChatRole, Conversation, ConversationId, Memory, Message, MessageId, MessageStatus, ModelName, Refusal, SamplingRequest,
    Timestamp,
};
use ports::NewConversation;

use super::conversations::checked_role;
use super::{ChatService, ConversationSpec};
use crate::{Caller, ServiceError};

/// A conversation that is brought in.
#[derive(Clone, Default)]
pub struct ImportedConversation {
    /// What it is called.
    pub title: Option<String>,
    /// What the model is told first.
    pub system_prompt: Option<String>,
    /// Which model answers.
    pub model: Option<String>,
    /// How answers are made.
    pub parameters: SamplingRequest,
    /// What becomes of old turns.
    pub memory: Option<Memory>,
    /// Whether it is at hand.
    pub pinned: bool,
    /// Where it was left, as its messages are named here; at the last message if absent.
    pub active_message: Option<String>,
    /// Each after its parent.
    pub messages: Vec<ImportedMessage>,
}

/// A message that is brought in.
#[derive(Clone)]
pub struct ImportedMessage {
    /// What it is called among those that come with it; they get names of this server.
    pub id: Option<String>,
    /// Which message it follows: the one before it in the list where it has no name of its own; `None` with one begins a branch.
    pub parent: Option<String>,
    /// Who says it.
    pub role: ChatRole,
    /// What is said.
    pub content: String,
    /// How it came to its end.
    pub status: MessageStatus,
    /// The name of the model that said it.
    pub model: Option<String>,
    /// When it was said; now if absent.
    pub created_at: Option<Timestamp>,
}

impl ChatService {
    /// Brings conversations in, as new ones of the caller's: all or none.
    pub async fn import(&self, caller: &Caller, imported: Vec<ImportedConversation>) -> Result<Vec<Conversation>, ServiceError> {
        let limit = self.limits.import_conversations;
        if imported.len() > limit {
            return Err(Refusal::field("conversations", format!("must hold at most {limit} conversations")).into());
        }
        let brought: Vec<_> = imported.into_iter().map(|one| self.brought_in(caller, one)).collect::<Result<_, _>>()?;
        let kept = brought.iter().map(|new| new.conversation.clone()).collect();
        self.add_conversations(caller, brought).await?;
        Ok(kept)
    }

    fn brought_in(&self, caller: &Caller, imported: ImportedConversation) -> Result<NewConversation, ServiceError> {
        let now = self.ports.clock.now();
        let limit = self.limits.conversation_messages;
        if imported.messages.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
            return Err(Refusal::field("messages", format!("must hold at most {limit} messages")).into());
        }
        let spec = ConversationSpec {
            title: imported.title,
            system_prompt: imported.system_prompt,
            model: imported.model,
            parameters: imported.parameters,
            memory: imported.memory,
            pinned: imported.pinned,
        };
        let mut conversation = self.checked(spec, Conversation::empty(self.new_conversation_id(), caller.user.id, now))?;
        let mut names: HashMap<String, usize> = HashMap::new();
        let mut messages: Vec<Message> = Vec::with_capacity(imported.messages.len());
        for message in imported.messages {
            let parent = match (&message.id, &message.parent) {
                (_, Some(parent)) => {
                    let unknown = || Refusal::field("parent_id", "must be the id of a message before it");
                    names.get(parent).and_then(|index| messages.get(*index)).map(Some).ok_or_else(unknown)?
                }
                (Some(_), None) => None,
                (None, None) => messages.last(),
            };
            let name = message.id.clone();
            let brought = self.brought_message(conversation.id, parent, message, now)?;
            if let Some(name) = name
                && names.insert(name, messages.len()).is_some()
            {
                return Err(Refusal::field("id", "must not be the same for two messages").into());
            }
            messages.push(brought);
        }
        conversation.active_message = active(imported.active_message, &names, &messages)?;
        if let Some(first) = messages.first() {
            conversation.title = conversation.title.or_else(|| domain::ConversationTitle::of_first_message(&first.content));
        }
        Ok(NewConversation { conversation, messages })
    }

    fn brought_message(
        &self,
        conversation_id: ConversationId,
        parent: Option<&Message>,
        message: ImportedMessage,
        now: Timestamp,
    ) -> Result<Message, ServiceError> {
        let limit = self.limits.message_characters;
        if message.content.chars().count() > limit {
            return Err(Refusal::PromptTooLong { characters: message.content.chars().count(), limit }.into());
        }
        Ok(Message {
            id: self.new_message_id(),
            conversation_id,
            parent_id: parent.map(|parent| parent.id),
            depth: parent.map_or(0, |parent| parent.depth.saturating_add(1)),
            role: checked_role(message.role)?,
            content: message.content,
            status: message.status,
            model: message.model.map(ModelName::new).transpose()?,
            usage: None,
            // Nothing was said in the future; and no database keeps the time before Christ.
            created_at: message.created_at.filter(|at| (0..=now.timestamp()).contains(&at.timestamp())).unwrap_or(now),
        })
    }
}

/// Where an imported conversation goes on.
fn active(name: Option<String>, names: &HashMap<String, usize>, messages: &[Message]) -> Result<Option<MessageId>, Refusal> {
    match name {
        None => Ok(messages.last().map(|last| last.id)),
        Some(name) => {
            let found = names.get(&name).and_then(|index| messages.get(*index));
            found
                .map(|message| Some(message.id))
                .ok_or_else(|| Refusal::field("active_message_id", "must be the id of a message"))
        }
    }
}
