//! What each port promises, as stories that any adapter can be put through.
//!
//! A story is a function with a sentence for a name. It takes what it needs ready-made and empty, and panics where a promise is broken.
//! Each port's file ends with a macro that makes a test of every story, under the story's own name:
//!
//! ```text
//! async fn empty_stores() -> MyStores { … } // anything that dereferences to `contracts::Stores`
//! test_support::user_store_contract!(empty_stores);
//! ```

pub mod access_tokens;
pub mod api_key_store;
pub mod audit_log;
pub mod chat_stream_store;
pub mod conversation_store;
pub mod limit_store;
pub mod media_store;
pub mod model_repository;
pub mod model_store;
pub mod object_storage;
pub mod one_time_code_store;
pub mod password_hasher;
pub mod randomness;
pub mod rate_limiter;
pub mod refresh_tokens;
pub mod session_store;
pub mod sign_in_throttle;
pub mod text_embedder;
pub mod text_generation_store;
pub mod text_generator;
pub mod token_quota_store;
pub mod user_store;

use std::sync::Arc;

use domain::{Conversation, ConversationId, Cursor, Message, Page, PageLimit, PageRequest, RefreshTokenHash, Session, User};
use ports::{
    ApiKeyStore, AuditLog, LimitStore, MediaStore, ModelStore, NewConversation, OneTimeCodeStore, SessionStore, StoreError,
    TextGenerationStore, TokenQuotaStore, UserStore,
};

use crate::FakeDatabase;
use crate::builders::{a_new_user, sign_in_terms};

/// All stores of one database. They belong together: a session needs a user, and goes when the user goes.
#[derive(Clone)]
pub struct Stores {
    /// Accounts.
    pub users: Arc<dyn UserStore>,
    /// Sign-ins.
    pub sessions: Arc<dyn SessionStore>,
    /// Made texts.
    pub texts: Arc<dyn TextGenerationStore>,
    /// Named models.
    pub models: Arc<dyn ModelStore>,
    /// API keys.
    pub api_keys: Arc<dyn ApiKeyStore>,
    /// Tokens a day.
    pub token_quotas: Arc<dyn TokenQuotaStore>,
    /// The audit log.
    pub audit_log: Arc<dyn AuditLog>,
    /// One-time codes.
    pub one_time_codes: Arc<dyn OneTimeCodeStore>,
    /// Exceptions to the limits.
    pub limits: Arc<dyn LimitStore>,
    /// Conversations and their messages.
    pub conversations: Arc<dyn ports::ConversationStore>,
    /// Answers that are being made.
    pub chat_streams: Arc<dyn ports::ChatStreamStore>,
    /// Records of pictures and speech.
    pub media: Arc<dyn MediaStore>,
}

impl Stores {
    /// Stores over one fake database.
    pub fn fake(database: &FakeDatabase) -> Self {
        Self {
            users: Arc::new(database.clone()),
            sessions: Arc::new(database.clone()),
            texts: Arc::new(database.clone()),
            models: Arc::new(database.clone()),
            api_keys: Arc::new(database.clone()),
            token_quotas: Arc::new(database.clone()),
            audit_log: Arc::new(database.clone()),
            one_time_codes: Arc::new(database.clone()),
            limits: Arc::new(database.clone()),
            conversations: Arc::new(database.clone()),
            chat_streams: Arc::new(database.clone()),
            media: Arc::new(database.clone()),
        }
    }

    /// Begins a session of an account whose password is the builders'.
    pub(crate) async fn begin_session(&self, session: &Session, token: RefreshTokenHash) {
        let added = self.sessions.add(session.clone(), token, sign_in_terms()).await;
        added.expect("a session begins");
    }

    /// Adds an account that a story needs and is not about.
    pub(crate) async fn add_a_user(&self) -> User {
        self.users.add(a_new_user()).await.expect("a new account is added")
    }

    /// Adds a conversation with these messages.
    pub(crate) async fn add_conversation(&self, conversation: &Conversation, messages: Vec<Message>) {
        let (user_id, conversation) = (conversation.user_id, conversation.clone());
        let new = NewConversation { conversation, messages };
        self.conversations.add_all(user_id, vec![new], u32::MAX).await.expect("a conversation is added");
    }

    /// All messages of all branches of a conversation.
    pub(crate) async fn all_messages(&self, id: ConversationId) -> Vec<Message> {
        self.conversations.messages_after(id, None, u32::MAX).await.expect("messages are read")
    }
}

/// Makes a test of each story of a port. The port's own macro calls it.
#[macro_export]
macro_rules! stories {
    ($make:path, $port:ident, $($story:ident),* $(,)?) => {
        mod $port {
            #[allow(unused_imports, reason = "the maker may be named by a path or by a plain name of the surrounding module")]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    let subject = $make().await;
                    $crate::contracts::$port::$story(&subject).await;
                }
            )*
        }
    };
}

/// Makes so many calls at once, each from a task of its own, and gives what came of them.
async fn all_at_once<T, R>(count: usize, call: impl Fn() -> R) -> Vec<T>
where
    T: Send + 'static,
    R: Future<Output = T> + Send + 'static,
{
    let calls: Vec<_> = (0..count).map(|_| tokio::spawn(call())).collect();
    let mut results = Vec::new();
    for call in calls {
        results.push(call.await.unwrap());
    }
    results
}

/// The error of a call that must fail.
fn error_of<T>(result: Result<T, StoreError>) -> StoreError {
    match result {
        Ok(_) => panic!("the call should have failed"),
        Err(error) => error,
    }
}

/// A page of so many records after this place.
fn page_after(after: Option<Cursor>, limit: i64) -> PageRequest {
    PageRequest { after, limit: PageLimit::new(limit).unwrap() }
}

/// Turns every page of a list, from the newest record on, and gives all records in the order in which they came.
async fn all_pages<T, F, R>(limit: i64, turn: F) -> Vec<T>
where
    F: Fn(PageRequest) -> R,
    R: Future<Output = Result<Page<T>, StoreError>>,
{
    let mut records = Vec::new();
    let mut after = None;
    loop {
        let page = turn(page_after(after, limit)).await.unwrap();
        assert!(i64::try_from(page.items.len()).unwrap() <= limit, "a page holds no more than was asked for");
        assert!(page.next.is_none() || !page.items.is_empty(), "an empty page leads nowhere");
        records.extend(page.items);
        after = page.next;
        if after.is_none() {
            return records;
        }
    }
}

#[cfg(test)]
mod tests {
    /// The stories of a file, by their signatures, are those that its macro names: none can be forgotten.
    #[test]
    fn every_story_is_told() {
        for (file, source) in [
            ("access_tokens", include_str!("access_tokens.rs")),
            ("api_key_store", include_str!("api_key_store.rs")),
            ("audit_log", include_str!("audit_log.rs")),
            ("chat_stream_store", include_str!("chat_stream_store.rs")),
            ("conversation_store", include_str!("conversation_store.rs")),
            ("limit_store", include_str!("limit_store.rs")),
            ("media_store", include_str!("media_store.rs")),
            ("model_repository", include_str!("model_repository.rs")),
            ("model_store", include_str!("model_store.rs")),
            ("object_storage", include_str!("object_storage.rs")),
            ("one_time_code_store", include_str!("one_time_code_store.rs")),
            ("password_hasher", include_str!("password_hasher.rs")),
            ("randomness", include_str!("randomness.rs")),
            ("rate_limiter", include_str!("rate_limiter.rs")),
            ("refresh_tokens", include_str!("refresh_tokens.rs")),
            ("session_store", include_str!("session_store.rs")),
            ("sign_in_throttle", include_str!("sign_in_throttle.rs")),
            ("text_embedder", include_str!("text_embedder.rs")),
            ("text_generation_store", include_str!("text_generation_store.rs")),
            ("text_generator", include_str!("text_generator.rs")),
            ("token_quota_store", include_str!("token_quota_store.rs")),
            ("user_store", include_str!("user_store.rs")),
        ] {
            let (stories, list) = source.split_once("macro_rules!").expect("a macro at the end");
            let written: Vec<_> =
                stories.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next()).collect();
            let told: Vec<_> =
                list.lines().filter_map(|line| line.trim().strip_suffix(',')).filter(|l| !l.contains('$')).collect();
            assert_eq!(written, told, "{file}: the macro lists the stories in their order");
        }
    }
}
