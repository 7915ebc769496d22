//! How the database is reached.

use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// Where conversations are kept.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `sqlite://path` or `postgres://...`, which can contain a password.
    pub url: SecretString,
    /// The same PostgreSQL without a pooler in between, for what needs a session: LISTEN, and the lock by which other
    /// processes see that this one is alive. `None`: `url`.
    pub direct_url: Option<SecretString>,
    /// Whether statements are prepared by name on PostgreSQL.
    pub prepared: PreparedStatements,
    /// Connections to PostgreSQL. SQLite always has one writer and four readers.
    pub pool_size: usize,
    /// How long a request waits for a connection before it answers `SERVICE_UNAVAILABLE`.
    pub pool_timeout: Duration,
    /// Whether to bring the schema up to date at start.
    pub auto_migrate: bool,
    /// `PRAGMA synchronous` of SQLite: `true` is FULL (nothing acknowledged is lost in a power cut), `false` NORMAL.
    pub sqlite_full_sync: bool,
    /// Whether an SQLite file may be on a network file system, where its locks cannot be relied on.
    pub allow_network_file_system: bool,
}

/// Whether statements are prepared by name on PostgreSQL. A pooler in transaction mode gives each transaction another
/// session, where a name may be missing, or stand for a statement of somebody else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PreparedStatements {
    /// By name on connections to the server itself, unnamed behind a pooler.
    #[default]
    Auto,
    /// Always by name: for a pooler that keeps track of names, or one in session mode.
    On,
    /// Never by name.
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

    /// Returns whether the URL is one of PostgreSQL's.
    pub(crate) fn is_postgres(&self) -> bool {
        let url = self.url.expose_secret();
        url.starts_with("postgres://") || url.starts_with("postgresql://")
    }
}
