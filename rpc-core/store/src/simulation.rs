//! Stores for simulations: deterministic, on one thread, with injected faults.
//!
//! A simulated store keeps its rows in a real SQLite file. It runs its work on the calling thread. So a runtime with
//! one thread and paused time produces the same interleaving for the same seed. Several stores can open one file: each
//! represents one of the processes that share a database.

use crate::StoreResult;
use crate::config::DatabaseConfig;
use crate::db::{Db, Lite, Store};
use crate::{migrate, sqlite};
use futures::future::BoxFuture;
use std::sync::Arc;
use threadline_schema::db::types::UtcTime;
use tokio::time::Instant;

/// Injects faults into the store operations of one simulated process.
pub trait Faults: Send + Sync {
    /// Is called before a store operation. May wait, may fail the operation, and may never return.
    fn before(&self, operation: &'static str) -> BoxFuture<'_, StoreResult<()>>;
    /// Is called after an executed store operation. May wait, may lose the reply by returning an error, and may never
    /// return.
    fn after(&self, operation: &'static str) -> BoxFuture<'_, StoreResult<()>>;
}

/// The parts of a simulated store besides its database.
pub(crate) struct Simulation {
    faults: Arc<dyn Faults>,
    started: Instant,
    /// The time of the database when the simulation started, in microseconds since 1970.
    started_micros: i64,
}

impl Simulation {
    /// Returns the time of the database, which advances with the paused time of the runtime; `None` if it is out of
    /// range.
    pub(crate) fn now(&self) -> Option<UtcTime> {
        let elapsed = i64::try_from(self.started.elapsed().as_micros()).ok()?;
        UtcTime::from_micros(self.started_micros.saturating_add(elapsed))
    }

    /// Runs an operation with its faults in a separate task. Like a real unit of work, it continues when its caller is
    /// dropped.
    pub(crate) async fn run<T: Send + 'static>(
        self: Arc<Self>,
        operation: &'static str,
        unit: impl Future<Output = StoreResult<T>> + Send + 'static,
    ) -> StoreResult<T> {
        let task = crate::unit::spawn(async move {
            self.faults.before(operation).await?;
            let result = unit.await;
            self.faults.after(operation).await?;
            result
        });
        crate::unit::outcome(task.await)
    }
}

impl Store {
    /// Opens a simulated store on an SQLite file. `started` and `started_micros` define the clock of the database, so
    /// they must be the same for all stores on one file.
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
        let mut lite = Lite::new(&path, config, sqlite::OpenOn::ThisThread)?;
        if config.auto_migrate {
            migrate::up(config).await?;
        }
        lite.simulation = Some(Arc::new(Simulation { faults, started, started_micros }));
        Ok(Self::from_db(Db::Lite(Arc::new(lite))))
    }
}
