//! Keys by which programs call, instead of people who sign in.

use std::fmt;

use uuid::Uuid;

use crate::{Refusal, Timestamp, UserId};

/// What a key may be used for. A person who signs in may do all that their role allows; a key only what its scopes name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Text generations and the models they use.
    Text,
    /// Conversations.
    Chat,
    /// Pictures.
    Images,
    /// Speech.
    Speech,
    /// What an admin may do; only an admin can make such a key, and it stops working if they no longer are one.
    Admin,
}

impl Scope {
    /// Every scope, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Text, Self::Chat, Self::Images, Self::Speech, Self::Admin];

    /// The scope's name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Chat => "chat",
            Self::Images => "images",
            Self::Speech => "speech",
            Self::Admin => "admin",
        }
    }

    /// Reads a scope by its name.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == name)
            .ok_or_else(|| Refusal::field("scopes", "must hold any of 'text', 'chat', 'images', 'speech', 'admin'"))
    }
}

/// Identifies an API key. Not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(Uuid);

impl ApiKeyId {
    /// Wraps an identifier drawn from a source of randomness, or read from where it was kept.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The bare UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The SHA-256 of an API key, in lower-case hexadecimal. The key itself is known to its owner alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApiKeyHash(String);

impl ApiKeyHash {
    /// Wraps a hash that was computed or kept.
    pub fn new(hash: impl Into<String>) -> Self {
        Self(hash.into())
    }

    /// The hash's text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKeyHash(…)")
    }
}

/// What an owner calls a key: 1–100 characters, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyName(String);

impl ApiKeyName {
    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Self, Refusal> {
        let name = name.into();
        if (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
            Ok(Self(name))
        } else {
            Err(Refusal::field("name", "must have 1 to 100 characters, none of them a control character"))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key as it is kept: everything but the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Which one.
    pub id: ApiKeyId,
    /// Whose it is.
    pub user_id: UserId,
    /// What its owner calls it.
    pub name: ApiKeyName,
    /// How the key begins: enough to recognise it by, and to find it by an index.
    pub prefix: String,
    /// What it may be used for; sorted, never empty.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, if it does.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it works at `now`.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}
