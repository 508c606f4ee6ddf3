//! Pictures and speech: what was asked for, what became of it, and where it is kept.
//!
//! A record is written before the work begins and says at every moment how far it is; it is `done` only once its object is kept. The
//! objects' names are the contract's layout (`api.md`, *Native: images and speech*), made here and nowhere else.

mod identifier;
mod image_size;
mod object_key;
mod speech;

use std::fmt;

use crate::{Cursor, ModelName, Refusal, Seed, Timestamp, UserId};

pub use identifier::MediaId;
pub use image_size::ImageSize;
pub use object_key::{HistoryFile, ObjectKey};
pub use speech::{AudioFormat, Pitch, Speed, VoiceName};

/// What kind of thing was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaKind {
    /// A picture from a description.
    Image,
    /// A text that was spoken.
    Speech,
}

impl MediaKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Image, Self::Speech];

    /// The kind's name in the database and in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Speech => "speech",
        }
    }

    /// Reads a kind by its name.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        known.ok_or_else(|| Refusal::field("kind", "must be image or speech"))
    }
}

/// What was asked for, beside the words.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaSettings {
    /// Of a picture.
    Image {
        /// How large it is.
        size: ImageSize,
        /// Where its random choices began, as far as the provider heeds it.
        seed: Seed,
    },
    /// Of a recording.
    Speech {
        /// Who speaks.
        voice: VoiceName,
        /// How the sound is kept.
        format: AudioFormat,
        /// How fast.
        speed: Speed,
        /// How high.
        pitch: Pitch,
    },
}

impl MediaSettings {
    /// What kind of thing they are for.
    pub const fn kind(&self) -> MediaKind {
        match self {
            Self::Image { .. } => MediaKind::Image,
            Self::Speech { .. } => MediaKind::Speech,
        }
    }
}

/// How far a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaState {
    /// It waits for its turn.
    Queued,
    /// It is being made.
    Running,
    /// It is made and kept.
    Done {
        /// How large the object is.
        size_bytes: u64,
        /// When it was kept.
        finished_at: Timestamp,
    },
    /// It could not be made; nothing is kept of it but the record.
    Failed {
        /// Why, for its owner to read.
        reason: String,
        /// When that was known.
        finished_at: Timestamp,
    },
}

impl MediaState {
    /// The state's name on the wire and in the database.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
        }
    }

    /// When it ended, if it has.
    pub const fn finished_at(&self) -> Option<Timestamp> {
        match self {
            Self::Queued | Self::Running => None,
            Self::Done { finished_at, .. } | Self::Failed { finished_at, .. } => Some(*finished_at),
        }
    }
}

/// A picture or a recording, and all that is known of it.
#[derive(Clone, PartialEq)]
pub struct MediaRecord {
    /// Which one.
    pub id: MediaId,
    /// Whose it is; nobody's if it was made without signing in.
    pub user_id: Option<UserId>,
    /// The description of the picture, or the words that are spoken.
    pub prompt: String,
    /// Which of the server's models made it.
    pub model: ModelName,
    /// What else was asked for.
    pub settings: MediaSettings,
    /// How far it is.
    pub state: MediaState,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// Who looks at a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Somebody who did not sign in.
    Guest,
    /// A user.
    User(UserId),
    /// An admin.
    Admin,
}

impl MediaRecord {
    /// What kind of thing it is.
    pub const fn kind(&self) -> MediaKind {
        self.settings.kind()
    }

    /// Its place in a list.
    pub const fn cursor(&self) -> Cursor {
        Cursor { created_at: self.created_at, id: self.id.uuid() }
    }

    /// Whether this viewer, who knows its identifier, may see and remove it. A record of nobody's belongs to whoever holds its identifier.
    pub fn belongs_to(&self, viewer: Viewer) -> bool {
        match (self.user_id, viewer) {
            (None, _) | (_, Viewer::Admin) => true,
            (Some(owner), Viewer::User(user)) => owner == user,
            (Some(_), Viewer::Guest) => false,
        }
    }

    /// The name of the object itself.
    pub fn content_key(&self) -> ObjectKey {
        match &self.settings {
            MediaSettings::Image { .. } => self.key("image/original.png"),
            MediaSettings::Speech { format, .. } => self.key(match format {
                AudioFormat::Mp3 => "audio/output.mp3",
                AudioFormat::Wav => "audio/output.wav",
                AudioFormat::Opus => "audio/output.opus",
                AudioFormat::Flac => "audio/output.flac",
            }),
        }
    }

    /// The name of a picture's small copy.
    pub fn thumbnail_key(&self) -> Option<ObjectKey> {
        matches!(self.settings, MediaSettings::Image { .. }).then(|| self.key("image/thumbnail.webp"))
    }

    /// The name of the request, as a document.
    pub fn input_key(&self) -> ObjectKey {
        self.key("input.json")
    }

    /// The name of this record, as a document.
    pub fn record_key(&self) -> ObjectKey {
        self.key("record.json")
    }

    /// The file that holds its owner's line for it.
    pub fn history_file(&self) -> Option<HistoryFile> {
        let day = self.created_at.date_naive();
        self.user_id.map(|user_id| HistoryFile { user_id, kind: self.kind(), day })
    }

    fn key(&self, file: &str) -> ObjectKey {
        ObjectKey::of_request(self.created_at.date_naive(), self.id.uuid(), file)
    }

    /// The media type of the object itself.
    pub const fn content_type(&self) -> &'static str {
        match &self.settings {
            MediaSettings::Image { .. } => "image/png",
            MediaSettings::Speech { format, .. } => format.content_type(),
        }
    }
}

/// The words belong to their owner and to no log.
impl fmt::Debug for MediaRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MediaRecord")
            .field("id", &self.id.uuid())
            .field("user_id", &self.user_id)
            .field("settings", &self.settings)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const UUID: Uuid = Uuid::from_u128(0x0197_a1b2_0000_7000_8000_0000_0000_00ff);

    fn record(user_id: Option<UserId>) -> MediaRecord {
        MediaRecord {
            id: MediaId::owned(UUID),
            user_id,
            prompt: "my diary".into(),
            model: ModelName::new("espeak").unwrap(),
            settings: MediaSettings::Image { size: ImageSize::default(), seed: Seed::new(1).unwrap() },
            state: MediaState::Queued,
            created_at: Timestamp::from_timestamp(1_767_268_800, 0).unwrap(),
        }
    }

    #[test]
    fn a_record_is_its_owners_and_the_admins_and_nobodys_is_everybodys() {
        let (ana, bo) = (UserId::new(Uuid::from_u128(1)), UserId::new(Uuid::from_u128(2)));
        let of_ana = record(Some(ana));
        assert!(of_ana.belongs_to(Viewer::User(ana)) && of_ana.belongs_to(Viewer::Admin));
        assert!(!of_ana.belongs_to(Viewer::User(bo)) && !of_ana.belongs_to(Viewer::Guest));
        let nobodys = record(None);
        assert!(nobodys.belongs_to(Viewer::Guest) && nobodys.belongs_to(Viewer::User(bo)));
    }

    #[test]
    fn objects_lie_where_the_contract_says() {
        let record = record(Some(UserId::new(Uuid::from_u128(1))));
        let folder = "requests/2026/01/01/0197a1b2-0000-7000-8000-0000000000ff";
        assert_eq!(record.content_key().as_str(), format!("{folder}/image/original.png"));
        assert_eq!(record.input_key().as_str(), format!("{folder}/input.json"));
        assert_eq!(record.record_key().as_str(), format!("{folder}/record.json"));
        assert_eq!(
            record.history_file().unwrap().key().as_str(),
            "users/00000000-0000-0000-0000-000000000001/image/history/2026/01/01.jsonl"
        );
    }

    #[test]
    fn the_name_of_a_guests_object_does_not_tell_the_identifier_by_which_it_is_read_and_removed() {
        let secret = MediaRecord { id: MediaId::anonymous(UUID, u128::MAX), ..record(None) };
        assert_eq!(secret.content_key(), record(None).content_key());
    }

    #[test]
    fn a_record_prints_no_words_and_no_secret_of_its_identifier() {
        let secret = MediaRecord { id: MediaId::anonymous(UUID, u128::MAX), ..record(None) };
        let printed = format!("{secret:?}");
        assert!(!printed.contains("diary") && !printed.contains("ffffffff"), "{printed}");
    }
}
