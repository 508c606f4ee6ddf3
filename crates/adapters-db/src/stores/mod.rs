//! The stores, one file a port. Each method is one call of the pool: one query, or one transaction.

mod api_keys;
mod audit_log;
mod chat_streams;
mod conversations;
mod health;
mod limits;
mod media;
mod models;
mod one_time_codes;
mod sessions;
mod text_generations;
mod token_quotas;
mod users;

pub use api_keys::DbApiKeyStore;
pub use audit_log::DbAuditLog;
pub use chat_streams::DbChatStreamStore;
pub use conversations::DbConversationStore;
pub use health::DatabaseHealth;
pub use limits::DbLimitStore;
pub use media::DbMediaStore;
pub use models::DbModelStore;
pub use one_time_codes::DbOneTimeCodeStore;
pub use sessions::DbSessionStore;
pub use text_generations::DbTextGenerationStore;
pub use token_quotas::DbTokenQuotaStore;
pub use users::DbUserStore;

/// Restricts a query to the page that follows a cursor, newest first by `created_at` or the column that is named, and orders it so.
///
/// The condition says `time <= …` before it tells the two cases apart: that much, either database finds by the index. A macro
/// because the query's type is another one for each table.
macro_rules! page_after {
    ($query:expr, $table:ident, $page:expr) => {
        crate::stores::page_after!($query, $table, created_at, $page)
    };
    ($query:expr, $table:ident, $time:ident, $page:expr) => {{
        let page: domain::PageRequest = $page;
        let mut query = $query.order(($table::$time.desc(), $table::id.desc())).limit(i64::from(page.limit.get()) + 1);
        if let Some(after) = page.after {
            let time = crate::rows::to_kept_cursor_time(after.created_at);
            let is_older = $table::$time.lt(time).or($table::id.lt(after.id.to_string()));
            query = query.filter($table::$time.le(time)).filter(is_older);
        }
        query
    }};
}
use page_after;
