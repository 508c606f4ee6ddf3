//! Conversations in the database.
//!
//! Every change locks the conversation's row before it touches the conversation's messages or streams. One order of locks, so that no two
//! of them can wait for each other. A branch is read by one recursive query, up its messages' parents; the depth, which falls with every
//! step, ends it whatever the rows say.

mod statements;

use async_trait::async_trait;
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::{delete, insert_into, sql_query, update};
use domain::{
    Conversation, ConversationId, ConversationSummary, Cursor, Message, MessageId, Page, PageRequest, Timestamp, UserId,
};
use ports::{ConversationChange, ConversationFilter, ConversationStore, MessagePlace, NewConversation, RecordScope, StoreError};

use crate::pool::WorkError;
use crate::rows::{
    ConversationChangeRow, ConversationRow, MessageRow, parse_message_id, to_kept_cursor_time, to_kept_text, to_kept_time,
};
use crate::schema::{chat_streams, conversations, messages};
use crate::{DbConnection, DbPool};

pub(super) use self::statements::{add_active_message, find, find_message, insert_messages, lock_conversation};
use self::statements::{containing, find_default, insert_conversations, lock_account};

/// Fifteen columns each at the most, far below what either database binds in one statement.
const ROWS_A_STATEMENT: usize = 500;

/// Keeps conversations in the tables `conversations` and `messages`.
#[derive(Debug, Clone)]
pub struct DbConversationStore {
    pool: DbPool,
}

impl DbConversationStore {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl ConversationStore for DbConversationStore {
    async fn add_all(&self, user_id: UserId, added: Vec<NewConversation>, max_conversations: u32) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(added.len());
        let mut message_rows: Vec<MessageRow> = Vec::new();
        for NewConversation { conversation, messages } in added {
            rows.push(ConversationRow::try_from(conversation)?);
            message_rows.extend(messages.into_iter().map(MessageRow::from));
        }
        self.pool
            .write(move |connection| {
                lock_account(connection, user_id)?;
                let of_user = conversations::table.filter(conversations::user_id.eq(user_id.to_string()));
                let kept: i64 = of_user.count().get_result(connection)?;
                if kept.saturating_add(i64::try_from(rows.len()).unwrap_or(i64::MAX)) > i64::from(max_conversations) {
                    return Err(StoreError::Conflict { field: "conversations" }.into());
                }
                for rows in rows.chunks(ROWS_A_STATEMENT) {
                    insert_conversations(connection, rows)?;
                }
                for rows in message_rows.chunks(ROWS_A_STATEMENT) {
                    insert_messages(connection, rows)?;
                }
                Ok(())
            })
            .await
    }

    async fn default_of(&self, fresh: Conversation) -> Result<Conversation, StoreError> {
        let user_id = fresh.user_id.to_string();
        let of_user = user_id.clone();
        let find = move |connection: &mut DbConnection| find_default(connection, &of_user);
        if let Some(row) = self.pool.read(move |connection| Ok(find(connection)?)).await? {
            return row.try_into();
        }
        let row = ConversationRow::try_from(Conversation { is_default: true, ..fresh })?;
        let row = self
            .pool
            .write(move |connection| {
                // Of several who come at once, one adds it and the others' rows are dropped.
                let statement = insert_into(conversations::table).values(row).on_conflict_do_nothing();
                match connection {
                    DbConnection::Postgres(postgres) => statement.execute(postgres),
                    DbConnection::Sqlite(sqlite) => statement.execute(sqlite),
                }?;
                find_default(connection, &user_id)?.ok_or(WorkError::Store(StoreError::NotFound))
            })
            .await?;
        row.try_into()
    }

    async fn find_default(&self, user_id: UserId) -> Result<Option<Conversation>, StoreError> {
        let row = self.pool.read(move |connection| Ok(find_default(connection, &user_id.to_string())?)).await?;
        row.map(Conversation::try_from).transpose()
    }

    async fn get(&self, scope: RecordScope, id: ConversationId) -> Result<Conversation, StoreError> {
        self.pool.read(move |connection| Ok(find(connection, scope, id)?)).await?.try_into()
    }

    async fn list(
        &self,
        user_id: UserId,
        filter: ConversationFilter,
        page: PageRequest,
    ) -> Result<Page<Conversation>, StoreError> {
        let rows: Vec<ConversationRow> = self
            .pool
            .read(move |connection| {
                let newest_first = (conversations::updated_at.desc(), conversations::id.desc());
                let mut found = conversations::table
                    .filter(conversations::user_id.eq(user_id.to_string()))
                    .select(ConversationRow::as_select())
                    .order(newest_first)
                    .limit(i64::from(page.limit.get()) + 1)
                    .into_boxed();
                if let Some(pinned) = filter.pinned {
                    found = found.filter(conversations::pinned.eq(pinned));
                }
                if let Some(search) = filter.search {
                    let pattern = containing(&search);
                    let said = messages::table
                        .filter(messages::conversation_id.eq(conversations::id))
                        .filter(messages::folded_content.like(pattern.clone()).escape('\\'));
                    found = found.filter(conversations::folded_title.like(pattern).escape('\\').or(exists(said).nullable()));
                }
                if let Some(after) = page.after {
                    let updated_at = to_kept_cursor_time(after.created_at);
                    let is_older = conversations::updated_at.lt(updated_at).or(conversations::id.lt(after.id.to_string()));
                    found = found.filter(conversations::updated_at.le(updated_at)).filter(is_older);
                }
                Ok(found.load(connection)?)
            })
            .await?;
        let items = rows.into_iter().map(Conversation::try_from).collect::<Result<_, _>>()?;
        let cursor_of = |conversation: &Conversation| Cursor { created_at: conversation.updated_at, id: conversation.id.uuid() };
        Ok(Page::from_overfull(items, page.limit, cursor_of))
    }

    async fn list_as_begun(
        &self,
        user_id: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let rows: Vec<ConversationRow> = self
            .pool
            .read(move |connection| {
                let mut found = conversations::table
                    .filter(conversations::user_id.eq(user_id.to_string()))
                    .select(ConversationRow::as_select())
                    // Identifiers are made in the order of time.
                    .order(conversations::id)
                    .limit(i64::from(limit))
                    .into_boxed();
                if let Some(after) = after {
                    found = found.filter(conversations::id.gt(after.to_string()));
                }
                Ok(found.load(connection)?)
            })
            .await?;
        rows.into_iter().map(Conversation::try_from).collect()
    }

    async fn change(
        &self,
        user_id: UserId,
        id: ConversationId,
        change: ConversationChange,
        now: Timestamp,
    ) -> Result<Conversation, StoreError> {
        let active_message = change.active_message;
        let row = ConversationChangeRow::new(change, to_kept_time(now))?;
        self.pool
            .write(move |connection| {
                lock_conversation(connection, RecordScope::Of(user_id), id)?;
                if let Some(message) = active_message
                    && find_message(connection, id, message)?.is_none()
                {
                    return Err(StoreError::Conflict { field: "active_message" }.into());
                }
                update(conversations::table.find(id.to_string())).set(row).execute(connection)?;
                Ok(Conversation::try_from(find(connection, RecordScope::Of(user_id), id)?)?)
            })
            .await
    }

    async fn remove(&self, scope: RecordScope, id: ConversationId) -> Result<(), StoreError> {
        self.pool
            .write(move |connection| {
                lock_conversation(connection, scope, id)?;
                delete(conversations::table.find(id.to_string())).execute(connection)?;
                Ok(())
            })
            .await
    }

    async fn empty(&self, user_id: UserId, id: ConversationId, now: Timestamp) -> Result<(), StoreError> {
        let now = to_kept_time(now);
        self.pool
            .write(move |connection| {
                lock_conversation(connection, RecordScope::Of(user_id), id)?;
                let id = id.to_string();
                delete(chat_streams::table.filter(chat_streams::conversation_id.eq(&id))).execute(connection)?;
                delete(messages::table.filter(messages::conversation_id.eq(&id))).execute(connection)?;
                let nothing = None::<String>;
                let emptied = (
                    conversations::title.eq(&nothing),
                    conversations::folded_title.eq(&nothing),
                    conversations::active_message.eq(&nothing),
                    conversations::summary.eq(&nothing),
                    conversations::summary_up_to.eq(&nothing),
                    conversations::updated_at.eq(now),
                );
                update(conversations::table.find(id)).set(emptied).execute(connection)?;
                Ok(())
            })
            .await
    }

    async fn keep_summary(&self, id: ConversationId, summary: ConversationSummary) -> Result<(), StoreError> {
        self.pool
            .write(move |connection| {
                let everyone = RecordScope::Everyone;
                match lock_conversation(connection, everyone, id) {
                    Err(WorkError::Diesel(diesel::result::Error::NotFound)) => return Ok(()),
                    locked => locked?,
                };
                if find_message(connection, id, summary.up_to)?.is_some() {
                    let kept = (
                        conversations::summary.eq(to_kept_text(summary.text)),
                        conversations::summary_up_to.eq(summary.up_to.to_string()),
                    );
                    update(conversations::table.find(id.to_string())).set(kept).execute(connection)?;
                }
                Ok(())
            })
            .await
    }

    async fn add_message(&self, user_id: UserId, message: Message, max_messages: u32) -> Result<(), StoreError> {
        self.pool
            .write(move |connection| {
                lock_conversation(connection, RecordScope::Of(user_id), message.conversation_id)?;
                add_active_message(connection, message, max_messages)
            })
            .await
    }

    async fn message(&self, scope: RecordScope, conversation_id: ConversationId, id: MessageId) -> Result<Message, StoreError> {
        let row = self
            .pool
            .read(move |connection| {
                find(connection, scope, conversation_id)?;
                Ok(find_message(connection, conversation_id, id)?)
            })
            .await?;
        row.ok_or(StoreError::NotFound)?.try_into()
    }

    async fn branch(&self, conversation_id: ConversationId, leaf: MessageId, limit: u32) -> Result<Vec<Message>, StoreError> {
        const BRANCH: &str = "WITH RECURSIVE branch AS ( \
             SELECT * FROM messages WHERE conversation_id = $1 AND id = $2 \
             UNION ALL \
             SELECT m.* FROM messages m JOIN branch b ON m.id = b.parent_id \
             WHERE m.conversation_id = $1 AND m.depth < b.depth AND b.depth > $3 \
             ) SELECT * FROM branch ORDER BY depth";
        let rows: Vec<MessageRow> = self
            .pool
            .read(move |connection| {
                let (conversation_id, leaf) = (conversation_id.to_string(), leaf.to_string());
                let at = messages::table.find(&leaf).select(messages::depth).first::<i64>(connection).optional()?;
                let Some(depth) = at.filter(|_| limit > 0) else { return Ok(Vec::new()) };
                let oldest = depth + 1 - i64::from(limit);
                let query = sql_query(BRANCH).bind::<Text, _>(conversation_id).bind::<Text, _>(leaf).bind::<BigInt, _>(oldest);
                Ok(match connection {
                    DbConnection::Postgres(postgres) => query.load(postgres),
                    DbConnection::Sqlite(sqlite) => query.load(sqlite),
                }?)
            })
            .await?;
        rows.into_iter().map(Message::try_from).collect()
    }

    async fn newest_leaf_below(&self, conversation_id: ConversationId, id: MessageId) -> Result<MessageId, StoreError> {
        // Identifiers are made in the order of time, a message's after its parent's: the greatest is a leaf, and the newest.
        const BELOW: &str = "WITH RECURSIVE below AS ( \
             SELECT id, depth FROM messages WHERE conversation_id = $1 AND id = $2 \
             UNION ALL \
             SELECT m.id, m.depth FROM messages m JOIN below b ON m.parent_id = b.id \
             WHERE m.conversation_id = $1 AND m.depth > b.depth \
             ) SELECT id FROM below ORDER BY id DESC LIMIT 1";
        #[derive(QueryableByName)]
        struct Found {
            #[diesel(sql_type = Text)]
            id: String,
        }
        let found: Found = self
            .pool
            .read(move |connection| {
                let query = sql_query(BELOW).bind::<Text, _>(conversation_id.to_string()).bind::<Text, _>(id.to_string());
                Ok(match connection {
                    DbConnection::Postgres(postgres) => query.get_result(postgres),
                    DbConnection::Sqlite(sqlite) => query.get_result(sqlite),
                }?)
            })
            .await?;
        parse_message_id(&found.id)
    }

    async fn following(
        &self,
        conversation_id: ConversationId,
        parents: Vec<Option<MessageId>>,
    ) -> Result<Vec<(Option<MessageId>, MessageId)>, StoreError> {
        let from_the_root = parents.contains(&None);
        let parents: Vec<String> = parents.into_iter().flatten().map(|id| id.to_string()).collect();
        let found: Vec<(Option<String>, String)> = self
            .pool
            .read(move |connection| {
                let of_these = messages::parent_id.eq_any(parents).assume_not_null();
                let mut following = messages::table
                    .filter(messages::conversation_id.eq(conversation_id.to_string()))
                    .select((messages::parent_id, messages::id))
                    .order(messages::id)
                    .into_boxed();
                following = if from_the_root {
                    following.filter(messages::parent_id.is_null().or(of_these))
                } else {
                    following.filter(of_these)
                };
                Ok(following.load(connection)?)
            })
            .await?;
        let parsed = |(parent, id): (Option<String>, String)| -> Result<_, StoreError> {
            Ok((parent.as_deref().map(parse_message_id).transpose()?, parse_message_id(&id)?))
        };
        found.into_iter().map(parsed).collect()
    }

    async fn messages_after(
        &self,
        conversation_id: ConversationId,
        after: Option<MessagePlace>,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let rows: Vec<MessageRow> = self
            .pool
            .read(move |connection| {
                let mut found = messages::table
                    .filter(messages::conversation_id.eq(conversation_id.to_string()))
                    .select(MessageRow::as_select())
                    .order((messages::depth, messages::id))
                    .limit(i64::from(limit))
                    .into_boxed();
                if let Some(after) = after {
                    let depth = i64::from(after.depth);
                    let is_later = messages::depth.gt(depth).or(messages::id.gt(after.id.to_string()));
                    found = found.filter(messages::depth.ge(depth)).filter(is_later);
                }
                Ok(found.load(connection)?)
            })
            .await?;
        rows.into_iter().map(Message::try_from).collect()
    }
}
