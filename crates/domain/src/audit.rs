//! Who did what to whom: events that are only ever added, each chained to the one before by its hash.

use std::fmt::Write as _;

use crate::{Refusal, Timestamp, UserId};

macro_rules! audit_actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AuditAction {
            $($(#[$doc])* $name),+
        }

        impl AuditAction {
            /// Every action, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The action's name on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text),+
                }
            }
        }
    };
}

audit_actions! {
    /// An account was made.
    AccountRegistered = "account.registered",
    /// An account was removed, by its owner or an admin.
    AccountRemoved = "account.removed",
    /// An account was disabled.
    AccountDisabled = "account.disabled",
    /// A disabled account was enabled again.
    AccountEnabled = "account.enabled",
    /// An account's role was changed.
    RoleChanged = "account.role_changed",
    /// An email was changed or removed by its owner.
    EmailChanged = "account.email_changed",
    /// A password was changed by its owner.
    PasswordChanged = "account.password_changed",
    /// A one-time token to set a new password was made.
    PasswordResetIssued = "account.password_reset_issued",
    /// A new password was set with such a token.
    PasswordReset = "account.password_reset",
    /// Somebody signed in.
    SignedIn = "session.signed_in",
    /// Somebody tried to sign in and could not.
    SignInFailed = "session.sign_in_failed",
    /// A session was ended by its owner.
    SignedOut = "session.signed_out",
    /// A spent refresh token was presented, and its session revoked.
    RefreshTokenReused = "session.refresh_token_reused",
    /// An API key was made.
    ApiKeyCreated = "api_key.created",
    /// An API key was removed.
    ApiKeyRemoved = "api_key.removed",
    /// An invitation was made.
    InvitationCreated = "invitation.created",
    /// Limits were changed for a user, a role or a key.
    LimitsChanged = "limits.changed",
    /// A named model was added.
    ModelAdded = "model.added",
    /// A named model was changed.
    ModelChanged = "model.changed",
    /// A named model was removed.
    ModelRemoved = "model.removed",
    /// A model of the hub was fetched to this machine.
    ModelFetched = "model.fetched",
    /// An admin read, changed or removed a record of another user.
    OthersRecordAccessed = "record.accessed_by_admin",
    /// A user took all their data along.
    DataExported = "account.exported",
}

impl AuditAction {
    /// Reads an action by its name.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        let known = Self::ALL.iter().copied().find(|action| action.as_str() == name);
        known.ok_or_else(|| Refusal::field("action", "is not the name of an action"))
    }
}

/// What is to be added to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub occurred_at: Timestamp,
    /// What.
    pub action: AuditAction,
    /// Who; nobody where a sign-in failed, or the command line did it.
    pub actor: Option<UserId>,
    /// To whom or what: `user:…`, `key:…`, `model:…`, `llm:…`, `text_generation:…`. For a failed sign-in the name that was tried, cut to 64
    /// characters, where an account has it; else `unknown:…` and a short hash of what was typed.
    pub subject: String,
    /// From which address.
    pub address: Option<String>,
    /// More, in a few words; never a secret.
    pub detail: String,
}

/// An entry in its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its number: 1, 2, 3, … without a gap.
    pub sequence: i64,
    /// What happened.
    pub entry: AuditEntry,
    /// The hash of the event before it; for the first one 64 zeros.
    pub previous_hash: String,
    /// The SHA-256, in lower-case hexadecimal, of [`AuditEntry::hashed_text`].
    pub hash: String,
}

/// The hash before the first event.
pub const AUDIT_GENESIS_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl AuditEntry {
    /// What an event's hash is taken of: every field with its length before it, so that no two events share a text.
    pub fn hashed_text(&self, sequence: i64, previous_hash: &str) -> String {
        let mut text = String::new();
        let actor = self.actor.map(|id| id.to_string()).unwrap_or_default();
        let fields = [
            previous_hash.to_owned(),
            sequence.to_string(),
            self.occurred_at.timestamp_micros().to_string(),
            self.action.as_str().to_owned(),
            actor,
            self.subject.clone(),
            self.address.clone().unwrap_or_default(),
            self.detail.clone(),
        ];
        for field in fields {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}:{field};", field.len());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(subject: &str, detail: &str) -> AuditEntry {
        AuditEntry {
            occurred_at: Timestamp::UNIX_EPOCH,
            action: AuditAction::SignedIn,
            actor: None,
            subject: subject.into(),
            address: None,
            detail: detail.into(),
        }
    }

    #[test]
    fn every_action_is_found_by_its_own_name_and_no_two_share_one() {
        for action in AuditAction::ALL {
            assert_eq!(AuditAction::parse(action.as_str()), Ok(*action));
        }
        assert!(AuditAction::parse("nothing").is_err());
    }

    #[test]
    fn what_is_hashed_changes_with_every_field_and_with_where_one_ends() {
        let text = entry("ab", "c").hashed_text(1, AUDIT_GENESIS_HASH);
        assert_ne!(text, entry("a", "bc").hashed_text(1, AUDIT_GENESIS_HASH));
        assert_ne!(text, entry("ab", "c").hashed_text(2, AUDIT_GENESIS_HASH));
        assert_ne!(text, entry("ab", "c").hashed_text(1, "1"));
    }
}
