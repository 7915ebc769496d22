//! How the database is reached.

use secrecy::SecretString;
use std::time::Duration;

/// Where conversations are kept.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `sqlite://path` or `postgres://...`, which can contain a password.
    pub url: SecretString,
    /// Connections to PostgreSQL. SQLite always has one writer and four readers.
    pub pool_size: usize,
    /// How long a request waits for a connection before it answers `SERVICE_UNAVAILABLE`.
    pub pool_timeout: Duration,
    /// Whether to bring the schema up to date at start.
    pub auto_migrate: bool,
    /// `PRAGMA synchronous` of SQLite: `true` is FULL (nothing acknowledged is lost in a power cut), `false` NORMAL.
    pub sqlite_full_sync: bool,
}
