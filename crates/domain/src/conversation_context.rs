//! What of a conversation a model is given.
//!
//! The messages of a branch fall into turns: a user's message with the answers that follow it. The newest turns that fit are given, whole
//! ones only, so that no answer stands without its question; the system prompt always. How many fit is found by asking for the size of the
//! whole, because a model's form of a conversation adds tokens of its own: [`TurnSearch`] needs few questions for it.

use crate::{ChatMessage, ChatRole, LengthLimit, Message};

/// Turns of a branch, the oldest first: each as where it begins in the list of its messages.
pub fn turn_starts(messages: &[Message]) -> Vec<usize> {
    let begins = |(index, message): (usize, &Message)| {
        // An import may begin with an answer; that is a turn of its own.
        let after_another_user = index > 0 && messages.get(index - 1).is_some_and(|before| before.role == ChatRole::User);
        ((message.role == ChatRole::User && !after_another_user) || index == 0).then_some(index)
    };
    messages.iter().enumerate().filter_map(begins).collect()
}

/// The messages as a model is given them: what it is told first, then what was said.
///
/// A message without words is left out (an answer that was cut before its first one), and what one role says in a row is joined by an
/// empty line: the chat templates of many models refuse a conversation in which the two do not take turns. A summary of what was dropped
/// stands behind the system prompt, in the same message, because some templates know but one.
pub fn chat_messages(system_prompt: &str, summary: Option<&str>, messages: &[Message]) -> Vec<ChatMessage> {
    let mut chat: Vec<ChatMessage> = Vec::new();
    let told = match summary {
        None => system_prompt.to_owned(),
        Some(summary) if system_prompt.is_empty() => format!("{SUMMARY_HEADING}\n{summary}"),
        Some(summary) => format!("{system_prompt}\n\n{SUMMARY_HEADING}\n{summary}"),
    };
    if !told.is_empty() {
        chat.push(ChatMessage { role: ChatRole::System, content: told });
    }
    for message in messages.iter().filter(|message| !message.content.is_empty()) {
        match chat.last_mut() {
            Some(last) if last.role == message.role => {
                last.content.push_str("\n\n");
                last.content.push_str(&message.content);
            }
            _ => chat.push(ChatMessage { role: message.role, content: message.content.clone() }),
        }
    }
    chat
}

/// What a model is told about the summary that follows.
const SUMMARY_HEADING: &str = "What was said before, in short:";

/// How many tokens a conversation may take of a model's context so that its answer has room.
///
/// The answer gets what it asks for, up to half of the context; where only a total was asked for, a quarter of it.
pub fn prompt_budget(length: LengthLimit, context_length: u32) -> u32 {
    match length {
        LengthLimit::New(new) => context_length - new.min(context_length / 2),
        LengthLimit::Total(total) => {
            let total = total.min(context_length);
            total - total / 4
        }
    }
}

/// The search for the most turns that fit: it asks for the size with so many of the newest turns, and is told whether that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnSearch {
    /// So many fit, or need not: the newest turn is given whatever it takes.
    fit: usize,
    /// So many do not fit, or are not there.
    too_many: usize,
}

impl TurnSearch {
    /// Among so many turns.
    pub const fn among(turns: usize) -> Self {
        Self { fit: 1, too_many: turns + 1 }
    }

    /// With how many turns to try next; `None` once [`TurnSearch::found`] is sure. All of them come first: mostly they fit.
    pub const fn next(&self, turns: usize) -> Option<usize> {
        if self.fit + 1 >= self.too_many {
            None
        } else if self.too_many == turns + 1 {
            Some(turns)
        } else {
            Some(self.fit + (self.too_many - self.fit) / 2)
        }
    }

    /// Notes whether so many turns fit.
    pub const fn note(&mut self, turns: usize, fits: bool) {
        if fits {
            self.fit = turns;
        } else {
            self.too_many = turns;
        }
    }

    /// How many of the newest turns to give: at least the one that is to be answered.
    pub const fn found(&self) -> usize {
        self.fit
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use crate::{ConversationId, MessageId, MessageStatus};

    use super::*;

    fn messages(said: &[(ChatRole, &str)]) -> Vec<Message> {
        let message = |(depth, (role, content)): (usize, &(ChatRole, &str))| Message {
            id: MessageId::new(Uuid::from_u128(depth as u128)),
            conversation_id: ConversationId::new(Uuid::nil()),
            parent_id: None,
            depth: u32::try_from(depth).unwrap(),
            role: *role,
            content: (*content).to_owned(),
            status: MessageStatus::Done,
            model: None,
            usage: None,
            created_at: chrono::DateTime::UNIX_EPOCH,
        };
        said.iter().enumerate().map(message).collect()
    }

    use ChatRole::{Assistant, User};

    #[test]
    fn a_turn_is_what_is_asked_and_what_is_answered() {
        assert_eq!(turn_starts(&messages(&[(User, "a"), (Assistant, "b"), (User, "c")])), [0, 2]);
        assert_eq!(turn_starts(&messages(&[(Assistant, "hello"), (User, "a"), (User, "b"), (Assistant, "c")])), [0, 1]);
        assert_eq!(turn_starts(&[]), [0; 0]);
    }

    fn shown(chat: &[ChatMessage]) -> Vec<(&'static str, &str)> {
        chat.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect()
    }

    #[test]
    fn the_system_prompt_comes_first_and_the_summary_with_it() {
        let said = messages(&[(User, "hello")]);
        assert_eq!(shown(&chat_messages("", None, &said)), [("user", "hello")]);
        assert_eq!(shown(&chat_messages("Be kind.", None, &said)), [("system", "Be kind."), ("user", "hello")]);
        let chat = chat_messages("Be kind.", Some("They met."), &said);
        assert_eq!(chat[0].content, "Be kind.\n\nWhat was said before, in short:\nThey met.");
        assert_eq!(shown(&chat_messages("", Some("They met."), &said))[0].0, "system");
    }

    #[test]
    fn who_speaks_twice_is_heard_once_and_silence_is_left_out() {
        let said = messages(&[(User, "a"), (Assistant, ""), (User, "b"), (Assistant, "c")]);
        assert_eq!(shown(&chat_messages("", None, &said)), [("user", "a\n\nb"), ("assistant", "c")]);
    }

    #[test]
    fn the_answer_has_its_room() {
        assert_eq!(prompt_budget(LengthLimit::New(100), 1024), 924);
        assert_eq!(prompt_budget(LengthLimit::New(4000), 1024), 512);
        assert_eq!(prompt_budget(LengthLimit::Total(200), 1024), 150);
        assert_eq!(prompt_budget(LengthLimit::Total(4000), 1024), 768);
    }

    proptest! {
        /// Whatever turns cost: those that are given fit, one more would not, and the newest is always given.
        #[test]
        fn the_newest_turns_that_fit_are_found_with_few_questions(costs in prop::collection::vec(1..100_u32, 1..300), budget in 0..6000_u32) {
            let size = |turns: usize| -> u32 { costs.iter().rev().take(turns).sum() };
            let mut search = TurnSearch::among(costs.len());
            let mut questions = 0;
            while let Some(turns) = search.next(costs.len()) {
                search.note(turns, size(turns) <= budget);
                questions += 1;
            }
            let found = search.found();
            prop_assert!(found >= 1 && found <= costs.len());
            prop_assert!(found == 1 || size(found) <= budget);
            prop_assert!(found == costs.len() || size(found + 1) > budget);
            prop_assert!(questions <= 10, "{questions} questions for {} turns", costs.len());
        }

        #[test]
        fn roles_take_turns_and_nothing_that_was_said_is_lost(said in prop::collection::vec((any::<bool>(), "[a-z]{0,3}"), 0..30)) {
            let said: Vec<(ChatRole, &str)> = said.iter().map(|(user, text)| (if *user { User } else { Assistant }, text.as_str())).collect();
            let messages = messages(&said);
            let chat = chat_messages("Be kind.", None, &messages);
            prop_assert_eq!(chat[0].content.as_str(), "Be kind.");
            prop_assert!(chat.windows(2).all(|pair| pair[0].role != pair[1].role));
            let all: String = chat[1..].iter().map(|message| message.content.replace('\n', "")).collect();
            prop_assert_eq!(all, said.iter().map(|(_, text)| *text).collect::<String>());
            let starts = turn_starts(&messages);
            prop_assert_eq!(starts.first().copied(), (!messages.is_empty()).then_some(0));
            prop_assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
