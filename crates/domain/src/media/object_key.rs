//! Names of stored objects, which lead nowhere but into the storage.

use std::fmt;

use chrono::{Datelike, NaiveDate};
use uuid::Uuid;

use super::{MediaId, MediaKind};
use crate::{Refusal, UserId};

/// The name of an object: segments of ASCII letters, digits, `-`, `_` and `.` with `/` between them, 512 bytes at most.
///
/// No segment is empty or begins with `.`, so that a name can be joined to a folder and stays below it, and needs no escaping in a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The longest name, in bytes; S3 would allow 1024.
    pub const MAX_BYTES: usize = 512;

    /// Checks a name.
    pub fn parse(text: impl Into<String>) -> Result<Self, Refusal> {
        let text = text.into();
        if text.len() <= Self::MAX_BYTES && text.split('/').all(is_segment) {
            Ok(Self(text))
        } else {
            Err(Refusal::field("key", "is not the name of an object"))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The UUID of the record that this object is part of, if it is part of one.
    pub fn media_uuid(&self) -> Option<Uuid> {
        let mut segments = self.0.split('/');
        (segments.next() == Some("requests")).then_some(())?;
        let id: MediaId = segments.nth(3)?.parse().ok()?;
        Some(id.uuid())
    }

    /// The user whose history this object is, if it is one.
    pub fn user_id(&self) -> Option<UserId> {
        let mut segments = self.0.split('/');
        (segments.next() == Some("users")).then_some(())?;
        segments.next()?.parse().ok()
    }

    /// Links tell the names of objects to whoever has them for a while, so that a name must not hold what a guest's record is read and
    /// removed by: its UUID stands there alone.
    pub(super) fn of_request(day: NaiveDate, uuid: Uuid, file: &str) -> Self {
        Self(format!("requests/{}/{uuid}/{file}", day_path(day)))
    }
}

fn day_path(day: NaiveDate) -> String {
    format!("{:04}/{:02}/{:02}", day.year(), day.month(), day.day())
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One day of a user's pictures or recordings: a line for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HistoryFile {
    /// Whose.
    pub user_id: UserId,
    /// Of what.
    pub kind: MediaKind,
    /// The day (UTC) on which they were asked for.
    pub day: NaiveDate,
}

impl HistoryFile {
    /// The name of the object that holds the lines.
    pub fn key(&self) -> ObjectKey {
        let folder = match self.kind {
            MediaKind::Image => "image",
            MediaKind::Speech => "tts",
        };
        ObjectKey(format!("users/{}/{folder}/history/{}.jsonl", self.user_id, day_path(self.day)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_lead_out_of_the_storage_is_no_name() {
        for text in
            ["", "/", "/etc/passwd", "a//b", "a/../b", "..", "a/.", ".hidden", "a/.b", "a\\b", "a b", "é", "a\0", "a/", "a:b"]
        {
            assert!(ObjectKey::parse(text).is_err(), "{text:?}");
        }
        assert!(ObjectKey::parse("a".repeat(513)).is_err());
        assert_eq!(ObjectKey::parse("a/b-c_d.e").unwrap().as_str(), "a/b-c_d.e");
    }

    #[test]
    fn a_name_tells_whose_it_is() {
        let (uuid, day) = (Uuid::from_u128(7), NaiveDate::from_ymd_opt(2026, 11, 21).unwrap());
        let of_request = ObjectKey::of_request(day, uuid, "audio/output.mp3");
        assert_eq!((of_request.media_uuid(), of_request.user_id()), (Some(uuid), None));
        let file = HistoryFile { user_id: UserId::new(Uuid::from_u128(8)), kind: MediaKind::Speech, day };
        assert_eq!((file.key().media_uuid(), file.key().user_id()), (None, Some(file.user_id)));
        assert!(file.key().as_str().ends_with("/tts/history/2026/11/21.jsonl"));
        assert_eq!(ObjectKey::parse("requests/2026/11/21/x/input.json").unwrap().media_uuid(), None);
    }

    proptest! {
        #[test]
        fn a_name_that_is_accepted_stays_below_the_folder_it_is_joined_to(text in "[a-z./\\\\]{0,20}") {
            if let Ok(key) = ObjectKey::parse(text) {
                let path = std::path::Path::new(key.as_str());
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
