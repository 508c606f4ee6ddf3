//! The statements that several of the stores' methods are made of.

use diesel::prelude::*;
use diesel::{insert_into, update};
use domain::{ConversationId, Message, MessageId, SearchText, UserId};
use ports::{RecordScope, StoreError};

use crate::DbConnection;
use crate::pool::WorkError;
use crate::rows::{ConversationRow, MessageRow, to_kept_text, to_kept_time};
use crate::schema::{conversations, messages, users};

/// A pattern for `LIKE` that finds a text wherever it stands.
pub(super) fn containing(search: &SearchText) -> String {
    let literal = to_kept_text(search.as_folded().to_owned()).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{literal}%")
}

pub(super) fn find_default(connection: &mut DbConnection, user_id: &str) -> QueryResult<Option<ConversationRow>> {
    let default = conversations::table.filter(conversations::user_id.eq(user_id)).filter(conversations::is_default);
    default.select(ConversationRow::as_select()).first(connection).optional()
}

pub(in crate::stores) fn find(
    connection: &mut DbConnection,
    scope: RecordScope,
    id: ConversationId,
) -> QueryResult<ConversationRow> {
    let mut visible = conversations::table.find(id.to_string()).select(ConversationRow::as_select()).into_boxed();
    if let RecordScope::Of(user_id) = scope {
        visible = visible.filter(conversations::user_id.eq(user_id.to_string()));
    }
    visible.first(connection)
}

pub(in crate::stores) fn find_message(
    connection: &mut DbConnection,
    conversation_id: ConversationId,
    id: MessageId,
) -> QueryResult<Option<MessageRow>> {
    let in_conversation = messages::table.find(id.to_string()).filter(messages::conversation_id.eq(conversation_id.to_string()));
    in_conversation.select(MessageRow::as_select()).first(connection).optional()
}

/// Makes every other transaction that would change this conversation wait, and answers it as it is then.
pub(in crate::stores) fn lock_conversation(
    connection: &mut DbConnection,
    scope: RecordScope,
    id: ConversationId,
) -> Result<ConversationRow, WorkError> {
    if let DbConnection::Postgres(postgres) = connection {
        let row = conversations::table.find(id.to_string()).select(conversations::id).for_update();
        row.first::<String>(postgres).optional()?;
    }
    Ok(find(connection, scope, id)?)
}

/// Adds a message to a locked conversation and makes it the active one.
pub(in crate::stores) fn add_active_message(
    connection: &mut DbConnection,
    message: Message,
    max_messages: u32,
) -> Result<(), WorkError> {
    let (conversation_id, id, now) = (message.conversation_id, message.id, to_kept_time(message.created_at));
    if let Some(parent_id) = message.parent_id {
        find_message(connection, conversation_id, parent_id)?.ok_or(StoreError::NotFound)?;
    }
    let in_conversation = messages::table.filter(messages::conversation_id.eq(conversation_id.to_string()));
    let count: i64 = in_conversation.count().get_result(connection)?;
    if count >= i64::from(max_messages) {
        return Err(StoreError::Conflict { field: "messages" }.into());
    }
    insert_messages(connection, &[message.into()])?;
    let moved = (conversations::active_message.eq(id.to_string()), conversations::updated_at.eq(now));
    update(conversations::table.find(conversation_id.to_string())).set(moved).execute(connection)?;
    Ok(())
}

/// Makes whoever would add conversations for the same user, or remove the user, wait. The statements after it see what was kept meanwhile.
pub(super) fn lock_account(connection: &mut DbConnection, user_id: UserId) -> QueryResult<()> {
    if let DbConnection::Postgres(postgres) = connection {
        let row = users::table.find(user_id.to_string()).select(users::id).for_no_key_update();
        row.first::<String>(postgres).optional()?;
    }
    Ok(())
}

pub(super) fn insert_conversations(connection: &mut DbConnection, rows: &[ConversationRow]) -> QueryResult<usize> {
    match connection {
        DbConnection::Postgres(postgres) => insert_into(conversations::table).values(rows).execute(postgres),
        DbConnection::Sqlite(sqlite) => insert_into(conversations::table).values(rows).execute(sqlite),
    }
}

pub(in crate::stores) fn insert_messages(connection: &mut DbConnection, rows: &[MessageRow]) -> QueryResult<usize> {
    // Rows by the list are not written by one statement for both databases.
    match connection {
        DbConnection::Postgres(postgres) => insert_into(messages::table).values(rows).execute(postgres),
        DbConnection::Sqlite(sqlite) => insert_into(messages::table).values(rows).execute(sqlite),
    }
}
