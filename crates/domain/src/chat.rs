//! What a conversation consists of.

use std::fmt;

use crate::Refusal;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChatRole {
    /// Whoever set the conversation up: what the model should be and do.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl ChatRole {
    /// The role's name on the wire, in the database and in chat templates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    /// Reads a role by its name. `developer` is what newer clients call the system.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "system" | "developer" => Ok(Self::System),
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            _ => Err(Refusal::field("role", "must be 'system', 'user' or 'assistant'")),
        }
    }
}

/// One message of a conversation. It never prints what was said.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who says it.
    pub role: ChatRole,
    /// What is said.
    pub content: String,
}

impl fmt::Debug for ChatMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ChatMessage({}, {} bytes)", self.role.as_str(), self.content.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_read_back_from_its_name() {
        for role in [ChatRole::System, ChatRole::User, ChatRole::Assistant] {
            assert_eq!(ChatRole::parse(role.as_str()), Ok(role));
        }
        assert_eq!(ChatRole::parse("developer"), Ok(ChatRole::System));
        assert!(ChatRole::parse("tool").is_err());
    }

    #[test]
    fn a_message_does_not_print() {
        let message = ChatMessage { role: ChatRole::User, content: "my diary".to_owned() };
        assert_eq!(format!("{message:?}"), "ChatMessage(user, 8 bytes)");
    }
}
