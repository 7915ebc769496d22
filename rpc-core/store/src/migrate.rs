//! Migrations: brings the tables to what this binary was built for, or tells how far they are from it.
//!
//! They run on a connection of their own, off the async threads. diesel takes no lock, and replicas start together; so
//! PostgreSQL is migrated under an advisory lock, and SQLite inside one exclusive transaction.

use super::db::is_postgres;
use super::error::{Cause, StoreError, StoreResult};
use super::postgres::Server;
use super::sqlite::{self, Role, Settings};
use super::unit::PgConn;
use crate::config::DatabaseConfig;
use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::migration::{MigrationSource, MigrationVersion};
use diesel::prelude::*;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use secrecy::ExposeSecret;

const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// Any number, as long as every version of the program locks the same one.
const ADVISORY_LOCK: i64 = 0x7468_7265_6164_6c6e;

/// The migration that creates the table of the migrations that a binary must know.
const REQUIREMENTS: &str = "20261129000020";

diesel::table! {
    /// Migrations that a binary must know to use the schema.
    required_migrations (version) {
        /// Version of the migration.
        version -> Text,
    }
}

/// How the tables stand to this binary. Versions are the leading part of a migration's directory name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Migrations of this binary that the database lacks, oldest first.
    pub pending: Vec<String>,
    /// Migrations of the database that this binary does not know, oldest first: a newer release made them.
    pub unknown: Vec<String>,
    /// Those of them without which a binary must not use the database: a later migration took away what came before.
    pub missing: Vec<String>,
}

impl Standing {
    /// Accepts a schema of a newer release if this binary can use it.
    ///
    /// # Errors
    /// [`StoreError::Schema`] when it cannot.
    fn accept_newer(&self) -> StoreResult<()> {
        if !self.missing.is_empty() {
            return Err(StoreError::Schema(format!(
                "the database is newer than this binary can use: run the release that last ran `threadline migrate`, or a \
                 later one (required, and unknown here: {})",
                self.missing.join(", ")
            )));
        }
        if !self.unknown.is_empty() {
            tracing::warn!(
                unknown = self.unknown.join(", "),
                "the database has migrations of a newer release, which this one can work with"
            );
        }
        Ok(())
    }
}

/// Applies what is pending, and returns its versions, oldest first.
///
/// Tables of a newer release are left alone if this binary can work with them.
///
/// # Errors
/// [`StoreError::Config`], [`StoreError::Unavailable`], or [`StoreError::Migration`] when a migration fails; that one and
/// those after it are then not applied. [`StoreError::Schema`] when the schema is too new; nothing is applied then.
pub async fn up(config: &DatabaseConfig) -> StoreResult<Vec<String>> {
    let Done { versions, unknown, missing } = act(config, Action::Up).await?;
    Standing { pending: Vec::new(), unknown, missing }.accept_newer()?;
    if !versions.is_empty() {
        tracing::info!(applied = versions.join(", "), "database migrated");
    }
    Ok(versions)
}

/// How the tables stand to this binary. Changes nothing but that diesel's table of versions is made if it is missing.
///
/// # Errors
/// [`StoreError::Config`] or [`StoreError::Unavailable`].
pub async fn standing(config: &DatabaseConfig) -> StoreResult<Standing> {
    let Done { versions: pending, unknown, missing } = act(config, Action::Look).await?;
    Ok(Standing { pending, unknown, missing })
}

/// Makes sure that this binary can work with the tables as they are.
///
/// # Errors
/// [`StoreError::Schema`] when it cannot, and as [`standing`].
pub async fn check(config: &DatabaseConfig) -> StoreResult<()> {
    let standing = standing(config).await?;
    standing.accept_newer()?;
    if !standing.pending.is_empty() {
        return Err(StoreError::Schema(format!(
            "the database is older than this binary: run `threadline migrate`, or set AUTO_MIGRATE=true (pending: {})",
            standing.pending.join(", ")
        )));
    }
    Ok(())
}

/// Takes the newest migration back, and returns its version; `None` when there is none. Data in what it drops is gone.
///
/// # Errors
/// As [`up`].
pub async fn revert_last(config: &DatabaseConfig) -> StoreResult<Option<String>> {
    Ok(act(config, Action::RevertLast).await?.versions.pop())
}

/// Takes every migration back, and returns the versions, newest first. All data is gone.
///
/// # Errors
/// As [`up`].
pub async fn revert_all(config: &DatabaseConfig) -> StoreResult<Vec<String>> {
    Ok(act(config, Action::RevertAll).await?.versions)
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Up,
    Look,
    RevertLast,
    RevertAll,
}

/// What an action touched (or would touch), and what it did not know.
struct Done {
    versions: Vec<String>,
    unknown: Vec<String>,
    missing: Vec<String>,
}

async fn act(config: &DatabaseConfig, action: Action) -> StoreResult<Done> {
    if is_postgres(config.url.expose_secret()) {
        // Without the pool's limit on statements: a migration may take long, and so may the wait for another's.
        let server = Server::new(config)?;
        let connection = tokio::time::timeout(config.pool_timeout, server.connect()).await.map_err(|_| {
            StoreError::unavailable(format!("PostgreSQL did not answer within {:?}", config.pool_timeout))
        })??;
        blocking(move || on_postgres(connection, action)).await
    } else {
        let path = sqlite::path(config.url.expose_secret())?;
        let settings = Settings::of(config);
        blocking(move || on_sqlite(&path, settings, action)).await
    }
}

async fn blocking(run: impl FnOnce() -> StoreResult<Done> + Send + 'static) -> StoreResult<Done> {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| Err(StoreError::unavailable(error)))
}

fn on_postgres(connection: PgConn, action: Action) -> StoreResult<Done> {
    let mut connection = AsyncConnectionWrapper::<PgConn>::from(connection);
    // Held until the connection closes, which is at the end of this function.
    connection.batch_execute(&format!("SELECT pg_advisory_lock({ADVISORY_LOCK})"))?;
    perform(&mut connection, &POSTGRES, action, |c| {
        required_migrations::table.select(required_migrations::version).order(required_migrations::version).load(c)
    })
    .map_err(failed)
}

fn on_sqlite(path: &str, settings: Settings, action: Action) -> StoreResult<Done> {
    let mut connection = sqlite::open(path, Role::Writer, settings)?;
    // A table that others refer to is changed by building it anew, which foreign keys would forbid. They cannot be
    // switched inside a transaction: https://www.sqlite.org/lang_altertable.html#otheralter
    connection.batch_execute("PRAGMA foreign_keys = OFF")?;
    connection
        .exclusive_transaction(|c| {
            let done = perform(c, &SQLITE, action, |c| {
                required_migrations::table
                    .select(required_migrations::version)
                    .order(required_migrations::version)
                    .load(c)
            })?;
            let broken: i64 = diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(
                "(SELECT count(*) FROM pragma_foreign_key_check)",
            ))
            .get_result(c)?;
            if broken == 0 { Ok(done) } else { Err(format!("{broken} rows would refer to nothing").into()) }
        })
        .map_err(failed)
}

/// Acts on either database. `required` reads the table of the migrations that a binary must know.
fn perform<DB, C>(
    connection: &mut C,
    known: &EmbeddedMigrations,
    action: Action,
    required: impl FnOnce(&mut C) -> QueryResult<Vec<String>>,
) -> Result<Done, Cause>
where
    DB: Backend,
    C: MigrationHarness<DB>,
{
    let ours: Vec<String> = MigrationSource::<DB>::migrations(known)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    let applied = names(&connection.applied_migrations()?);
    let is_known = |version: &String| ours.contains(version);
    let has_requirements = applied.iter().any(|version| version == REQUIREMENTS);
    let mut missing = if has_requirements { required(connection)? } else { Vec::new() };
    missing.retain(|version| !is_known(version));
    let mut unknown: Vec<String> = applied.into_iter().filter(|version| !is_known(version)).collect();
    // diesel lists what is applied newest first.
    unknown.reverse();

    let versions = match action {
        // The caller refuses it.
        Action::Up if !missing.is_empty() => Vec::new(),
        Action::Up => names(&connection.run_pending_migrations(Borrowed(known))?),
        Action::Look => {
            let pending = connection.pending_migrations(Borrowed(known))?;
            pending.iter().map(|migration| migration.name().version().to_string()).collect()
        }
        Action::RevertLast if connection.applied_migrations()?.is_empty() => Vec::new(),
        Action::RevertLast => names(&[connection.revert_last_migration(Borrowed(known))?]),
        Action::RevertAll => names(&connection.revert_all_migrations(Borrowed(known))?),
    };
    Ok(Done { versions, unknown, missing })
}

/// diesel takes a source by value, and reads it once per call.
struct Borrowed<'a>(&'a EmbeddedMigrations);

impl<DB: Backend> MigrationSource<DB> for Borrowed<'_> {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn diesel::migration::Migration<DB>>>> {
        self.0.migrations()
    }
}

fn names(versions: &[MigrationVersion<'_>]) -> Vec<String> {
    versions.iter().map(ToString::to_string).collect()
}

/// A database that is away stays what it is; anything else is a migration that does not work.
fn failed(failure: Cause) -> StoreError {
    match failure.downcast::<diesel::result::Error>() {
        Ok(error) => match StoreError::from(*error) {
            unavailable @ StoreError::Unavailable(_) => unavailable,
            other => StoreError::Migration(other.into()),
        },
        Err(other) => StoreError::Migration(other),
    }
}
