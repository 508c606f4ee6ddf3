//! All stores over tables in memory.
//!
//! The stores share one lock and one set of tables because the obligations cross them: removing an account removes its texts, and a
//! text cannot be added for an account that is gone.

mod api_keys;
mod audit_log;
mod chat_streams;
mod conversations;
mod limits;
mod media;
mod models;
mod one_time_codes;
mod sessions;
mod texts;
mod token_quotas;
mod users;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use chrono::NaiveDate;
use domain::{
    ApiKey, ApiKeyHash, ApiKeyId, AuditEvent, Cursor, MediaId, MediaRecord, ModelDefaults, ModelName, NamedModel, OneTimeCode,
    OneTimeCodeHash, Page, PageRequest, PasswordHash, RefreshTokenHash, Session, SessionId, TextGeneration, TextGenerationId,
    TokenReservation, TokensOfDay, User, UserId,
};
use ports::{HealthCheck, LimitOverride, LimitSubject, StoreError, Unhealthy};
use uuid::Uuid;

/// Implements every store. Copies share their tables.
#[derive(Clone, Default)]
pub struct FakeDatabase(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    down: bool,
    users: HashMap<UserId, (User, PasswordHash)>,
    sessions: HashMap<SessionId, Session>,
    refresh_tokens: HashMap<RefreshTokenHash, RefreshTokenRow>,
    texts: HashMap<TextGenerationId, TextGeneration>,
    models: BTreeMap<ModelName, NamedModel>,
    user_model_defaults: HashMap<(UserId, ModelName), ModelDefaults>,
    api_keys: HashMap<ApiKeyId, (ApiKey, ApiKeyHash)>,
    token_reservations: HashMap<Uuid, TokenReservation>,
    token_days: HashMap<(UserId, NaiveDate), TokensOfDay>,
    api_key_token_days: HashMap<(ApiKeyId, NaiveDate), TokensOfDay>,
    audit_events: Vec<AuditEvent>,
    one_time_codes: HashMap<OneTimeCodeHash, OneTimeCode>,
    limit_overrides: HashMap<LimitSubject, LimitOverride>,
    conversations: HashMap<domain::ConversationId, domain::Conversation>,
    messages: HashMap<domain::MessageId, domain::Message>,
    chat_streams: HashMap<domain::ChatStreamId, chat_streams::ChatStreamRow>,
    media: HashMap<MediaId, MediaRecord>,
}

struct RefreshTokenRow {
    session_id: SessionId,
    spent_at: Option<domain::Timestamp>,
}

impl FakeDatabase {
    /// From now on every call fails with [`StoreError::Unavailable`], or no longer does.
    pub fn set_down(&self, down: bool) {
        self.0.lock().unwrap().down = down;
    }

    fn tables(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        let tables = self.0.lock().unwrap();
        if tables.down { Err(StoreError::Unavailable("the test has taken it down".into())) } else { Ok(tables) }
    }
}

#[async_trait]
impl HealthCheck for FakeDatabase {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Result<(), Unhealthy> {
        self.tables().map(drop).map_err(|error| Unhealthy(error.to_string()))
    }
}

/// One page of these records, newest first.
fn page_of<T>(mut records: Vec<T>, request: PageRequest, cursor_of: impl Fn(&T) -> Cursor) -> Page<T> {
    let place = |record: &T| {
        let cursor = cursor_of(record);
        (cursor.created_at, cursor.id)
    };
    records.retain(|record| request.after.is_none_or(|after| place(record) < (after.created_at, after.id)));
    records.sort_by_key(|record| std::cmp::Reverse(place(record)));
    Page::from_overfull(records, request.limit, cursor_of)
}
