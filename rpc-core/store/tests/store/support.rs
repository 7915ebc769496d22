//! A separate database per test, and values that tests need.

use diesel::connection::SimpleConnection;
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use futures::FutureExt;
use secrecy::ExposeSecret;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{Id, UserId};
pub(crate) use threadline_schema::items::ItemKind;
use threadline_schema::runs::{RunStatus, Usage};
use threadline_store::config::DatabaseConfig;
use threadline_store::rows::{NewItem, RunRow, ThreadRow, UserRow};
use threadline_store::{
    Charge, NewMessage, NewRun, NewThread, RunEnd, RunInput, RunStarted, Store, StoreResult, ThreadCreated, migrate,
};
use threadline_test_requirements::Requirement;
use uuid::Uuid;

/// Declares a test per database for each scenario. Its runtime has one thread, which makes a blocked thread visible;
/// `threads:` gives a scenario several.
macro_rules! on_both {
    ($( async fn $name:ident($db:ident: &TestDb) $body:block )+) => {
        $( on_both!(@one $name, $db, $body, tokio::test); )+
    };
    (threads: $( async fn $name:ident($db:ident: &TestDb) $body:block )+) => {
        $( on_both!(@one $name, $db, $body, tokio::test(flavor = "multi_thread", worker_threads = 4)); )+
    };
    (@one $name:ident, $db:ident, $body:block, $($attribute:tt)+) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn scenario($db: &$crate::support::TestDb) $body

            #[$($attribute)+]
            async fn sqlite() {
                $crate::support::run(Some($crate::support::TestDb::sqlite()), scenario).await;
            }

            #[$($attribute)+]
            async fn postgres() {
                $crate::support::run($crate::support::TestDb::postgres().await, scenario).await;
            }
        }
    };
}

/// The database of one test.
pub(crate) struct TestDb {
    pub(crate) config: DatabaseConfig,
    home: Home,
}

enum Home {
    File(PathBuf),
    Server { admin: String, name: String },
}

/// Runs a scenario and then removes its database, also if the scenario fails.
pub(crate) async fn run(db: Option<TestDb>, scenario: impl AsyncFnOnce(&TestDb)) {
    let Some(db) = db else { return };
    let result = AssertUnwindSafe(scenario(&db)).catch_unwind().await;
    db.remove().await;
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

impl TestDb {
    /// URL of the database.
    pub(crate) fn url(&self) -> &str {
        self.config.url.expose_secret()
    }

    pub(crate) fn sqlite() -> Self {
        let file = std::env::temp_dir().join(format!("threadline-test-{}.db", Uuid::now_v7().simple()));
        Self { config: config(format!("sqlite://{}", file.display())), home: Home::File(file) }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let admin = Requirement::PostgreSql.find()?;
        let name = format!("threadline_test_{}", Uuid::now_v7().simple());
        admin_batch(&admin, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        let (server, _) = admin.rsplit_once('/').expect("TEST_DATABASE_URL ends in /DATABASE");
        Some(Self { config: config(format!("{server}/{name}")), home: Home::Server { admin, name } })
    }

    /// Migrates and opens the database.
    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.config).await.unwrap()
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.home, Home::Server { .. })
    }

    /// Returns an id as an SQL literal.
    pub(crate) fn literal(&self, id: impl Id) -> String {
        let id = id.to_string();
        if self.is_postgres() { format!("'{id}'") } else { format!("x'{}'", id.replace('-', "")) }
    }

    /// Runs SQL on a connection outside the store.
    pub(crate) async fn sql(&self, sql: &str) {
        match &self.home {
            Home::File(_) => self.raw_sqlite().batch_execute(sql).unwrap(),
            Home::Server { .. } => admin_batch(self.url(), sql).await,
        }
    }

    /// Returns the number that a query on a connection outside the store returns.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        match &self.home {
            Home::File(_) => diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(&format!("({sql})")))
                .get_result(&mut self.raw_sqlite())
                .unwrap(),
            Home::Server { .. } => raw_postgres(self.url()).await.query_one(sql, &[]).await.unwrap().get(0),
        }
    }

    /// Opens a connection to the file outside the store.
    pub(crate) fn raw_sqlite(&self) -> SqliteConnection {
        let mut connection = SqliteConnection::establish(self.url().strip_prefix("sqlite://").unwrap()).unwrap();
        connection.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON").unwrap();
        connection
    }

    async fn remove(self) {
        match self.home {
            Home::File(file) => {
                for end in ["", "-wal", "-shm"] {
                    let _ = std::fs::remove_file(format!("{}{end}", file.display()));
                }
            }
            Home::Server { admin, name } => admin_batch(&admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await,
        }
    }
}

/// Opens a connection to the server outside the store.
pub(crate) async fn raw_postgres(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn admin_batch(url: &str, sql: &str) {
    raw_postgres(url).await.batch_execute(sql).await.unwrap();
}

fn config(url: String) -> DatabaseConfig {
    DatabaseConfig { pool_size: 8, sqlite_full_sync: false, ..DatabaseConfig::at(url) }
}

/// Returns the time this many microseconds after a fixed time in the past.
pub(crate) fn at(micros: i64) -> UtcTime {
    UtcTime::from_micros(1_700_000_000_000_000 + micros).unwrap()
}

/// Returns the time of this machine, which the databases of tests share.
pub(crate) fn now() -> UtcTime {
    chrono::Utc::now().into()
}

pub(crate) async fn user(store: &Store) -> UserRow {
    let email = format!("{}@example.com", Uuid::new_v4().simple());
    store.user_create(new_id(), email, "$argon2id$...".to_owned(), now()).await.unwrap()
}

pub(crate) fn item(kind: ItemKind) -> NewItem {
    NewItem {
        id: new_id(),
        kind,
        hidden: matches!(kind, ItemKind::ToolCall | ItemKind::HiddenContext),
        body: r#"{"type":"x","text":"ä\n\"🥛\""}"#.to_owned(),
        created_at: now(),
    }
}

pub(crate) fn message() -> NewMessage {
    let title = Some("What was said first".to_owned());
    NewMessage { item: item(ItemKind::UserMessage), title, attachments: vec![] }
}

pub(crate) fn new_run() -> NewRun {
    NewRun {
        id: new_id(),
        owner: new_id(),
        lease_expires_at: at(1_000_000),
        created_at: now(),
        reservation: None,
        request: None,
    }
}

pub(crate) fn new_thread(user_id: UserId) -> NewThread {
    NewThread {
        id: new_id(),
        user_id,
        max_sessions: None,
        title: "New Chat".to_owned(),
        metadata: "{}".to_owned(),
        temporary: false,
        created_at: now(),
        first_message: None,
        idempotency_key: None,
    }
}

pub(crate) async fn thread(store: &Store, user_id: UserId) -> ThreadRow {
    store.thread_create(new_thread(user_id)).await.unwrap().thread
}

pub(crate) async fn thread_at(store: &Store, user_id: UserId, time: UtcTime) -> ThreadRow {
    store.thread_create(NewThread { created_at: time, ..new_thread(user_id) }).await.unwrap().thread
}

/// Creates a thread with a message and the run that answers it.
pub(crate) async fn running(store: &Store, user_id: UserId) -> (ThreadRow, RunRow) {
    let ThreadCreated { thread, run, .. } = store
        .thread_create(NewThread { first_message: Some((message(), new_run())), ..new_thread(user_id) })
        .await
        .unwrap();
    (thread, run.unwrap())
}

pub(crate) async fn say(store: &Store, thread: &ThreadRow) -> StoreResult<RunStarted> {
    store.run_start(thread.user_id, thread.id, RunInput::Message(message()), new_run(), None).await
}

pub(crate) fn completed() -> RunEnd {
    RunEnd {
        status: RunStatus::Completed,
        error: None,
        finish_reason: None,
        usage: Usage { prompt_tokens: 10, completion_tokens: 20 },
        charge: Charge { prompt_tokens: 10, completion_tokens: 20, cost_micros: None },
        uses: vec![],
        last_seq: 7,
        message_id: None,
        results: vec![],
        finished_at: now(),
        events: vec![],
    }
}

/// Removes all tables from the database.
pub(crate) async fn unmigrate(db: &TestDb) {
    migrate::revert_all(&db.config).await.unwrap();
}

/// Makes a new id of any type.
pub(crate) fn new_id<T: Id>() -> T {
    T::from_uuid(Uuid::now_v7())
}
