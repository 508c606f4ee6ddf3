//! Rows of `media`.

use chrono::NaiveDateTime;
use diesel::{AsChangeset, Insertable, Queryable, Selectable};
use domain::{
    AudioFormat, ImageSize, MediaKind, MediaRecord, MediaSettings, MediaState, ModelName, Pitch, Refusal, Seed, Speed, VoiceName,
};
use ports::StoreError;
use serde::{Deserialize, Serialize};

use super::{
    corrupt, from_kept_time, parse_id, parse_number, parse_optional_id, parse_text, refused, to_kept_text, to_kept_time,
};
use crate::schema::media;

const TABLE: &str = "media";

/// A picture or a recording as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = media)]
pub(crate) struct MediaRow {
    id: String,
    kind: String,
    user_id: Option<String>,
    prompt: String,
    model: String,
    settings: String,
    #[diesel(embed)]
    state: MediaStateRow,
    created_at: NaiveDateTime,
}

/// How far it is.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = media, treat_none_as_null = true)]
pub(crate) struct MediaStateRow {
    status: String,
    failure: Option<String>,
    size_bytes: Option<i64>,
    finished_at: Option<NaiveDateTime>,
}

/// The settings as JSON. Which of the two they are, `kind` tells.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum KeptSettings {
    Image { size: String, seed: i64 },
    Speech { voice: String, format: String, speed: f64, pitch: f64 },
}

impl From<&MediaSettings> for KeptSettings {
    fn from(settings: &MediaSettings) -> Self {
        match settings {
            MediaSettings::Image { size, seed } => Self::Image { size: size.to_string(), seed: seed.get() },
            MediaSettings::Speech { voice, format, speed, pitch } => Self::Speech {
                voice: voice.to_string(),
                format: format.as_str().to_owned(),
                speed: speed.get(),
                pitch: pitch.get(),
            },
        }
    }
}

impl TryFrom<KeptSettings> for MediaSettings {
    type Error = Refusal;

    fn try_from(kept: KeptSettings) -> Result<Self, Refusal> {
        Ok(match kept {
            KeptSettings::Image { size, seed } => Self::Image { size: size.parse::<ImageSize>()?, seed: Seed::new(seed)? },
            KeptSettings::Speech { voice, format, speed, pitch } => Self::Speech {
                voice: VoiceName::new(voice)?,
                format: AudioFormat::parse(&format)?,
                speed: Speed::new(speed)?,
                pitch: Pitch::new(pitch)?,
            },
        })
    }
}

impl TryFrom<MediaState> for MediaStateRow {
    type Error = StoreError;

    fn try_from(state: MediaState) -> Result<Self, StoreError> {
        let status = state.as_str().to_owned();
        let finished_at = state.finished_at().map(to_kept_time);
        let (failure, size_bytes) = match state {
            MediaState::Queued | MediaState::Running => (None, None),
            MediaState::Done { size_bytes, .. } => {
                (None, Some(i64::try_from(size_bytes).map_err(|error| corrupt(TABLE, error))?))
            }
            MediaState::Failed { reason, .. } => (Some(to_kept_text(reason)), None),
        };
        Ok(Self { status, failure, size_bytes, finished_at })
    }
}

impl TryFrom<MediaStateRow> for MediaState {
    type Error = StoreError;

    fn try_from(row: MediaStateRow) -> Result<Self, StoreError> {
        let finished_at = row.finished_at.map(from_kept_time);
        match (row.status.as_str(), finished_at, row.size_bytes, row.failure) {
            ("queued", None, None, None) => Ok(Self::Queued),
            ("running", None, None, None) => Ok(Self::Running),
            ("done", Some(finished_at), Some(size), None) => {
                Ok(Self::Done { size_bytes: parse_number(TABLE, size)?, finished_at })
            }
            ("failed", Some(finished_at), None, Some(reason)) => {
                Ok(Self::Failed { reason: parse_text(TABLE, reason)?, finished_at })
            }
            _ => Err(corrupt(TABLE, "the state contradicts itself")),
        }
    }
}

impl TryFrom<MediaRecord> for MediaRow {
    type Error = StoreError;

    fn try_from(record: MediaRecord) -> Result<Self, StoreError> {
        let settings = serde_json::to_string(&KeptSettings::from(&record.settings)).map_err(|error| corrupt(TABLE, error))?;
        Ok(Self {
            id: record.id.to_string(),
            kind: record.kind().as_str().to_owned(),
            user_id: record.user_id.map(|id| id.to_string()),
            prompt: to_kept_text(record.prompt),
            model: record.model.as_str().to_owned(),
            settings,
            state: record.state.try_into()?,
            created_at: to_kept_time(record.created_at),
        })
    }
}

impl TryFrom<MediaRow> for MediaRecord {
    type Error = StoreError;

    fn try_from(row: MediaRow) -> Result<Self, StoreError> {
        let kept: KeptSettings =
            serde_json::from_str(&row.settings).map_err(|_| corrupt(TABLE, "the settings cannot be read"))?;
        let settings = MediaSettings::try_from(kept).map_err(refused(TABLE))?;
        if MediaKind::parse(&row.kind).map_err(refused(TABLE))? != settings.kind() {
            return Err(corrupt(TABLE, "the settings are not those of its kind"));
        }
        Ok(Self {
            id: parse_id(TABLE, &row.id)?,
            user_id: parse_optional_id(TABLE, row.user_id.as_deref())?,
            prompt: parse_text(TABLE, row.prompt)?,
            model: ModelName::new(row.model).map_err(refused(TABLE))?,
            settings,
            state: row.state.try_into()?,
            created_at: from_kept_time(row.created_at),
        })
    }
}
