//! Records as JSON, for whoever reads the storage without this server. The names are those of the HTTP API.

use bytes::Bytes;
use chrono::SecondsFormat;
use domain::{MediaRecord, MediaSettings, MediaState, Timestamp};
use ports::MediaDocuments;
use serde::Serialize;

/// Writes records as JSON.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonDocuments;

#[derive(Serialize)]
struct Input<'a> {
    id: String,
    kind: &'static str,
    user_id: Option<String>,
    prompt: &'a str,
    model: &'a str,
    #[serde(flatten)]
    settings: Settings<'a>,
    created_at: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Settings<'a> {
    Image { size: String, seed: i64 },
    Speech { voice: &'a str, format: &'static str, speed: f64, pitch: f64 },
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    input: Input<'a>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// Where the object lies; only of one that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
}

fn time(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

impl<'a> From<&'a MediaRecord> for Input<'a> {
    fn from(record: &'a MediaRecord) -> Self {
        Self {
            id: record.id.to_string(),
            kind: record.kind().as_str(),
            user_id: record.user_id.map(|id| id.to_string()),
            prompt: &record.prompt,
            model: record.model.as_str(),
            settings: match &record.settings {
                MediaSettings::Image { size, seed } => Settings::Image { size: size.to_string(), seed: seed.get() },
                MediaSettings::Speech { voice, format, speed, pitch } => {
                    Settings::Speech { voice: voice.as_str(), format: format.as_str(), speed: speed.get(), pitch: pitch.get() }
                }
            },
            created_at: time(record.created_at),
        }
    }
}

impl<'a> From<&'a MediaRecord> for Record<'a> {
    fn from(record: &'a MediaRecord) -> Self {
        let (error, size_bytes) = match &record.state {
            MediaState::Queued | MediaState::Running => (None, None),
            MediaState::Done { size_bytes, .. } => (None, Some(*size_bytes)),
            MediaState::Failed { reason, .. } => (Some(reason.as_str()), None),
        };
        Self {
            input: record.into(),
            status: record.state.as_str(),
            error,
            object: size_bytes.map(|_| record.content_key().to_string()),
            size_bytes,
            finished_at: record.state.finished_at().map(time),
        }
    }
}

/// Numbers and texts always become JSON; nothing here can fail.
fn line(document: &impl Serialize) -> Bytes {
    let mut json = serde_json::to_vec(document).unwrap_or_default();
    json.push(b'\n');
    json.into()
}

impl MediaDocuments for JsonDocuments {
    fn input(&self, record: &MediaRecord) -> Bytes {
        line(&Input::from(record))
    }

    fn record(&self, record: &MediaRecord) -> Bytes {
        line(&Record::from(record))
    }

    fn history_line(&self, record: &MediaRecord) -> Bytes {
        line(&Record::from(record))
    }
}

#[cfg(test)]
mod tests {
    use test_support::builders::{a_speech_record, a_user_id};

    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_the_prompt_holds() {
        let record = MediaRecord { prompt: "two\nlines and a \u{2028} and a \"".into(), ..a_speech_record(Some(a_user_id())) };
        let text = String::from_utf8(JsonDocuments.history_line(&record).to_vec()).unwrap();
        assert_eq!((text.matches('\n').count(), text.ends_with('\n')), (1, true), "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["prompt"], record.prompt);
        assert_eq!((&json["status"], &json["voice"]), (&"done".into(), &"en".into()));
        assert_eq!(json["object"], record.content_key().as_str());
    }

    #[test]
    fn what_failed_names_its_reason_and_no_object() {
        let state = MediaState::Failed { reason: "no network".into(), finished_at: Timestamp::UNIX_EPOCH };
        let record = MediaRecord { state, ..a_speech_record(None) };
        let json: serde_json::Value = serde_json::from_slice(&JsonDocuments.record(&record)).unwrap();
        assert_eq!((&json["status"], &json["error"]), (&"failed".into(), &"no network".into()));
        assert!(json.get("object").is_none() && json["user_id"].is_null(), "{json}");
    }
}
