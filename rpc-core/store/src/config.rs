//! Configuration of the database.

use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// Which database the service uses, and how it connects to it.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `sqlite://path` or `postgres://...`, which can contain a password.
    pub url: SecretString,
    /// URL of the same PostgreSQL server without a pooler, for what needs a session of its own: LISTEN, migrations, and
    /// the lock that shows other processes that this one is alive. `None` uses `url`.
    pub direct_url: Option<SecretString>,
    /// Whether statements are prepared by name on PostgreSQL.
    pub prepared: PreparedStatements,
    /// Connections to PostgreSQL. SQLite always has one writer and four readers.
    pub pool_size: usize,
    /// How long a request waits for a connection before it fails with `SERVICE_UNAVAILABLE`.
    pub pool_timeout: Duration,
    /// Whether the start of the service applies pending migrations.
    pub auto_migrate: bool,
    /// `PRAGMA synchronous` of SQLite. `true` is FULL: a power failure loses no acknowledged commit. `false` is NORMAL:
    /// it may lose the last commits.
    pub sqlite_full_sync: bool,
    /// Whether an SQLite file may be on a network file system, where file locks are not reliable.
    pub allow_network_file_system: bool,
}

/// Whether statements are prepared by name on PostgreSQL. A pooler in transaction mode can run each transaction in
/// another session. In that session the name may not exist, or may belong to the statement of another client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PreparedStatements {
    /// Prepared by name on a direct connection to the server, unnamed behind a pooler.
    #[default]
    Auto,
    /// Always prepared by name. For a pooler in session mode, or one that tracks the names of prepared statements.
    On,
    /// Never prepared by name.
    Off,
}

impl DatabaseConfig {
    /// Returns the configuration of a database with the defaults of all other settings.
    pub fn at(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            direct_url: None,
            prepared: PreparedStatements::Auto,
            pool_size: 20,
            pool_timeout: Duration::from_secs(5),
            auto_migrate: true,
            sqlite_full_sync: true,
            allow_network_file_system: false,
        }
    }

    /// Returns whether the URL is for PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        let url = self.url.expose_secret();
        url.starts_with("postgres://") || url.starts_with("postgresql://")
    }
}
