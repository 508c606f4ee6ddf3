//! The plain form for models that were trained on texts and not on conversations:
//!
//! ```text
//! System: Answer like a wolf.
//!
//! User: Who are you?
//!
//! Assistant:
//! ```

use std::fmt::Write as _;

use domain::{ChatMessage, ChatRole};

use super::AnswerForm;

/// A model that goes on with a transcript writes the next speaker's part too, if it is not stopped. Where the longer of two stops ends the
/// text, no empty line is left at its end.
pub(super) const ANSWER: AnswerForm =
    AnswerForm { stops: &["\n\nUser:", "\nUser:", "\n\nSystem:", "\nSystem:"], trims_start: true };

/// The transcript up to where the model goes on. No space at the end: words of most vocabularies begin with theirs.
pub(super) fn write(messages: &[ChatMessage]) -> String {
    let mut text = String::new();
    for message in messages {
        // Writing to a string does not fail.
        let _ = write!(text, "{}: {}\n\n", name(message.role), message.content);
    }
    text.push_str(name(ChatRole::Assistant));
    text.push(':');
    text
}

fn name(role: ChatRole) -> &'static str {
    match role {
        ChatRole::System => "System",
        ChatRole::User => "User",
        ChatRole::Assistant => "Assistant",
    }
}
