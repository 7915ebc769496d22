//! Migrations: changes the schema to the one that this binary needs, or compares the two.
//!
//! Migrations run on a separate connection, outside the async threads. diesel takes no lock, and several replicas may
//! start at the same time. So all migrations run in one transaction, which is exclusive on SQLite and holds an advisory
//! lock on PostgreSQL. The lock ends with the transaction, even if the process is killed or a pooler keeps the session
//! open. Reading the state of the schema takes no lock.

use super::error::{Cause, StoreError, StoreResult};
use super::postgres::Server;
use super::sqlite::{self, Role, Settings};
use super::unit::PgConn;
use crate::config::DatabaseConfig;
use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::migration::{MigrationSource, MigrationVersion};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::time::{Duration, Instant};

const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// Key of the advisory lock. The number is arbitrary, but all releases must use the same one.
const ADVISORY_LOCK: i64 = 0x7468_7265_6164_6c6e;

/// The migration that creates the table `required_migrations`.
const REQUIREMENTS: &str = "20261129000020";

diesel::table! {
    /// The migrations that a binary must know to use the schema.
    required_migrations (version) {
        /// Version of the migration.
        version -> Text,
    }
}

/// How long to wait for another process that migrates. After that the start fails, and a service manager may start the
/// process again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two attempts to take the lock.
const LOCK_RETRY: Duration = Duration::from_millis(250);

/// How the schema of the database differs from the one that this binary needs. A version is the leading part of the
/// directory name of a migration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Migrations of this binary that have not been applied, oldest first.
    pub pending: Vec<String>,
    /// Applied migrations that this binary does not know, oldest first. They are from a newer release.
    pub unknown: Vec<String>,
    /// The unknown migrations that a binary must know to use the database, because a migration has removed what older
    /// releases need.
    pub missing: Vec<String>,
}

impl Standing {
    /// Accepts a schema of a newer release if this binary can use it.
    ///
    /// # Errors
    /// [`StoreError::Schema`] if it cannot.
    fn accept_newer(&self) -> StoreResult<()> {
        if !self.missing.is_empty() {
            return Err(StoreError::Schema(format!(
                "the schema of the database is newer than this binary supports: run the release that last ran \
                 `threadline migrate`, or a later one (required migrations that this binary does not know: {})",
                self.missing.join(", ")
            )));
        }
        if !self.unknown.is_empty() {
            tracing::warn!(
                unknown = self.unknown.join(", "),
                "the database has migrations of a newer release; this release is compatible with them"
            );
        }
        Ok(())
    }
}

/// Applies the pending migrations. Returns their versions, oldest first.
///
/// Leaves the tables of a newer release unchanged if this binary can use them.
///
/// # Errors
/// [`StoreError::Config`], [`StoreError::Unavailable`], [`StoreError::Migration`] if a migration fails, and
/// [`StoreError::Schema`] if the schema is too new. After an error, no migration of this call is applied.
pub async fn up(config: &DatabaseConfig) -> StoreResult<Vec<String>> {
    let Done { versions, unknown, missing } = act(config, Action::Up).await?;
    Standing { pending: Vec::new(), unknown, missing }.accept_newer()?;
    if !versions.is_empty() {
        tracing::info!(applied = versions.join(", "), "database migrated");
    }
    Ok(versions)
}

/// Compares the schema with the one that this binary needs. Changes nothing and takes no lock on PostgreSQL. On SQLite
/// it creates diesel's table of versions if that is missing.
///
/// # Errors
/// [`StoreError::Config`] or [`StoreError::Unavailable`].
pub async fn standing(config: &DatabaseConfig) -> StoreResult<Standing> {
    let Done { versions: pending, unknown, missing } = act(config, Action::Look).await?;
    Ok(Standing { pending, unknown, missing })
}

/// Checks that this binary can use the schema as it is.
///
/// # Errors
/// [`StoreError::Schema`] if it cannot, and the errors of [`standing`].
pub async fn check(config: &DatabaseConfig) -> StoreResult<()> {
    let standing = standing(config).await?;
    standing.accept_newer()?;
    if !standing.pending.is_empty() {
        return Err(StoreError::Schema(format!(
            "the schema of the database is older than this binary needs: run `threadline migrate`, or set AUTO_MIGRATE=true \
             (pending migrations: {})",
            standing.pending.join(", ")
        )));
    }
    Ok(())
}

/// Reverts the newest migration. Returns its version; `None` if no migration is applied. The data in dropped tables and
/// columns is lost.
///
/// # Errors
/// The errors of [`up`].
pub async fn revert_last(config: &DatabaseConfig) -> StoreResult<Option<String>> {
    Ok(act(config, Action::RevertLast).await?.versions.pop())
}

/// Reverts all migrations. Returns their versions, newest first. All data is lost.
///
/// # Errors
/// The errors of [`up`].
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

/// The outcome of an action: the migrations that it has changed or, for [`Action::Look`], that are pending; and those
/// that this binary does not know, as in [`Standing`].
struct Done {
    versions: Vec<String>,
    unknown: Vec<String>,
    missing: Vec<String>,
}

async fn act(config: &DatabaseConfig, action: Action) -> StoreResult<Done> {
    if config.is_postgres() {
        // A migration may take long. This connection has no limit on the time of a statement, and uses no pooler.
        let server = Server::direct(config)?;
        let connection =
            tokio::time::timeout(config.pool_timeout, Box::pin(server.connect_alone())).await.map_err(|_| {
                StoreError::unavailable(format!("PostgreSQL did not answer within {:?}", config.pool_timeout))
            })??;
        blocking(move || on_postgres(connection, action)).await
    } else {
        let path = sqlite::file(config)?;
        let settings = Settings::of(config);
        blocking(move || on_sqlite(&path, settings, action)).await
    }
}

async fn blocking(run: impl FnOnce() -> StoreResult<Done> + Send + 'static) -> StoreResult<Done> {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| Err(StoreError::unavailable(error)))
}

fn on_postgres(connection: PgConn, action: Action) -> StoreResult<Done> {
    let mut connection = AsyncConnectionWrapper::<PgConn>::from(connection);
    let standing = look(&mut connection)?;
    let is_done = match action {
        Action::Look => true,
        // The caller refuses a schema that is too new.
        Action::Up => standing.versions.is_empty() || !standing.missing.is_empty(),
        Action::RevertLast | Action::RevertAll => false,
    };
    if is_done {
        return Ok(standing);
    }
    let deadline = Instant::now() + LOCK_TIMEOUT;
    let mut waiting_since = None;
    loop {
        let done = connection.transaction(|c| -> Result<Option<Done>, Cause> {
            // Otherwise the default of the server may hide what the previous holder of the lock has committed.
            c.batch_execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")?;
            let is_locked = diesel::select(sql::<Bool>(&format!("pg_try_advisory_xact_lock({ADVISORY_LOCK})")));
            if !is_locked.get_result::<bool>(c)? {
                return Ok(None);
            }
            // A pooler may have changed the settings of the session.
            c.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")?;
            perform(c, &POSTGRES, action, required_on_postgres).map(Some)
        });
        if let Some(done) = done.map_err(failed)? {
            return Ok(done);
        }
        if waiting_since.is_none() {
            tracing::info!("waiting until another process has migrated the database");
        }
        waiting_since.get_or_insert_with(Instant::now);
        if Instant::now() >= deadline {
            return Err(lock_is_held(&mut connection));
        }
        wait(LOCK_RETRY);
    }
}

/// Blocks this thread, which is one for blocking work.
#[allow(clippy::disallowed_methods, reason = "it runs on a thread for blocking work")]
fn wait(pause: Duration) {
    std::thread::sleep(pause);
}

/// Compares the schema with the migrations of this binary. Creates nothing, not even diesel's table of versions: the
/// server may be a read-only replica, or another process may be migrating it.
fn look(connection: &mut AsyncConnectionWrapper<PgConn>) -> StoreResult<Done> {
    let known = MigrationSource::<diesel::pg::Pg>::migrations(&POSTGRES).map_err(failed)?;
    let ours: Vec<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
    let exists = diesel::select(sql::<Bool>("to_regclass('__diesel_schema_migrations') IS NOT NULL"));
    let applied: Vec<String> = if exists.get_result(connection)? {
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version")
            .load::<Applied>(connection)?
            .into_iter()
            .map(|row| row.version)
            .collect()
    } else {
        Vec::new()
    };
    let mut versions = ours.clone();
    versions.retain(|version| !applied.contains(version));
    versions.sort_unstable();
    let mut missing = match applied.iter().any(|version| version == REQUIREMENTS) {
        true => required_on_postgres(connection)?,
        false => Vec::new(),
    };
    missing.retain(|version| !ours.contains(version));
    let unknown = applied.into_iter().filter(|version| !ours.contains(version)).collect();
    Ok(Done { versions, unknown, missing })
}

fn required_on_postgres(connection: &mut AsyncConnectionWrapper<PgConn>) -> QueryResult<Vec<String>> {
    required_migrations::table.select(required_migrations::version).order(required_migrations::version).load(connection)
}

/// A row of diesel's table of versions.
#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// Returns the error that names the sessions that hold the lock, and says what to do.
fn lock_is_held(connection: &mut AsyncConnectionWrapper<PgConn>) -> StoreError {
    #[derive(QueryableByName)]
    struct Holder {
        #[diesel(sql_type = Text)]
        holder: String,
    }
    // A lock of 64 bits is shown as two halves: https://www.postgresql.org/docs/current/view-pg-locks.html
    let holders = diesel::sql_query(
        "SELECT l.pid || ' (' || coalesce(a.application_name, '') || ', ' || coalesce(a.state, 'unknown') || ')' AS holder \
         FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = \
         (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND (l.classid::bigint << 32 | l.objid::bigint) = $1",
    )
    .bind::<diesel::sql_types::BigInt, _>(ADVISORY_LOCK)
    .load::<Holder>(connection)
    .unwrap_or_default();
    let holders: Vec<String> = holders.into_iter().map(|row| row.holder).collect();
    StoreError::Schema(format!(
        "another session has held the lock for migrations for {} s: {}. If no other process is migrating, a pooler \
         (PgBouncer, Supavisor) keeps the session of an older release open: end it with \
         SELECT pg_terminate_backend(PID)",
        LOCK_TIMEOUT.as_secs(),
        if holders.is_empty() { "unknown".to_owned() } else { holders.join(", ") },
    ))
}

fn on_sqlite(path: &str, settings: Settings, action: Action) -> StoreResult<Done> {
    let mut connection = sqlite::open(path, Role::Writer, settings)?;
    // Some migrations rebuild a table that other tables refer to. Foreign keys would prevent that, and they cannot be
    // switched off inside a transaction: https://www.sqlite.org/lang_altertable.html#otheralter
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
            if broken == 0 { Ok(done) } else { Err(format!("{broken} rows would violate a foreign key").into()) }
        })
        .map_err(failed)
}

/// Performs an action on either database. `required` reads the table `required_migrations`.
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
    // diesel returns the newest migration first.
    let newest_unknown = applied.first().filter(|version| !is_known(version)).cloned();
    let mut unknown: Vec<String> = applied.into_iter().filter(|version| !is_known(version)).collect();
    unknown.reverse();

    if let (Action::RevertLast | Action::RevertAll, Some(newest)) = (action, &newest_unknown) {
        return Err(format!("{newest} is of a newer release: revert it with the binary of that release").into());
    }
    let versions = match action {
        // The caller returns an error.
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

/// A source of migrations by reference. diesel takes a source by value, once per call.
struct Borrowed<'a>(&'a EmbeddedMigrations);

impl<DB: Backend> MigrationSource<DB> for Borrowed<'_> {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn diesel::migration::Migration<DB>>>> {
        self.0.migrations()
    }
}

fn names(versions: &[MigrationVersion<'_>]) -> Vec<String> {
    versions.iter().map(ToString::to_string).collect()
}

/// Returns `Unavailable` if the database was unavailable, otherwise `Migration`.
fn failed(failure: Cause) -> StoreError {
    match failure.downcast::<diesel::result::Error>() {
        Ok(error) => match StoreError::from(*error) {
            unavailable @ StoreError::Unavailable(_) => unavailable,
            other => StoreError::Migration(other.into()),
        },
        Err(other) => StoreError::Migration(other),
    }
}
