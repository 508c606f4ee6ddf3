//! Pictures and speech: what was asked for, what became of it, and where it is kept.
//!
//! A record is written before the work begins and says at every moment how far it is; it is `done` only once its object is kept. The
//! objects' names are the contract's layout (`api.md`, *Native: images and speech*), made here and nowhere else.

mod object_key;
mod speech;

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::{Cursor, ModelName, Refusal, Seed, Timestamp, UserId};

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

/// Identifies a picture or a recording.
///
/// A UUID of version 7; for one that belongs to nobody followed by 128 random bits. A UUID of version 7 tells its time and may be counted
/// up from another one, so that it can be guessed; whoever knows the whole identifier of an anonymous record was given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaId {
    uuid: Uuid,
    secret: Option<u128>,
}

impl MediaId {
    /// The identifier of a user's record.
    pub const fn owned(uuid: Uuid) -> Self {
        Self { uuid, secret: None }
    }

    /// The identifier of a record that belongs to nobody.
    pub const fn anonymous(uuid: Uuid, random_bits: u128) -> Self {
        Self { uuid, secret: Some(random_bits) }
    }

    /// The UUID alone, which orders records of the same instant.
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(formatter)?;
        self.secret.map_or(Ok(()), |secret| write!(formatter, "-{secret:032x}"))
    }
}

/// Bytes of a UUID written with hyphens.
const UUID_BYTES: usize = 36;
/// Hexadecimal digits of an anonymous identifier's random bits.
const SECRET_DIGITS: usize = 32;

impl FromStr for MediaId {
    type Err = Refusal;

    /// Reads what [`fmt::Display`] writes, and no other spelling: an identifier has one name in storage.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refused = || Refusal::field("id", "is not an identifier of this server");
        let (uuid, rest) = text.split_at_checked(UUID_BYTES).ok_or_else(refused)?;
        let uuid = Uuid::parse_str(uuid).map_err(|_| refused())?;
        let secret = match rest.strip_prefix('-') {
            None => None,
            Some(digits) if digits.len() == SECRET_DIGITS => Some(u128::from_str_radix(digits, 16).map_err(|_| refused())?),
            Some(_) => return Err(refused()),
        };
        let id = Self { uuid, secret };
        if id.to_string() == text { Ok(id) } else { Err(refused()) }
    }
}

/// Width and height in pixels, each 64–2048.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageSize {
    width: u32,
    height: u32,
}

impl ImageSize {
    /// The shortest side allowed.
    pub const MIN: u32 = 64;
    /// The longest side allowed.
    pub const MAX: u32 = 2048;

    /// Checks a size.
    pub fn new(width: u32, height: u32) -> Result<Self, Refusal> {
        let allowed = Self::MIN..=Self::MAX;
        if allowed.contains(&width) && allowed.contains(&height) { Ok(Self { width, height }) } else { Err(refused_size()) }
    }

    /// The pixels from left to right.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// The pixels from top to bottom.
    pub const fn height(self) -> u32 {
        self.height
    }
}

fn refused_size() -> Refusal {
    Refusal::field("size", format!("must be WIDTHxHEIGHT, as in 512x512, with {} to {} a side", ImageSize::MIN, ImageSize::MAX))
}

impl Default for ImageSize {
    fn default() -> Self {
        Self { width: 512, height: 512 }
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.width, self.height)
    }
}

impl FromStr for ImageSize {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let side = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let (width, height) = text.split_once('x').ok_or_else(refused_size)?;
        let (width, height) = side(width).zip(side(height)).ok_or_else(refused_size)?;
        Self::new(width, height)
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
        Cursor { created_at: self.created_at, id: self.id.uuid }
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
        ObjectKey::of_request(self.created_at.date_naive(), self.id, file)
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
            .field("id", &self.id.uuid)
            .field("user_id", &self.user_id)
            .field("settings", &self.settings)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: Uuid = Uuid::from_u128(0x0197_a1b2_0000_7000_8000_0000_0000_00ff);

    #[test]
    fn an_identifier_has_one_spelling() {
        let (owned, anonymous) = (MediaId::owned(UUID), MediaId::anonymous(UUID, 5));
        assert_eq!(owned.to_string(), "0197a1b2-0000-7000-8000-0000000000ff");
        assert_eq!(anonymous.to_string(), "0197a1b2-0000-7000-8000-0000000000ff-00000000000000000000000000000005");
        for id in [owned, anonymous] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let digits = "0".repeat(SECRET_DIGITS);
        for text in [
            String::new(),
            "x".into(),
            format!("{owned}-"),
            format!("{owned}-5"),
            format!("{owned}{digits}"),
            format!("{owned}-+{}", &digits[1..]),
            owned.to_string().to_uppercase(),
            format!("{anonymous}/../x"),
            "é".repeat(30),
        ] {
            assert!(text.parse::<MediaId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_lies_within_its_bounds() {
        assert_eq!("64x2048".parse(), Ok(ImageSize { width: 64, height: 2048 }));
        for text in ["", "512", "512X512", "63x512", "512x2049", "+512x512", "512x512x512", "x", "-1x512", "99999999999x64"] {
            assert!(text.parse::<ImageSize>().is_err(), "{text}");
        }
        assert_eq!(ImageSize::default().to_string(), "512x512");
    }

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
    fn a_record_prints_no_words_and_no_secret_of_its_identifier() {
        let secret = MediaRecord { id: MediaId::anonymous(UUID, u128::MAX), ..record(None) };
        let printed = format!("{secret:?}");
        assert!(!printed.contains("diary") && !printed.contains("ffffffff"), "{printed}");
    }
}
