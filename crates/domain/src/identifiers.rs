//! Identifiers: one type for each kind of thing, so that a user's can never be passed where a session's belongs.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// A UUID of version 7 (RFC 9562): made in the order of time, so that rows with it lie side by side in an index.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an identifier drawn from a source of randomness, or read from where it was kept.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

identifier!(
    /// Identifies a user account.
    UserId
);
identifier!(
    /// Identifies a sign-in: one device, from login to logout.
    SessionId
);
identifier!(
    /// Identifies a stored text generation.
    TextGenerationId
);
identifier!(
    /// Names a completion, which is not stored, for its client.
    CompletionId
);
identifier!(
    /// Identifies a conversation.
    ConversationId
);
identifier!(
    /// Identifies a message of a conversation.
    MessageId
);
identifier!(
    /// Identifies the stream of one answer in a conversation.
    ChatStreamId
);
