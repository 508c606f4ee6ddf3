//! An answer while it is being made: its pieces, and how it came to its end.

use crate::{ChatRole, ChatStreamId, ConversationId, Message, MessageId, MessageStatus, ModelName, Timestamp, UserId};

/// The last line of a chat's event stream.
const LAST_LINE: &str = "[DONE]";

/// Makes the pieces of a generated text fit for a stream of lines.
///
/// - A line end is `\n`, whichever the model wrote (`\r\n` or `\r` too): an event stream cannot tell them apart, and what is stored is to
///   be what was sent.
/// - No line of a piece is exactly `[DONE]`, which is how a chat stream ends: such a piece is cut inside the word.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChatPieces {
    /// The last piece ended with `\r`: a `\n` that follows belongs to it.
    after_return: bool,
}

impl ChatPieces {
    /// The next pieces of the answer. None is empty; there may be none.
    pub fn next(&mut self, text: &str) -> Vec<String> {
        if text.is_empty() {
            return Vec::new();
        }
        let ends_with_return = text.ends_with('\r');
        let text = if self.after_return { text.strip_prefix('\n').unwrap_or(text) } else { text };
        self.after_return = ends_with_return;
        let text = if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() };
        cut_inside_last_lines(&text)
    }
}

/// The text, cut wherever a line of it would be the last line of a stream.
fn cut_inside_last_lines(text: &str) -> Vec<String> {
    let mut pieces = vec![String::with_capacity(text.len())];
    for (number, line) in text.split('\n').enumerate() {
        if let Some(piece) = pieces.last_mut().filter(|_| number > 0) {
            piece.push('\n');
        }
        let (head, tail) = if line == LAST_LINE { line.split_at(LAST_LINE.len() / 2) } else { (line, "") };
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(head);
        }
        if !tail.is_empty() {
            pieces.push(tail.to_owned());
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Why an answer broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChatFailure {
    /// It waited or ran past its deadline.
    DeadlineExceeded,
    /// The server stopped.
    ShuttingDown,
    /// The process that made it is gone.
    Abandoned,
    /// A provider could not be reached, asked to wait, or answered badly.
    Provider,
    /// Anything else; the cause is in the log.
    Failed,
}

impl ChatFailure {
    /// Its name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::ShuttingDown => "shutting_down",
            Self::Abandoned => "abandoned",
            Self::Provider => "provider",
            Self::Failed => "failed",
        }
    }

    /// Reads it by its name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::DeadlineExceeded, Self::ShuttingDown, Self::Abandoned, Self::Provider, Self::Failed]
            .into_iter()
            .find(|failure| failure.as_str() == name)
    }
}

/// Whether an answer is still being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChatStreamState {
    /// It is.
    Running,
    /// It ended: by itself, or because its user stopped it.
    Done,
    /// It broke off.
    Failed(ChatFailure),
}

/// An answer that is being made, or was a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatStream {
    /// Which one.
    pub id: ChatStreamId,
    /// Whom it answers.
    pub user_id: UserId,
    /// In which conversation.
    pub conversation_id: ConversationId,
    /// Which message it answers.
    pub parent_id: MessageId,
    /// How many messages come before that one.
    pub parent_depth: u32,
    /// Which message it will be.
    pub message_id: MessageId,
    /// The name of the model that makes it.
    pub model: ModelName,
    /// Whether it is still being made.
    pub state: ChatStreamState,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When the process that makes it last said so.
    pub beat_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl ChatStream {
    /// The message that an answer becomes.
    pub fn message(&self, content: String, status: MessageStatus) -> Message {
        Message {
            id: self.message_id,
            conversation_id: self.conversation_id,
            parent_id: Some(self.parent_id),
            depth: self.parent_depth.saturating_add(1),
            role: ChatRole::Assistant,
            content,
            status,
            model: Some(self.model.clone()),
            usage: None,
            created_at: self.started_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(texts: &[&str]) -> Vec<String> {
        let mut pieces = ChatPieces::default();
        texts.iter().flat_map(|text| pieces.next(text)).collect()
    }

    #[test]
    fn every_line_end_is_a_newline_also_where_it_is_split() {
        assert_eq!(pieces(&["a\r\nb\rc", "d\r", "\ne", "\r", "f", "\r", "\n"]), ["a\nb\nc", "d\n", "e", "\n", "f", "\n"]);
    }

    #[test]
    fn the_word_that_ends_a_stream_is_cut_where_it_would_be_a_line() {
        assert_eq!(pieces(&["[DONE]"]), ["[DO", "NE]"]);
        assert_eq!(pieces(&["a\n[DONE]\nb"]), ["a\n[DO", "NE]\nb"]);
        assert_eq!(pieces(&["[DONE]\n[DONE]"]), ["[DO", "NE]\n[DO", "NE]"]);
        assert_eq!(pieces(&["a [DONE]"]), ["a [DONE]"]);
    }

    #[test]
    fn a_failure_is_read_back_from_its_name() {
        use ChatFailure::{Abandoned, DeadlineExceeded, Failed, Provider, ShuttingDown};
        for failure in [DeadlineExceeded, ShuttingDown, Abandoned, Provider, Failed] {
            assert_eq!(ChatFailure::parse(failure.as_str()), Some(failure));
        }
        assert_eq!(ChatFailure::parse("bored"), None);
    }

    proptest! {
        #[test]
        fn pieces_say_what_was_said_and_no_line_of_them_is_the_last(
            texts in prop::collection::vec("(\r|\n|\r\n|a|\\[DONE\\]|DONE|\\[|ñ){0,6}", 0..12),
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let whole = texts.concat().replace("\r\n", "\n").replace('\r', "\n");
            let pieces = pieces(&texts);
            prop_assert_eq!(pieces.concat(), whole);
            for piece in &pieces {
                prop_assert!(!piece.is_empty() && !piece.contains('\r'));
                prop_assert!(piece.split('\n').all(|line| line != "[DONE]"), "{piece:?}");
            }
        }
    }
}
