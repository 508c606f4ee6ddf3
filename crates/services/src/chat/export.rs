//! Taking conversations along, a page of messages at a time: whoever takes the longest one along costs the memory of one page.
//!
//! Meanwhile the conversation may change. What is added shows up or does not; what comes out is a tree in any case, which an import takes.

use std::collections::HashSet;

use domain::{Conversation, ConversationId, Message, MessageId, UserId};
use ports::MessagePlace;

use super::{ChatService, conversation_error};
use crate::{Caller, ServiceError};

/// How many messages are held at a time.
const MESSAGES_A_PAGE: u32 = 100;

/// How many conversations are, without their messages.
const CONVERSATIONS_A_PAGE: u32 = 20;

/// Which messages of a conversation are read, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageOrder {
    /// All, on all branches, each after its parent. Where a parent is not there, the message begins a branch.
    Tree,
    /// Those of the active branch, the oldest first.
    ActiveBranch,
}

/// Somebody who reads a conversation from its beginning to its end.
pub struct ConversationReader {
    service: ChatService,
    conversation: Conversation,
    place: Place,
    /// Whether the active message was among those that were read.
    found_active: bool,
}

enum Place {
    Tree(TreePlace),
    /// Where the pages of the branch end that are not read yet, the last page first; `None` until they were looked for.
    Branch(Option<Vec<MessageId>>),
}

#[derive(Default)]
struct TreePlace {
    after: Option<MessagePlace>,
    /// Messages of the depth that is being read, and of the one above it: all among which a parent can be.
    read: HashSet<MessageId>,
    above: HashSet<MessageId>,
}

impl TreePlace {
    /// Takes a message in, of which what it follows was not read begins a branch.
    fn pass(&mut self, message: &mut Message) {
        let depth = self.after.map_or(0, |after| after.depth);
        if message.depth > depth {
            self.above = std::mem::take(&mut self.read);
        }
        message.parent_id = message.parent_id.filter(|parent| self.above.contains(parent));
        self.read.insert(message.id);
        self.after = Some(MessagePlace::from(&*message));
    }
}

/// Somebody who reads all conversations of one user, in the order in which they were begun.
pub struct ConversationsReader {
    service: ChatService,
    user_id: UserId,
    page: std::vec::IntoIter<Conversation>,
    after: Option<ConversationId>,
}

impl ChatService {
    /// Reads one of the caller's conversations; an admin reads everybody's.
    pub async fn read_conversation(
        &self,
        caller: &Caller,
        id: ConversationId,
        order: MessageOrder,
    ) -> Result<ConversationReader, ServiceError> {
        let conversation = self.ports.conversations.get(caller.scope(), id).await.map_err(conversation_error)?;
        self.note_access(caller, &conversation, "exported").await;
        Ok(self.reader(conversation, order))
    }

    /// Reads all of the caller's conversations.
    pub fn read_conversations(&self, caller: &Caller) -> ConversationsReader {
        let (service, page) = (self.clone(), Vec::new().into_iter());
        ConversationsReader { service, user_id: caller.user.id, page, after: None }
    }

    fn reader(&self, conversation: Conversation, order: MessageOrder) -> ConversationReader {
        let place = match order {
            MessageOrder::Tree => Place::Tree(TreePlace::default()),
            MessageOrder::ActiveBranch => Place::Branch(None),
        };
        ConversationReader { service: self.clone(), conversation, place, found_active: false }
    }
}

impl ConversationsReader {
    /// The next conversation; `None` after the last.
    pub async fn next(&mut self, order: MessageOrder) -> Result<Option<ConversationReader>, ServiceError> {
        if self.page.as_slice().is_empty() {
            let conversations = &self.service.ports.conversations;
            let page = conversations.list_as_begun(self.user_id, self.after, CONVERSATIONS_A_PAGE).await;
            self.page = page.map_err(ServiceError::Store)?.into_iter();
        }
        let Some(conversation) = self.page.next() else { return Ok(None) };
        self.after = Some(conversation.id);
        Ok(Some(self.service.reader(conversation, order)))
    }
}

impl ConversationReader {
    /// The conversation, as it was when the reading began.
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// Where it was left, once everything was read; `None` too where that message was not among what was read.
    pub fn active_message(&self) -> Option<MessageId> {
        self.conversation.active_message.filter(|_| self.found_active)
    }

    /// The next messages; none after the last.
    pub async fn next(&mut self) -> Result<Vec<Message>, ServiceError> {
        let messages = match &mut self.place {
            Place::Tree(place) => {
                let conversations = &self.service.ports.conversations;
                let page = conversations.messages_after(self.conversation.id, place.after, MESSAGES_A_PAGE).await;
                let mut page = page.map_err(ServiceError::Store)?;
                for message in &mut page {
                    place.pass(message);
                }
                page
            }
            Place::Branch(_) => self.next_of_branch().await?,
        };
        let active = self.conversation.active_message;
        self.found_active = self.found_active || messages.iter().any(|message| Some(message.id) == active);
        Ok(messages)
    }

    /// A branch is found from its end back, so it is gone through once for where its pages are, and then read from its beginning.
    async fn next_of_branch(&mut self) -> Result<Vec<Message>, ServiceError> {
        let ends = match &mut self.place {
            Place::Branch(Some(ends)) => ends,
            place => {
                let mut ends = Vec::new();
                let mut end = self.conversation.active_message;
                while let Some(leaf) = end {
                    let page = page_of_branch(&self.service, self.conversation.id, leaf).await?;
                    ends.extend((!page.is_empty()).then_some(leaf));
                    end = page.first().and_then(|first| first.parent_id);
                }
                *place = Place::Branch(Some(ends));
                let Place::Branch(Some(ends)) = place else { return Ok(Vec::new()) };
                ends
            }
        };
        match ends.pop() {
            Some(leaf) => page_of_branch(&self.service, self.conversation.id, leaf).await,
            None => Ok(Vec::new()),
        }
    }
}

async fn page_of_branch(service: &ChatService, id: ConversationId, leaf: MessageId) -> Result<Vec<Message>, ServiceError> {
    service.ports.conversations.branch(id, leaf, MESSAGES_A_PAGE).await.map_err(ServiceError::Store)
}
