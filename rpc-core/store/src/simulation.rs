//! Stores for simulations: deterministic, on one thread, with faults.
//!
//! A simulated store keeps its rows in a real SQLite file. Its work runs in place instead of on another thread, so that a
//! runtime with one thread and paused time gives the same interleaving for the same seed. Several stores can open one
//! file: they stand for the processes that share a database.

use crate::StoreResult;
use crate::config::DatabaseConfig;
use crate::db::{Db, Store};
use crate::{migrate, sqlite};
use futures::future::BoxFuture;
use std::sync::Arc;
use threadline_schema::db::types::UtcTime;
use tokio::time::Instant;

/// The faults of one simulated process.
pub trait Faults: Send + Sync {
    /// Called before a store operation. May wait, may fail the operation, and may never return.
    fn before(&self, operation: &'static str) -> BoxFuture<'_, StoreResult<()>>;
    /// Called after a store operation that was carried out. May wait, may lose the reply, and may never return.
    fn after(&self, operation: &'static str) -> BoxFuture<'_, StoreResult<()>>;
}

/// What a simulated store has beside its database.
pub(crate) struct Simulation {
    faults: Arc<dyn Faults>,
    started: Instant,
    /// The time of the database when the simulation started, in microseconds since 1970.
    started_micros: i64,
}

impl Simulation {
    /// The time of the database: it advances with the paused time of the runtime.
    pub(crate) fn now(&self) -> Option<UtcTime> {
        let elapsed = i64::try_from(self.started.elapsed().as_micros()).ok()?;
        UtcTime::from_micros(self.started_micros.saturating_add(elapsed))
    }

    /// Carries out an operation with its faults, in a task of its own: like a real unit of work it goes on when its
    /// caller is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        self: Arc<Self>,
        operation: &'static str,
        unit: impl FnOnce() -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let task = crate::unit::spawn(async move {
            self.faults.before(operation).await?;
            let result = unit();
            self.faults.after(operation).await?;
            result
        });
        crate::unit::outcome(task.await)
    }
}

impl Store {
    /// Opens a simulated store on an SQLite file. `started` and `started_micros` must be the same for all stores on one
    /// file: they are the clock of the database.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub async fn open_simulated(
        config: &DatabaseConfig,
        faults: Arc<dyn Faults>,
        started: Instant,
        started_micros: i64,
    ) -> StoreResult<Self> {
        use secrecy::ExposeSecret;
        let path = sqlite::path(config.url.expose_secret())?;
        let read = sqlite::connections(&path, sqlite::Role::Reader, config, sqlite::OpenOn::ThisThread)?;
        let write = sqlite::connections(&path, sqlite::Role::Writer, config, sqlite::OpenOn::ThisThread)?;
        if config.auto_migrate {
            migrate::up(config).await?;
        }
        let simulation = Some(Arc::new(Simulation { faults, started, started_micros }));
        Ok(Self::from_db(Db::Lite { read, write, simulation }))
    }
}

/// Returns the name of the store function that contains the function of this type name.
pub(crate) fn operation_name(type_name: &'static str) -> &'static str {
    type_name
        .split("::")
        .filter(|part| !part.starts_with('{') && !part.starts_with('<') && *part != "here")
        .last()
        .unwrap_or(type_name)
}
