//! A database for each test, removed with the test.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use std::path::PathBuf;
use threadline_core::config::DatabaseConfig;
use threadline_core::store::Store;
use threadline_schema::ids::RunId;
use threadline_test_requirements::Requirement;
use uuid::Uuid;

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    rows: i64,
}

#[derive(diesel::QueryableByName)]
struct Segment {
    #[diesel(sql_type = diesel::sql_types::Binary)]
    events: Vec<u8>,
}

#[derive(diesel::QueryableByName)]
struct Column {
    #[diesel(sql_type = diesel::sql_types::Text)]
    table_name: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    column_name: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    kind: String,
}

/// A database of one test.
pub enum Database {
    /// A file in its own directory.
    Sqlite(PathBuf),
    /// A database on the PostgreSQL server of the tests.
    Postgres { admin: String, name: String },
}

impl Database {
    pub fn sqlite() -> Self {
        let directory = std::env::temp_dir().join(format!("threadline-test-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&directory).expect("a directory for the database");
        Self::Sqlite(directory)
    }

    /// Creates a database on the PostgreSQL server of the tests; `None` when there is no server.
    pub async fn postgres() -> Option<Self> {
        let admin = Requirement::PostgreSql.find()?;
        let name = format!("threadline_test_{}", Uuid::new_v4().simple());
        let mut connection = AsyncPgConnection::establish(&admin).await.expect("TEST_DATABASE_URL names a server");
        connection.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database of our own");
        Some(Self::Postgres { admin, name })
    }

    /// Returns the value of `DATABASE_URL`.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => format!("sqlite://{}", directory.join("threadline.db").display()),
            Self::Postgres { admin, name } => {
                let (base, query) = admin.split_once('?').map_or((admin.as_str(), ""), |(base, query)| (base, query));
                let server = base.rsplit_once('/').map_or(base, |(server, _)| server);
                if query.is_empty() { format!("{server}/{name}") } else { format!("{server}/{name}?{query}") }
            }
        }
    }

    /// Executes statements in this database, concurrently with the service.
    pub async fn batch(&self, sql: &str) {
        match self {
            Self::Sqlite(_) => sqlite(&self.url()).batch_execute(sql).expect("statements that work"),
            Self::Postgres { .. } => {
                let mut connection = AsyncPgConnection::establish(&self.url()).await.expect("a database of our own");
                connection.batch_execute(sql).await.expect("statements that work");
            }
        }
    }

    /// Returns an id as it is written in SQL.
    pub fn id(&self, id: Uuid) -> String {
        if self.is_postgres() { format!("'{id}'") } else { format!("X'{}'", id.simple()) }
    }

    /// Opens the database as the service does.
    pub async fn store(&self) -> Store {
        let config = DatabaseConfig { pool_size: 1, auto_migrate: false, ..DatabaseConfig::at(self.url()) };
        Store::open(&config).await.expect("the database of the service")
    }

    /// Waits until this event of a run is in the database, so that no crash can lose it.
    pub async fn logged(&self, run: Uuid, seq: u64) {
        // Not with SQL: the events of an active run can be in segments, which only the store reads.
        let store = self.store().await;
        let seq = i64::try_from(seq).expect("the number of an event");
        let is_logged = || async {
            let live = store.live_events_after(RunId::from_uuid(run), 0).await.ok()?;
            (live.last_seq()? >= seq).then_some(())
        };
        super::eventually("what was said is in the log", is_logged).await;
    }

    /// Returns the segments of the log.
    pub async fn segments(&self) -> Vec<Vec<u8>> {
        let sql = diesel::sql_query("SELECT events FROM log_segments");
        let found: Vec<Segment> = match self {
            Self::Sqlite(_) => diesel::RunQueryDsl::load(sql, &mut sqlite(&self.url())),
            Self::Postgres { .. } => {
                let mut connection = AsyncPgConnection::establish(&self.url()).await.expect("a database of our own");
                diesel_async::RunQueryDsl::load(sql, &mut connection).await
            }
        }
        .expect("the segments");
        found.into_iter().map(|segment| segment.events).collect()
    }

    /// Executes a query that counts: `SELECT COUNT(*) AS rows ...`.
    pub async fn count(&self, sql: &str) -> i64 {
        let found: Found = match self {
            Self::Sqlite(_) => diesel::RunQueryDsl::get_result(diesel::sql_query(sql), &mut sqlite(&self.url())),
            Self::Postgres { .. } => {
                let mut connection = AsyncPgConnection::establish(&self.url()).await.expect("a database of our own");
                diesel_async::RunQueryDsl::get_result(diesel::sql_query(sql), &mut connection).await
            }
        }
        .expect("a count");
        found.rows
    }

    /// Returns the columns of all tables that have one of these texts, or an id in any of its forms: `table.column`.
    pub async fn columns_with(&self, texts: &[String]) -> Vec<String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let bytes = |text: &String| {
            let id = text.parse::<Uuid>().ok().map(|id| hex(id.as_bytes()));
            [Some(hex(text.as_bytes())), id].into_iter().flatten()
        };
        let has = |column: &Column, text: &String| -> Vec<String> {
            let name = &column.column_name;
            match self {
                Self::Sqlite(_) => {
                    bytes(text).map(|form| format!("instr(CAST(\"{name}\" AS BLOB), X'{form}') > 0")).collect()
                }
                Self::Postgres { .. } if column.kind == "bytea" => {
                    bytes(text).map(|form| format!("position('\\x{form}'::bytea IN \"{name}\") > 0")).collect()
                }
                Self::Postgres { .. } => vec![format!("position('{text}' IN \"{name}\"::text) > 0")],
            }
        };
        let columns = self.columns().await;
        // In one query: there are many columns.
        let queries = columns.iter().map(|column| {
            let Column { table_name, column_name, .. } = column;
            let conditions: Vec<_> = texts.iter().flat_map(|text| has(column, text)).collect();
            format!(
                "SELECT '{table_name}' AS table_name, '{column_name}' AS column_name, '' AS kind \
                 WHERE EXISTS (SELECT 1 FROM \"{table_name}\" WHERE {})",
                conditions.join(" OR ")
            )
        });
        let sql = queries.collect::<Vec<_>>().join(" UNION ALL ");
        let found = self.load_columns(&sql).await;
        found.into_iter().map(|column| format!("{}.{}", column.table_name, column.column_name)).collect()
    }

    async fn columns(&self) -> Vec<Column> {
        let found = self
            .load_columns(match self {
                Self::Sqlite(_) => {
                    "SELECT m.name AS table_name, p.name AS column_name, p.type AS kind \
                     FROM sqlite_master m JOIN pragma_table_info(m.name) p \
                     WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
                }
                Self::Postgres { .. } => {
                    "SELECT table_name::text, column_name::text, data_type::text AS kind \
                     FROM information_schema.columns WHERE table_schema = 'public'"
                }
            })
            .await;
        assert!(found.len() > 100, "{} columns", found.len());
        found
    }

    async fn load_columns(&self, sql: &str) -> Vec<Column> {
        match self {
            Self::Sqlite(_) => diesel::RunQueryDsl::load(diesel::sql_query(sql), &mut sqlite(&self.url())),
            Self::Postgres { .. } => {
                let mut connection = AsyncPgConnection::establish(&self.url()).await.expect("a database of our own");
                diesel_async::RunQueryDsl::load(diesel::sql_query(sql), &mut connection).await
            }
        }
        .expect("columns")
    }

    /// Returns the files of the database, if it is SQLite.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Sqlite(directory) => {
                let entries = std::fs::read_dir(directory).expect("the directory of the database");
                entries.map(|entry| entry.expect("an entry").path()).collect()
            }
            Self::Postgres { .. } => Vec::new(),
        }
    }

    /// Returns the names of all tables that have a column of this name, sorted.
    pub async fn tables_with(&self, column: &str) -> Vec<String> {
        let columns = self.columns().await.into_iter().filter(|found| found.column_name == column);
        let mut names: Vec<_> = columns.map(|found| found.table_name).collect();
        names.sort_unstable();
        names
    }

    /// Makes each insert of a task take that many seconds, until [`hurry`](Self::hurry).
    pub async fn dawdle(&self, seconds: f64) {
        let sql = match self {
            Self::Sqlite(_) => {
                // SQLite cannot sleep, so it counts. This measures how fast.
                let count = |most: u64| {
                    format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most}) SELECT count(i) FROM n")
                };
                let began = std::time::Instant::now();
                sqlite(&self.url()).batch_execute(&count(SAMPLE)).expect("it counts");
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "about so many")]
                let most = (SAMPLE as f64 * seconds / began.elapsed().as_secs_f64()) as u64;
                format!("CREATE TRIGGER dawdle BEFORE INSERT ON tasks BEGIN {}; END", count(most))
            }
            Self::Postgres { .. } => format!(
                "CREATE FUNCTION dawdle() RETURNS trigger AS 'BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END' LANGUAGE plpgsql;
                 CREATE TRIGGER dawdle BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION dawdle()"
            ),
        };
        self.batch(&sql).await;
    }

    /// Reverts [`dawdle`](Self::dawdle).
    pub async fn hurry(&self) {
        let of = if self.is_postgres() { " ON tasks" } else { "" };
        self.batch(&format!("DROP TRIGGER dawdle{of}")).await;
    }

    /// Blocks all writes of items until the lock is opened.
    pub async fn lock(&self) -> Lock {
        match self {
            Self::Sqlite(_) => {
                let mut connection = sqlite(&self.url());
                connection.batch_execute("BEGIN IMMEDIATE").expect("a lock");
                Lock::Sqlite(connection)
            }
            Self::Postgres { .. } => {
                let mut connection = AsyncPgConnection::establish(&self.url()).await.expect("a database of our own");
                connection.batch_execute("BEGIN; LOCK TABLE items IN EXCLUSIVE MODE").await.expect("a lock");
                Lock::Postgres(connection.into())
            }
        }
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// Executes a statement as the administrator of the server. `{name}` is replaced by the name of this database.
    pub async fn administrate(&self, sql: &str) {
        let Self::Postgres { admin, name } = self else { panic!("SQLite has no administrator") };
        let mut connection = AsyncPgConnection::establish(admin).await.expect("TEST_DATABASE_URL names a server");
        connection.batch_execute(&sql.replace("{name}", name)).await.expect("a statement that works");
    }

    /// Ends all connections and refuses new ones, until [`give_back`](Self::give_back).
    pub async fn take_away(&self) {
        self.administrate("ALTER DATABASE {name} ALLOW_CONNECTIONS false").await;
        self.administrate("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'").await;
    }

    /// Reverts [`take_away`](Self::take_away).
    pub async fn give_back(&self) {
        self.administrate("ALTER DATABASE {name} ALLOW_CONNECTIONS true").await;
    }
}

/// Blocks the writes of others.
pub enum Lock {
    Sqlite(SqliteConnection),
    Postgres(Box<AsyncPgConnection>),
}

impl Lock {
    pub async fn open(self) {
        match self {
            Self::Sqlite(mut connection) => connection.batch_execute("ROLLBACK").expect("an open lock"),
            Self::Postgres(mut connection) => connection.batch_execute("ROLLBACK").await.expect("an open lock"),
        }
    }
}

/// SQLite counts to this number to measure its speed.
const SAMPLE: u64 = 200_000;

fn sqlite(url: &str) -> SqliteConnection {
    let path = url.strip_prefix("sqlite://").expect("a URL of SQLite");
    let mut connection = SqliteConnection::establish(path).expect("a database of our own");
    connection.batch_execute("PRAGMA busy_timeout = 20000").expect("a setting");
    connection
}

impl Drop for Database {
    fn drop(&mut self) {
        match self {
            Self::Sqlite(directory) => {
                let _ = std::fs::remove_dir_all(directory);
            }
            Self::Postgres { admin, name } => {
                let (admin, name) = (admin.clone(), name.clone());
                // A separate runtime: that of the test may be shutting down.
                let dropped = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                    runtime.block_on(async move {
                        let mut connection =
                            AsyncPgConnection::establish(&admin).await.map_err(std::io::Error::other)?;
                        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                        connection.batch_execute(&drop).await.map_err(std::io::Error::other)
                    })
                })
                .join();
                if !matches!(dropped, Ok(Ok(()))) {
                    eprintln!("a test database was left behind");
                }
            }
        }
    }
}
