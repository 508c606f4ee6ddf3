//! Conversations, and the messages they consist of.
//!
//! A conversation is a tree. Every message but the first of a branch follows another; a message that is edited, or an answer that is made
//! again, becomes a sibling of the old one, which stays with all that followed it. The conversation points at the leaf of the branch that
//! is being read and written: the path from there to the root is what a person sees and a model is given.

use std::fmt;

use crate::{ChatRole, ConversationId, MessageId, ModelName, Refusal, SamplingRequest, Timestamp, TokenUsage, UserId};

/// A conversation's name in a list: 1–200 characters on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationTitle(String);

impl ConversationTitle {
    /// The longest there is, in Unicode scalar values.
    pub const MAX_CHARACTERS: usize = 200;
    /// Where a title that is made from a message is cut: about what a list shows on a phone.
    const MADE_CHARACTERS: usize = 60;

    /// Checks a title that a person gave; white space around it goes.
    pub fn new(title: &str) -> Result<Self, Refusal> {
        let title = title.trim();
        let characters = title.chars().count();
        if !(1..=Self::MAX_CHARACTERS).contains(&characters) || title.chars().any(char::is_control) {
            return Err(Refusal::field("title", "must have 1 to 200 characters on one line"));
        }
        Ok(Self(title.to_owned()))
    }

    /// A title from the first message of a conversation: its first line that says something, cut at a word. `None` where none does.
    pub fn of_first_message(message: &str) -> Option<Self> {
        let line = message.lines().map(visible_words).find(|line| !line.is_empty())?;
        let end = line.char_indices().nth(Self::MADE_CHARACTERS).map(|(end, _)| end);
        let Some(head) = end.and_then(|end| line.get(..end)) else { return Some(Self(line)) };
        // A single endless word is cut where it is; otherwise no word is left in half.
        let cut = head.rfind(' ').and_then(|space| head.get(..space)).filter(|cut| !cut.is_empty()).unwrap_or(head);
        Some(Self(format!("{cut}…")))
    }

    /// The title itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A line's words with one space between, without control characters.
fn visible_words(line: &str) -> String {
    let shown: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is looked for in a person's conversations: 1–200 characters, in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// Checks what is looked for.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        if (1..=200).contains(&text.chars().count()) {
            Ok(Self(folded(text)))
        } else {
            Err(Refusal::field("search", "must have 1 to 200 characters"))
        }
    }

    /// The text in the form of [`folded`].
    pub fn as_folded(&self) -> &str {
        &self.0
    }
}

/// A text without the difference between upper and lower case, for comparing.
pub fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// What becomes of turns that no longer fit the model's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Memory {
    /// They are left out.
    Newest,
    /// A summary stands for them, which the model itself makes.
    Summary,
}

impl Memory {
    /// Its name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Summary => "summary",
        }
    }

    /// Reads it by its name.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "newest" => Ok(Self::Newest),
            "summary" => Ok(Self::Summary),
            _ => Err(Refusal::field("memory", "must be 'newest' or 'summary'")),
        }
    }
}

/// What the model made of the turns up to a message.
#[derive(Clone, PartialEq, Eq)]
pub struct ConversationSummary {
    /// What was said, in short.
    pub text: String,
    /// The last message that it speaks of.
    pub up_to: MessageId,
}

impl fmt::Debug for ConversationSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ConversationSummary({} bytes up to {})", self.text.len(), self.up_to)
    }
}

/// A conversation, without its messages.
#[derive(Clone, PartialEq)]
pub struct Conversation {
    /// Which one.
    pub id: ConversationId,
    /// Whose it is.
    pub user_id: UserId,
    /// Whether it is the one that its user talks in without naming any; every user has at most one.
    pub is_default: bool,
    /// What it is called; `None` until its first message, or its user, names it.
    pub title: Option<ConversationTitle>,
    /// What the model is told before everything else; `None` for the server's own, empty for nothing.
    pub system_prompt: Option<String>,
    /// Which model answers where a message names none; `None` for the server's default.
    pub model: Option<ModelName>,
    /// How its answers are made where a message does not say.
    pub parameters: SamplingRequest,
    /// What becomes of old turns; `None` for what suits the model.
    pub memory: Option<Memory>,
    /// Whether its user wants it at hand.
    pub pinned: bool,
    /// The last message of the branch that is being talked in; `None` while there is no message.
    pub active_message: Option<MessageId>,
    /// What stands for turns that were dropped.
    pub summary: Option<ConversationSummary>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When something was last said or changed in it.
    pub updated_at: Timestamp,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, user_id, is_default, active_message, .. } = self;
        write!(formatter, "Conversation({id} of {user_id}, default: {is_default}, at {active_message:?})")
    }
}

impl Conversation {
    /// One without messages, a name or settings of its own.
    pub fn empty(id: ConversationId, user_id: UserId, now: Timestamp) -> Self {
        Self {
            id,
            user_id,
            is_default: false,
            title: None,
            system_prompt: None,
            model: None,
            parameters: SamplingRequest::default(),
            memory: None,
            pinned: false,
            active_message: None,
            summary: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// How a message came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageStatus {
    /// It was said whole.
    Done,
    /// It was cut: its user stopped it or stayed away, or the server stopped. It holds what was said until then.
    Interrupted,
    /// It broke off because something failed. It holds what was said until then.
    Failed,
}

impl MessageStatus {
    /// Its name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }

    /// Reads it by its name.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "done" => Ok(Self::Done),
            "interrupted" => Ok(Self::Interrupted),
            "failed" => Ok(Self::Failed),
            _ => Err(Refusal::field("status", "must be 'done', 'interrupted' or 'failed'")),
        }
    }
}

/// What of a conversation its model was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContextUse {
    /// Messages that the model was given, the one to answer included.
    pub messages_used: u32,
    /// Messages before those, which did not fit.
    pub messages_dropped: u32,
    /// All that the model was given, in tokens, the system prompt and the form of a conversation included.
    pub prompt_tokens: u32,
}

/// A message of a conversation. It never prints what was said.
#[derive(Clone, PartialEq)]
pub struct Message {
    /// Which one.
    pub id: MessageId,
    /// Of which conversation.
    pub conversation_id: ConversationId,
    /// The message that it follows; `None` where it begins the conversation.
    pub parent_id: Option<MessageId>,
    /// How many messages come before it in its branch.
    pub depth: u32,
    /// Who says it: the user or the assistant.
    pub role: ChatRole,
    /// What is said.
    pub content: String,
    /// How it came to its end.
    pub status: MessageStatus,
    /// The name of the model that said it, for an answer.
    pub model: Option<ModelName>,
    /// Tokens read and made, for an answer.
    pub usage: Option<TokenUsage>,
    /// When it was asked for or said.
    pub created_at: Timestamp,
}

impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, depth, role, content, status, .. } = self;
        let (role, status, bytes) = (role.as_str(), status.as_str(), content.len());
        write!(formatter, "Message({id} at {depth}, {role}, {status}, {bytes} bytes)")
    }
}

/// The messages of the branch that ends with `leaf`, the oldest first. What cannot be reached from there, or goes round in a circle, is
/// left out.
pub fn path_to(messages: &[Message], leaf: MessageId) -> Vec<&Message> {
    let by_id: std::collections::HashMap<MessageId, &Message> = messages.iter().map(|message| (message.id, message)).collect();
    let mut path = Vec::new();
    let mut next = by_id.get(&leaf).copied();
    while let Some(message) = next {
        if path.len() >= messages.len() {
            break;
        }
        path.push(message);
        next = message.parent_id.and_then(|id| by_id.get(&id).copied());
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_title_is_the_first_line_that_says_something_cut_at_a_word() {
        let title = |message: &str| ConversationTitle::of_first_message(message).map(|title| title.0);
        assert_eq!(title("  \n\t\n Hello,  world \nsecond line").as_deref(), Some("Hello, world"));
        assert_eq!(title(" \n\u{7}\n"), None);
        let long = "Tell me everything that you know about the dragons of the northern mountains";
        assert_eq!(title(long).as_deref(), Some("Tell me everything that you know about the dragons of the…"));
        assert_eq!(title(&"é".repeat(90)).map(|title| title.chars().count()), Some(61));
    }

    #[test]
    fn a_title_is_one_line_of_some_length() {
        assert_eq!(ConversationTitle::new(" Dragons ").unwrap().as_str(), "Dragons");
        assert!(ConversationTitle::new(&"x".repeat(200)).is_ok());
        for refused in ["", "  ", "a\nb", &"x".repeat(201)] {
            assert!(ConversationTitle::new(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for status in [MessageStatus::Done, MessageStatus::Interrupted, MessageStatus::Failed] {
            assert_eq!(MessageStatus::parse(status.as_str()), Ok(status));
        }
        for memory in [Memory::Newest, Memory::Summary] {
            assert_eq!(Memory::parse(memory.as_str()), Ok(memory));
        }
        assert!(Memory::parse("all").is_err() && MessageStatus::parse("").is_err());
    }

    fn message(id: u128, parent: Option<u128>) -> Message {
        Message {
            id: MessageId::new(Uuid::from_u128(id)),
            conversation_id: ConversationId::new(Uuid::nil()),
            parent_id: parent.map(|id| MessageId::new(Uuid::from_u128(id))),
            depth: 0,
            role: ChatRole::User,
            content: "my diary".to_owned(),
            status: MessageStatus::Done,
            model: None,
            usage: None,
            created_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_message_does_not_print() {
        assert!(!format!("{:?}", message(1, None)).contains("diary"));
    }

    proptest! {
        #[test]
        fn a_path_goes_from_the_root_to_the_leaf_and_every_message_follows_the_one_before(
            parents in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
            leaf: prop::sample::Index,
        ) {
            let tree: Vec<Message> = parents.iter().enumerate().map(|(number, parent)| {
                let parent = parent.index(number + 1);
                message(number as u128 + 1, (parent > 0).then_some(parent as u128))
            }).collect();
            let leaf = &tree[leaf.index(tree.len())];
            let path = path_to(&tree, leaf.id);
            prop_assert_eq!(path.last().map(|message| message.id), Some(leaf.id));
            prop_assert_eq!(path[0].parent_id, None);
            for pair in path.windows(2) {
                prop_assert_eq!(pair[1].parent_id, Some(pair[0].id));
            }
        }

        #[test]
        fn any_message_gives_a_title_that_a_person_could_have_given(text in "\\PC{0,120}|[ \\n\\r\\ta-c]{0,120}") {
            if let Some(title) = ConversationTitle::of_first_message(&text) {
                prop_assert_eq!(ConversationTitle::new(title.as_str()).unwrap(), title);
            } else {
                prop_assert!(text.chars().all(|c| c.is_whitespace() || c.is_control()));
            }
        }
    }

    #[test]
    fn messages_that_go_round_in_a_circle_have_an_end_all_the_same() {
        let circle = [message(1, Some(2)), message(2, Some(1))];
        assert_eq!(path_to(&circle, circle[0].id).len(), 2);
    }
}
