//! A database for one test: its own, ready-made, and gone afterwards.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use adapters_db::{
    DatabaseConfig, DatabaseHealth, DatabaseUrl, DbApiKeyStore, DbAuditLog, DbLimitStore, DbMediaStore, DbModelStore,
    DbOneTimeCodeStore, DbPool, DbSessionStore, DbTextGenerationStore, DbTokenQuotaStore, DbUserStore, Migrations, migrate,
};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl, sql_query};
use tempfile::TempDir;
use test_support::contracts::Stores;

/// An open database. It is removed when this is dropped, also by a test that fails.
pub struct TestDatabase {
    pub stores: Stores,
    pub health: DatabaseHealth,
    // Dropped last: the pool closes its connections first.
    pub place: Place,
}

/// Where a test's database lies.
pub enum Place {
    Sqlite(TempDir),
    Postgres(PostgresDatabase),
}

impl Deref for TestDatabase {
    type Target = Stores;

    fn deref(&self) -> &Stores {
        &self.stores
    }
}

impl TestDatabase {
    /// Opens the database at this place, with its tables.
    pub fn open(place: Place, change: impl FnOnce(&mut DatabaseConfig)) -> Self {
        let mut config = place.config();
        change(&mut config);
        let pool = DbPool::open(&config, Migrations::Run).unwrap();
        let stores = Stores {
            users: Arc::new(DbUserStore::new(pool.clone())),
            sessions: Arc::new(DbSessionStore::new(pool.clone())),
            texts: Arc::new(DbTextGenerationStore::new(pool.clone())),
            models: Arc::new(DbModelStore::new(pool.clone())),
            api_keys: Arc::new(DbApiKeyStore::new(pool.clone())),
            token_quotas: Arc::new(DbTokenQuotaStore::new(pool.clone())),
            audit_log: Arc::new(DbAuditLog::new(pool.clone())),
            one_time_codes: Arc::new(DbOneTimeCodeStore::new(pool.clone())),
            limits: Arc::new(DbLimitStore::new(pool.clone())),
            conversations: Arc::new(adapters_db::DbConversationStore::new(pool.clone())),
            chat_streams: Arc::new(adapters_db::DbChatStreamStore::new(pool.clone())),
            media: Arc::new(DbMediaStore::new(pool.clone())),
        };
        Self { stores, health: DatabaseHealth::new(pool), place }
    }
}

impl Place {
    /// An empty folder for a file.
    pub fn empty_sqlite() -> Self {
        Self::Sqlite(TempDir::new().unwrap())
    }

    /// A database without tables.
    pub fn empty_postgres() -> Self {
        Self::Postgres(PostgresDatabase::create("template0"))
    }

    /// A database with its tables.
    pub fn migrated_postgres() -> Self {
        Self::Postgres(PostgresDatabase::create(&migrated_template()))
    }

    /// How to open it. Few connections: many tests run at once.
    pub fn config(&self) -> DatabaseConfig {
        let url = match self {
            Self::Sqlite(_) => DatabaseUrl::sqlite_file(self.file()),
            Self::Postgres(database) => DatabaseUrl::parse(&database.url).unwrap(),
        };
        DatabaseConfig { max_connections: 4, ..DatabaseConfig::at(url) }
    }

    /// The file of an SQLite database.
    pub fn file(&self) -> PathBuf {
        match self {
            Self::Sqlite(folder) => folder.path().join("test.db"),
            Self::Postgres(_) => panic!("a PostgreSQL database is no file"),
        }
    }

    /// Runs SQL behind the stores' back.
    pub fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite(_) => self.raw_sqlite().batch_execute(sql).unwrap(),
            Self::Postgres(database) => database.connect().batch_execute(sql).unwrap(),
        }
    }

    /// A connection of the test's own.
    pub fn raw_sqlite(&self) -> SqliteConnection {
        let mut connection = SqliteConnection::establish(self.file().to_str().unwrap()).unwrap();
        // The server's own connections may still be opening.
        connection.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
        connection
    }
}

/// A database of the test server's, dropped with this value.
pub struct PostgresDatabase {
    name: String,
    pub url: String,
}

impl PostgresDatabase {
    fn create(template: &str) -> Self {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let name = format!("tertulia_test_{}_{}", std::process::id(), CREATED.fetch_add(1, Ordering::Relaxed));
        let mut server = connect(&server_url());
        // One of the same name may be left from a process that was killed.
        server.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).unwrap();
        server.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).unwrap();
        Self { url: url_of(&name), name }
    }

    /// A connection of the test's own.
    pub fn connect(&self) -> PgConnection {
        connect(&self.url)
    }

    /// Cuts every connection to it, as a server that restarts does.
    pub fn cut_connections(&self) {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '";
        connect(&server_url()).batch_execute(&format!("{cut}{}'", self.name)).unwrap();
    }

    /// Removes it at once.
    pub fn destroy(&self) {
        connect(&server_url()).batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).unwrap();
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        self.destroy();
    }
}

/// An SQLite database with its tables.
pub async fn a_sqlite_database() -> TestDatabase {
    TestDatabase::open(Place::empty_sqlite(), |_| {})
}

/// A PostgreSQL database with its tables.
pub async fn a_postgres_database() -> TestDatabase {
    TestDatabase::open(Place::migrated_postgres(), |_| {})
}

fn server_url() -> String {
    std::env::var("TEST_DATABASE_URL").expect(
        "TEST_DATABASE_URL is not set. Run `make test`, or this test alone with `scripts/with-test-postgres.sh cargo nextest run NAME`",
    )
}

/// The server's URL with another database.
fn url_of(database: &str) -> String {
    let server = server_url();
    let (address, parameters) = server.split_once('?').map_or((server.as_str(), String::new()), |(a, p)| (a, format!("?{p}")));
    let (scheme, rest) = address.split_once("://").expect("TEST_DATABASE_URL is a URL");
    let host = rest.split('/').next().unwrap_or(rest);
    format!("{scheme}://{host}/{database}{parameters}")
}

fn connect(url: &str) -> PgConnection {
    PgConnection::establish(url).expect("the test server answers")
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// The name of a database with all tables, made once for these migrations by whichever test comes first: copying it is faster than
/// migrating anew.
fn migrated_template() -> String {
    const LOCK: &str = "SELECT pg_advisory_lock(8386658)";
    let template = format!("tertulia_template_{:016x}", migrations_digest());
    let mut server = connect(&server_url());
    server.batch_execute(LOCK).unwrap();
    let found: Count = sql_query(format!("SELECT COUNT(*) AS count FROM pg_database WHERE datname = '{template}'"))
        .get_result(&mut server)
        .unwrap();
    if found.count == 0 {
        let unfinished = format!("{template}_unfinished");
        server.batch_execute(&format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).unwrap();
        server.batch_execute(&format!("CREATE DATABASE {unfinished} TEMPLATE template0")).unwrap();
        migrate(&DatabaseConfig::at(DatabaseUrl::parse(&url_of(&unfinished)).unwrap())).unwrap();
        // The migrating connection is closed, but its server process may take a moment to go.
        for attempt in 1.. {
            match server.batch_execute(&format!("ALTER DATABASE {unfinished} RENAME TO {template}")) {
                Ok(()) => break,
                Err(error) if attempt == 50 => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
    template
}

/// Changes with any change to a migration.
fn migrations_digest() -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let mut hasher = DefaultHasher::new();
    for name in migration_names("postgres") {
        let folder = migrations_folder("postgres").join(&name);
        (name, std::fs::read(folder.join("up.sql")).unwrap()).hash(&mut hasher);
    }
    hasher.finish()
}

/// Where the migrations of this database lie.
pub fn migrations_folder(database: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(database)
}

/// Their names, in order.
pub fn migration_names(database: &str) -> Vec<String> {
    let entries = std::fs::read_dir(migrations_folder(database)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
