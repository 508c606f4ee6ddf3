//! A user account and the values it is made of.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{Refusal, UserId};

/// What an account may do. An admin sees every user's records and manages models and accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Manages the server.
    Admin,
    /// Uses it.
    User,
}

impl Role {
    /// The role's name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
        }
    }

    /// Reads a role by its name.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "admin" => Ok(Self::Admin),
            "user" => Ok(Self::User),
            _ => Err(Refusal::field("role", "must be 'admin' or 'user'")),
        }
    }
}

/// The name an account signs in with: 1–64 characters, no control characters, no white space around it. Names are compared exactly.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    /// The most characters (Unicode scalar values) a name may have.
    pub const MAX_CHARACTERS: usize = 64;

    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Self, Refusal> {
        let name = name.into();
        if !(1..=Self::MAX_CHARACTERS).contains(&name.chars().count()) {
            return Err(Refusal::field("username", "must have 1 to 64 characters"));
        }
        if name.trim() != name || name.chars().any(char::is_control) {
            return Err(Refusal::field("username", "must not begin or end with a space or contain control characters"));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An address to reach a person by. Checked for its outline only (something, one `@`, a domain): whether it exists, only a letter tells.
///
/// Kept in lower case, so that `Ana@x.org` and `ana@x.org` are one address: no mailbox in use tells them apart. ASCII letters alone are
/// lowered, as every database does it in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// The longest address SMTP can carry (RFC 5321, section 4.5.3.1.3, less the angle brackets), in bytes.
    pub const MAX_BYTES: usize = 254;

    /// Checks an address.
    pub fn new(address: impl Into<String>) -> Result<Self, Refusal> {
        let mut address = address.into();
        address.make_ascii_lowercase();
        let well_formed = address.len() <= Self::MAX_BYTES
            && !address.chars().any(|c| c.is_whitespace() || c.is_control())
            && address
                .split_once('@')
                .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if well_formed {
            Ok(Self(address))
        } else {
            Err(Refusal::field("email", "must look like name@domain, with at most 254 bytes"))
        }
    }

    /// What somebody typed, as it would be kept if it were an address.
    pub fn folded(text: &str) -> String {
        text.to_ascii_lowercase()
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A password as a person typed it: 8–72 bytes, because bcrypt reads no more than 72 and what is longer must not be cut silently.
///
/// It never prints: its `Debug` form is a placeholder.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The fewest bytes of a new password.
    pub const MIN_BYTES: usize = 8;
    /// The most bytes bcrypt takes into account (Provos and Mazières, "A Future-Adaptable Password Scheme", 1999).
    pub const MAX_BYTES: usize = 72;

    /// Checks a new password. bcrypt stops at a NUL byte, so one inside is refused too.
    pub fn new(password: impl Into<String>) -> Result<Self, Refusal> {
        let password = password.into();
        if !(Self::MIN_BYTES..=Self::MAX_BYTES).contains(&password.len()) {
            return Err(Refusal::field(
                "password",
                "must have 8 to 72 bytes in UTF-8 (longer ones cannot be told apart by bcrypt)",
            ));
        }
        if password.contains('\0') {
            return Err(Refusal::field("password", "must not contain a NUL character"));
        }
        Ok(Self(password))
    }

    /// The password itself, for the hasher alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// A password's hash in the hasher's own text form. It never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps what a hasher made or a store kept.
    pub fn new(hash: impl Into<String>) -> Self {
        Self(hash.into())
    }

    /// The hash's text form.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(…)")
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who it is.
    pub id: UserId,
    /// What it signs in with; unique.
    pub username: Username,
    /// Where its person can be reached; unique where it is given.
    pub email: Option<Email>,
    /// What it may do.
    pub role: Role,
    /// A disabled account keeps its records and cannot sign in.
    pub disabled: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_has_1_to_64_characters_counted_as_a_person_counts_them() {
        assert!(Username::new("").is_err());
        assert!(Username::new("é".repeat(64)).is_ok());
        assert!(Username::new("é".repeat(65)).is_err());
        assert!(Username::new(" ana").is_err());
        assert!(Username::new("an\u{0}a").is_err());
    }

    #[test]
    fn a_password_is_measured_in_bytes_and_never_cut() {
        assert!(Password::new("1234567").is_err());
        assert!(Password::new("12345678").is_ok());
        assert!(Password::new("ñ".repeat(36)).is_ok(), "72 bytes");
        assert!(Password::new("ñ".repeat(37)).is_err(), "74 bytes");
        assert!(Password::new("12345678\0").is_err());
    }

    #[test]
    fn a_password_and_its_hash_never_print() {
        let printed = format!("{:?} {:?}", Password::new("secret-one").unwrap(), PasswordHash::new("secret-two"));
        assert!(!printed.contains("secret"), "{printed}");
    }

    #[test]
    fn an_email_in_whatever_case_is_one_email() {
        let email = Email::new("Ana.Garcia@X.org").unwrap();
        assert_eq!(email.as_str(), "ana.garcia@x.org");
        assert_eq!(Email::new(Email::folded("ANA.GARCIA@x.ORG")).unwrap(), email);
    }

    #[test]
    fn an_email_is_checked_for_its_outline_only() {
        for good in ["a@b", "ana.garcia+tag@example.org", "ñ@españa.es"] {
            assert!(Email::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c"] {
            assert!(Email::new(bad).is_err(), "{bad}");
        }
    }
}
