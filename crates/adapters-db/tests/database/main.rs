//! The stores on real databases: a file of SQLite, and a PostgreSQL server (`TEST_DATABASE_URL`, which `make test` sets).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod audit_tampering;
mod migrations;
mod postgres;
mod sqlite;
mod support;

/// The contracts on SQLite.
mod on_sqlite {
    use crate::support::a_sqlite_database;

    test_support::user_store_contract!(a_sqlite_database);
    test_support::session_store_contract!(a_sqlite_database);
    test_support::text_generation_store_contract!(a_sqlite_database);
    test_support::model_store_contract!(a_sqlite_database);
    test_support::api_key_store_contract!(a_sqlite_database);
    test_support::token_quota_store_contract!(a_sqlite_database);
    test_support::audit_log_contract!(a_sqlite_database);
    test_support::one_time_code_store_contract!(a_sqlite_database);
    test_support::limit_store_contract!(a_sqlite_database);
    test_support::conversation_store_contract!(a_sqlite_database);
    test_support::chat_stream_store_contract!(a_sqlite_database);
    test_support::media_store_contract!(a_sqlite_database);
}

/// The contracts on PostgreSQL.
mod on_postgres {
    use crate::support::a_postgres_database;

    test_support::user_store_contract!(a_postgres_database);
    test_support::session_store_contract!(a_postgres_database);
    test_support::text_generation_store_contract!(a_postgres_database);
    test_support::model_store_contract!(a_postgres_database);
    test_support::api_key_store_contract!(a_postgres_database);
    test_support::token_quota_store_contract!(a_postgres_database);
    test_support::audit_log_contract!(a_postgres_database);
    test_support::one_time_code_store_contract!(a_postgres_database);
    test_support::limit_store_contract!(a_postgres_database);
    test_support::conversation_store_contract!(a_postgres_database);
    test_support::chat_stream_store_contract!(a_postgres_database);
    test_support::media_store_contract!(a_postgres_database);
}
