//! SQLite: which file, how a connection is opened, the readers and the writer.

mod control;
mod group;
mod open_file;
mod readers;
mod writer;

pub(super) use open_file::OpenFile;
pub(super) use readers::{ReadKind, read};
pub(super) use writer::Writer;

use super::connections::Connections;
use super::error::{StoreError, StoreResult};
use super::file_system;
use super::unit::LiteConn;
use crate::config::DatabaseConfig;
use deadpool::managed::{Manager, Metrics, Pool, QueueMode, RecycleError, RecycleResult};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::result::Error;
use diesel::{Connection, ConnectionError, ConnectionResult, SqliteConnection};
use secrecy::ExposeSecret;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

/// Connections that only read. In WAL mode they do not wait for the writer, and four are enough for a small machine.
const READERS: usize = 4;

/// Pause between two attempts to set up a connection to a locked file. Such a lock lasts a few milliseconds.
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Writes. SQLite allows one writer at a time, so there is one connection, and units that write wait for it.
    Writer,
    /// Only reads; a statement that writes is refused.
    Reader,
}

/// Returns the path in a `sqlite://` URL.
///
/// # Errors
/// [`StoreError::Config`] if the URL names no file that several connections can share.
pub(super) fn path(url: &str) -> StoreResult<String> {
    let refuse = |why: &str| Err(StoreError::Config(why.to_owned()));
    let Some(path) = url.strip_prefix("sqlite:") else {
        return refuse("start the URL with sqlite:// or postgres://");
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return refuse("the URL names no file; write sqlite://threadline.db, or sqlite:///var/lib/threadline.db");
    }
    if path == ":memory:" {
        return refuse(
            "only one connection can use a database in memory, and Threadline needs several; name a file, on a tmpfs \
             to keep it in memory",
        );
    }
    if path.contains(['?', '\0']) {
        return refuse("a sqlite:// URL takes no parameters; name just the file (SQLITE_SYNCHRONOUS is a setting)");
    }
    let directory = Path::new(path).parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(missing) = directory.filter(|directory| !directory.is_dir()) {
        return refuse(&format!("the directory {} does not exist; create it", missing.display()));
    }
    // SQLite reads a name that begins with `file:` as a URL of its own kind.
    Ok(if path.starts_with("file:") { format!("./{path}") } else { path.to_owned() })
}

/// Returns the file of the configured URL.
///
/// # Errors
/// Those of [`path`], and [`StoreError::Config`] if the file is on a network file system and that is not allowed.
pub(super) fn file(config: &DatabaseConfig) -> StoreResult<String> {
    let path = path(config.url.expose_secret())?;
    file_system::check(Path::new(&path), config.allow_network_file_system)?;
    Ok(path)
}

/// Locks a database file for this process. The operating system releases the lock when the process ends.
///
/// The lock is on a second file with the suffix `.lock`, because closing the database file would release the locks that
/// SQLite itself has on it in this process. It is beside the file to which symbolic links lead, as SQLite's own files
/// are. Creates the database file if there is none: a symbolic link may name one that does not exist yet.
///
/// # Errors
/// [`StoreError::Config`] if another process has the lock, or the file has several names. [`StoreError::Unavailable`]
/// if the file or the lock file cannot be opened.
pub(super) fn lock_file(config: &DatabaseConfig) -> StoreResult<File> {
    let file = file(config)?;
    let unavailable = |error: std::io::Error| StoreError::unavailable(format!("{file}: {error}"));
    let actual = match std::fs::canonicalize(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            File::options().create(true).append(true).open(&file).map_err(unavailable)?;
            std::fs::canonicalize(&file)
        }
        found => found,
    };
    let mut path = actual.map_err(unavailable)?;
    if names(&std::fs::metadata(&path).map_err(unavailable)?) > 1 {
        return Err(StoreError::Config(
            "the file has several names (hard links). SQLite keeps a log for each name, so two programs can destroy the \
             file; delete the other names, or copy the file and use the copy"
                .to_owned(),
        ));
    }
    path.as_mut_os_string().push(".lock");
    let unavailable = |error: std::io::Error| StoreError::unavailable(format!("{}: {error}", path.display()));
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Config(
            "the file is in use by another server; stop that one first, or use PostgreSQL for several".to_owned(),
        )),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// Returns how many names (hard links) a file has.
#[cfg(unix)]
fn names(file: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(file)
}

#[cfg(not(unix))]
fn names(_: &std::fs::Metadata) -> u64 {
    1
}

/// Opens the file and configures the connection. Blocks while another connection locks the file, up to the busy
/// timeout.
#[allow(clippy::disallowed_methods, reason = "it runs on a thread for blocking work")]
pub(super) fn open(path: &str, role: Role, settings: Settings) -> ConnectionResult<SqliteConnection> {
    let mut connection = SqliteConnection::establish(path)?;
    let pragmas = settings.pragmas(role);
    let deadline = Instant::now() + settings.busy_timeout;
    loop {
        match connection.batch_execute(&pragmas) {
            Ok(()) => return Ok(connection),
            // Where waiting could be a deadlock, SQLite fails at once and does not call its busy handler. That happens
            // when two connections switch a new file to WAL.
            Err(Error::DatabaseError(_, info)) if is_locked(info.message()) && Instant::now() < deadline => {
                std::thread::sleep(LOCK_RETRY);
            }
            Err(error) => return Err(ConnectionError::CouldntSetupConfiguration(error)),
        }
    }
}

/// Returns whether a message is the one of `SQLITE_BUSY`. diesel does not keep the result code.
fn is_locked(message: &str) -> bool {
    message.contains("database is locked")
}

/// Settings of each connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// How long a statement waits while another process writes.
    pub(super) busy_timeout: Duration,
    /// Whether `PRAGMA synchronous` is FULL; otherwise it is NORMAL.
    pub(super) full_sync: bool,
}

impl Settings {
    /// Returns the settings in `config`.
    pub(super) fn of(config: &DatabaseConfig) -> Self {
        Self { busy_timeout: config.pool_timeout, full_sync: config.sqlite_full_sync }
    }

    fn pragmas(self, role: Role) -> String {
        // `busy_timeout` comes first, because the others may wait for a lock.
        format!(
            "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = {}; PRAGMA foreign_keys = ON; \
             PRAGMA secure_delete = ON; PRAGMA cache_size = -8000; PRAGMA journal_size_limit = 67108864; \
             PRAGMA query_only = {};",
            self.busy_timeout.as_millis(),
            if self.full_sync { "FULL" } else { "NORMAL" },
            if role == Role::Reader { "ON" } else { "OFF" },
        )
    }
}

/// Where a connection is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenOn {
    /// On a thread for blocking work.
    BlockingThread,
    /// On the calling thread: a simulation has no other.
    #[cfg(feature = "simulation")]
    ThisThread,
}

/// Opens the connections of the readers.
pub(super) struct LiteManager {
    path: String,
    settings: Settings,
    open_on: OpenOn,
}

impl Manager for LiteManager {
    type Type = LiteConn;
    type Error = ConnectionError;

    async fn create(&self) -> ConnectionResult<LiteConn> {
        let (path, settings) = (self.path.clone(), self.settings);
        let open = move || open(&path, Role::Reader, settings);
        match self.open_on {
            OpenOn::BlockingThread => tokio::task::spawn_blocking(open)
                .await
                .unwrap_or_else(|error| Err(ConnectionError::BadConnection(error.to_string()))),
            #[cfg(feature = "simulation")]
            OpenOn::ThisThread => open(),
        }
    }

    async fn recycle(&self, connection: &mut LiteConn, _: &Metrics) -> RecycleResult<ConnectionError> {
        if AnsiTransactionManager::is_broken_transaction_manager(connection) {
            return Err(RecycleError::message("its transaction was left open"));
        }
        Ok(())
    }
}

impl LiteManager {
    /// Returns whether reads must stay on the calling thread.
    fn stays_on_this_thread(&self) -> bool {
        match self.open_on {
            OpenOn::BlockingThread => false,
            #[cfg(feature = "simulation")]
            OpenOn::ThisThread => true,
        }
    }
}

/// Creates the pool of the readers.
///
/// # Errors
/// Never in practice: creating a pool opens no file.
pub(super) fn readers(path: &str, config: &DatabaseConfig, open_on: OpenOn) -> StoreResult<Connections<LiteManager>> {
    let manager = LiteManager { path: path.to_owned(), settings: Settings::of(config), open_on };
    // The connection that was used last is taken first, because its pages and statements are in its cache.
    let pool = Pool::builder(manager).max_size(READERS).queue_mode(QueueMode::Lifo);
    let pool = pool.build().map_err(StoreError::unavailable)?;
    Ok(Connections::new(pool, config.pool_timeout))
}

/// Maximum wait for readers before the log is emptied. No unit can write meanwhile.
const EMPTY_LOG_TIMEOUT: Duration = Duration::from_millis(200);

#[derive(diesel::QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    busy: i32,
}

/// Empties the write-ahead log, which has pages as they were before a deletion. Returns whether it did: not while
/// another connection reads an older state.
///
/// # Errors
/// [`StoreError::Unavailable`] if the file cannot be read or written.
pub(super) async fn empty_log(readers: &Pool<LiteManager>) -> StoreResult<bool> {
    let LiteManager { path, settings, .. } = readers.manager();
    let (path, settings) = (path.clone(), Settings { busy_timeout: EMPTY_LOG_TIMEOUT, ..*settings });
    let checkpoint = move || -> StoreResult<bool> {
        let mut connection = open(&path, Role::Writer, settings).map_err(StoreError::unavailable)?;
        let query = diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)");
        let found: Result<Checkpoint, Error> = diesel::RunQueryDsl::get_result(query, &mut connection);
        match found {
            Ok(Checkpoint { busy }) => Ok(busy == 0),
            Err(Error::DatabaseError(_, info)) if is_locked(info.message()) => Ok(false),
            Err(error) => Err(StoreError::unavailable(error)),
        }
    };
    tokio::task::spawn_blocking(checkpoint).await.map_err(StoreError::unavailable)?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use diesel::RunQueryDsl;
    use diesel::sql_types::{BigInt, Text};

    #[test]
    fn urls_name_files() {
        assert_eq!(path("sqlite://threadline.db").unwrap(), "threadline.db");
        assert_eq!(path("sqlite:///tmp/threadline.db").unwrap(), "/tmp/threadline.db");
        assert_eq!(path("sqlite:threadline.db").unwrap(), "threadline.db");
        assert_eq!(path("sqlite://file:x").unwrap(), "./file:x");
    }

    #[test]
    fn what_is_refused_says_what_to_change() {
        for (url, hint) in [
            ("mysql://x", "postgres://"),
            ("sqlite://", "names no file"),
            ("sqlite::memory:", "memory"),
            ("sqlite://:memory:", "memory"),
            ("sqlite://a.db?mode=memory", "parameters"),
            ("sqlite:///no/such/directory/a.db", "/no/such/directory"),
        ] {
            let error = path(url).unwrap_err();
            assert!(matches!(error, StoreError::Config(_)), "{url}");
            assert!(error.to_string().contains(hint), "{url}: {error}");
        }
    }

    #[test]
    fn a_connection_is_set_up_for_its_role() {
        let file = std::env::temp_dir().join(format!("threadline-test-{}.db", uuid::Uuid::now_v7().simple()));
        let number = |c: &mut SqliteConnection, pragma: &str| {
            let query = format!("(SELECT {pragma} FROM pragma_{pragma})");
            diesel::select(diesel::dsl::sql::<BigInt>(&query)).get_result::<i64>(c).unwrap()
        };
        for (full_sync, synchronous) in [(true, 2), (false, 1)] {
            let settings = Settings { busy_timeout: Duration::from_secs(1), full_sync };
            let mut writer = open(file.to_str().unwrap(), Role::Writer, settings).unwrap();
            assert_eq!(number(&mut writer, "synchronous"), synchronous);
            assert_eq!(number(&mut writer, "foreign_keys"), 1);
            assert_eq!(number(&mut writer, "secure_delete"), 1, "deleted text does not stay in free pages");
            let mode = diesel::select(diesel::dsl::sql::<Text>("(SELECT journal_mode FROM pragma_journal_mode)"));
            assert_eq!(mode.get_result::<String>(&mut writer).unwrap(), "wal");
            writer.batch_execute("CREATE TABLE IF NOT EXISTS t (x INTEGER)").unwrap();

            let mut reader = open(file.to_str().unwrap(), Role::Reader, settings).unwrap();
            let error = reader.batch_execute("INSERT INTO t VALUES (1)").unwrap_err();
            assert!(matches!(StoreError::from(error), StoreError::Unavailable(_)));
        }
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", file.display()));
        }
    }
}
