//! Tables come and go whole, and only when they may.

use std::collections::BTreeMap;

use adapters_db::{
    DatabaseConfig, DatabaseError, DatabaseUrl, DbPool, Migrations, migrate, pending_migrations, revert_all_migrations,
};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use crate::support::{Place, migration_names, migrations_folder};

fn both() -> [Place; 2] {
    [Place::empty_sqlite(), Place::empty_postgres()]
}

#[test]
fn both_databases_have_the_same_migrations_each_with_a_way_back() {
    let names = migration_names("sqlite");
    assert_eq!(names, migration_names("postgres"));
    for name in &names {
        for database in ["sqlite", "postgres"] {
            for file in ["up.sql", "down.sql"] {
                let sql = std::fs::read_to_string(migrations_folder(database).join(name).join(file)).unwrap();
                assert!(!sql.trim().is_empty(), "{database}/{name}/{file}");
            }
        }
    }
}

#[test]
fn migrating_goes_up_down_and_up_again() {
    for place in both() {
        let config = place.config();
        let names = migration_names("sqlite");
        assert_eq!(pending_migrations(&config).unwrap(), names);
        assert_eq!(migrate(&config).unwrap(), names);
        assert_eq!(migrate(&config).unwrap(), Vec::<String>::new(), "the second time costs nothing");
        assert_eq!(revert_all_migrations(&config).unwrap().len(), names.len());
        assert_eq!(pending_migrations(&config).unwrap(), names);
        assert_eq!(migrate(&config).unwrap(), names);
    }
}

#[test]
fn two_servers_that_start_at_once_migrate_once() {
    for place in both() {
        let config = place.config();
        let starting: Vec<_> = (0..4)
            .map(|_| {
                let config = config.clone();
                std::thread::spawn(move || migrate(&config).unwrap().len())
            })
            .collect();
        let mut ran: Vec<_> = starting.into_iter().map(|start| start.join().unwrap()).collect();
        ran.sort_unstable();
        assert_eq!(ran, [0, 0, 0, migration_names("sqlite").len()]);
    }
}

/// SQLite answered "database is locked" at once to all but one that turned the write-ahead log on in the same instant.
#[test]
fn many_who_open_a_new_sqlite_file_at_once_all_succeed() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let config = DatabaseConfig::at(DatabaseUrl::sqlite_file(folder.path().join(format!("{round}.db"))));
        let opening: Vec<_> = (0..6)
            .map(|_| {
                let config = config.clone();
                std::thread::spawn(move || DbPool::open(&config, Migrations::Run).map(drop))
            })
            .collect();
        for opened in opening {
            opened.join().unwrap().unwrap();
        }
    }
}

#[test]
fn a_database_that_must_not_be_migrated_is_refused_by_the_names_of_what_is_missing() {
    for place in both() {
        let config = place.config();
        let refused = DbPool::open(&config, Migrations::Refuse).unwrap_err();
        let DatabaseError::Pending { ref names, .. } = refused else { panic!("{refused}") };
        assert_eq!(*names, migration_names("sqlite"));
        assert!(refused.to_string().contains("2026-11-21-000100_create_users"), "{refused}");
        assert!(!refused.to_string().contains('\n'));
        // Not even diesel's own table was made.
        place.execute("CREATE TABLE __diesel_schema_migrations (only_a_test INTEGER); DROP TABLE __diesel_schema_migrations");

        migrate(&config).unwrap();
        assert!(DbPool::open(&config, Migrations::Refuse).is_ok());
    }
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    for place in both() {
        let config = place.config();
        migrate(&config).unwrap();
        place.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231235959')");
        for migrations in [Migrations::Run, Migrations::Refuse] {
            let refused = DbPool::open(&config, migrations).unwrap_err();
            assert!(matches!(refused, DatabaseError::Newer { .. }), "{refused}");
            assert!(refused.to_string().contains("29991231235959"), "{refused}");
        }
    }
}

#[test]
fn a_migration_that_fails_leaves_the_database_as_it_was() {
    for place in both() {
        let config = place.config();
        // In the way of a late migration.
        place.execute("CREATE TABLE text_generations (id TEXT)");
        let failed = migrate(&config).unwrap_err();
        assert!(matches!(failed, DatabaseError::Migration { .. }), "{failed}");
        assert!(failed.to_string().contains("create_text_generations"), "{failed}");
        place.execute("DROP TABLE text_generations; CREATE TABLE users (id TEXT); DROP TABLE users");
        assert_eq!(migrate(&config).unwrap(), migration_names("sqlite"));
    }
}

#[derive(QueryableByName)]
struct Address {
    #[diesel(sql_type = diesel::sql_types::Text)]
    email: String,
}

#[test]
fn addresses_are_lowered_where_nobody_else_has_them() {
    const FOLDING: &str = "2026-11-21-000900_fold_emails";
    for place in both() {
        let config = place.config();
        migrate(&config).unwrap();
        let database = if matches!(place, Place::Sqlite(_)) { "sqlite" } else { "postgres" };
        let undo = std::fs::read_to_string(migrations_folder(database).join(FOLDING).join("down.sql")).unwrap();
        place.execute(&undo);
        place.execute("DELETE FROM __diesel_schema_migrations WHERE version = '20261121000900'");
        for (number, (name, email)) in [
            ("ana", "Ana@X.org"),
            ("bob", "Bob@x.org"),
            ("bob2", "bob@x.org"),
            ("cid", "Cid@x.org"),
            ("CID@x.org", "dan@x.org"),
            ("Eva@x.org", "Eva@x.org"),
        ]
        .into_iter()
        .enumerate()
        {
            place.execute(&format!(
                "INSERT INTO users (id, username, email, password_hash, role, disabled, created_at) \
                 VALUES ('{number}', '{name}', '{email}', '', 'user', false, '2026-01-01 00:00:00')"
            ));
        }
        assert_eq!(migrate(&config).unwrap(), [FOLDING]);
        let query = sql_query("SELECT email FROM users ORDER BY id");
        let found: Vec<Address> = match &place {
            Place::Sqlite(_) => query.load(&mut place.raw_sqlite()).unwrap(),
            Place::Postgres(database) => query.load(&mut database.connect()).unwrap(),
        };
        let found: Vec<&str> = found.iter().map(|address| address.email.as_str()).collect();
        assert_eq!(found, ["ana@x.org", "Bob@x.org", "bob@x.org", "Cid@x.org", "dan@x.org", "eva@x.org"]);
    }
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = diesel::sql_types::Text)]
    table: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
    #[diesel(sql_type = diesel::sql_types::Bool)]
    nullable: bool,
}

fn by_table(columns: Vec<Column>) -> BTreeMap<String, Vec<(String, bool)>> {
    let mut tables: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for column in columns.into_iter().filter(|column| !column.table.starts_with("__diesel")) {
        tables.entry(column.table).or_default().push((column.name, column.nullable));
    }
    tables
}

#[test]
fn both_databases_have_the_same_tables_and_columns() {
    let sqlite = Place::empty_sqlite();
    migrate(&sqlite.config()).unwrap();
    let in_sqlite = sql_query(
        "SELECT m.name AS \"table\", c.name AS name, c.\"notnull\" = 0 AS nullable FROM sqlite_master m \
         JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid",
    )
    .load::<Column>(&mut sqlite.raw_sqlite())
    .unwrap();

    let postgres = Place::migrated_postgres();
    let Place::Postgres(database) = &postgres else { unreachable!("it was just made") };
    let in_postgres = sql_query(
        "SELECT table_name::text AS \"table\", column_name::text AS name, is_nullable = 'YES' AS nullable FROM information_schema.columns \
         WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
    )
    .load::<Column>(&mut database.connect())
    .unwrap();

    let tables = by_table(in_sqlite);
    assert_eq!(tables.len(), 19, "{tables:?}");
    assert_eq!(tables, by_table(in_postgres));
}
