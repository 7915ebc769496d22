//! A simulated process: an engine with a store and signals of its own.

use super::driver::{DriverDeps, Executions, PlannedDrivers};
use fastrand::Rng;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use threadline_engine::{Engine, EngineConfig};
use threadline_runtime::Supervisor;
use threadline_signals::Signals;
use threadline_signals::simulation::SignalInbox;
use threadline_store::config::DatabaseConfig;
use threadline_store::simulation::Faults;
use threadline_store::{Clock, Store, StoreError, StoreResult};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

/// 2026-01-01, in microseconds since 1970.
const STARTED_MICROS: i64 = 1_767_225_600_000_000;

/// Whether a process executes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Running,
    /// Stopped in mid-step, as by SIGSTOP. It can continue.
    Frozen,
    /// Gone, as by SIGKILL. Nothing it has begun in memory is ever heard of.
    Dead,
}

/// How often things go wrong, in thousandths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FaultRates {
    /// An operation is refused: the database is away.
    pub(crate) refused: u64,
    /// An operation is committed, and its reply is lost.
    pub(crate) reply_lost: u64,
    /// Longest delay of an operation, in milliseconds.
    pub(crate) delay_ms: u64,
}

/// The faults of one process.
pub(crate) struct ProcessFaults {
    health: Mutex<Health>,
    /// Not a `watch` channel: that wakes its receivers in a random order.
    health_changed: Notify,
    rates: Mutex<FaultRates>,
    /// The database is away for all operations.
    is_database_away: Arc<watch::Sender<bool>>,
    rng: Mutex<Rng>,
    trace: Trace,
    pub(crate) name: u32,
}

/// What has happened, for comparing two plays of one seed.
pub(crate) type Trace = Arc<Mutex<Vec<String>>>;

impl ProcessFaults {
    /// Waits until the process has one of these states.
    async fn wait_for(&self, condition: impl Fn(Health) -> bool) -> Health {
        loop {
            let changed = self.health_changed.notified();
            let health = *self.health.lock().unwrap();
            if condition(health) {
                return health;
            }
            changed.await;
        }
    }

    /// Waits while the process is frozen. Returns whether it is alive.
    pub(crate) async fn is_alive(&self) -> bool {
        self.wait_for(|health| health != Health::Frozen).await == Health::Running
    }

    /// Never returns for a dead process: it never runs again.
    async fn wait_until_running(&self) {
        self.wait_for(|health| health == Health::Running).await;
    }

    async fn delay(&self) {
        let delay = {
            let limit = self.rates.lock().unwrap().delay_ms;
            self.rng.lock().unwrap().u64(0..=limit)
        };
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }

    fn hits(&self, rate: impl Fn(&FaultRates) -> u64) -> bool {
        let rate = rate(&self.rates.lock().unwrap());
        self.rng.lock().unwrap().u64(0..1_000) < rate
    }
}

impl Faults for ProcessFaults {
    fn before(&self, operation: &'static str) -> BoxFuture<'_, StoreResult<()>> {
        async move {
            self.delay().await;
            self.wait_until_running().await;
            self.trace.lock().unwrap().push(format!("{} {operation}", self.name));
            if *self.is_database_away.borrow() || self.hits(|rates| rates.refused) {
                return Err(StoreError::unavailable("simulated: refused"));
            }
            Ok(())
        }
        .boxed()
    }

    fn after(&self, _: &'static str) -> BoxFuture<'_, StoreResult<()>> {
        async move {
            self.delay().await;
            self.wait_until_running().await;
            if self.hits(|rates| rates.reply_lost) {
                return Err(StoreError::unavailable("simulated: reply lost"));
            }
            Ok(())
        }
        .boxed()
    }
}

/// A simulated process.
pub(crate) struct Process {
    pub(crate) name: u32,
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) inbox: SignalInbox,
    pub(crate) supervisor: Supervisor,
    faults: Arc<ProcessFaults>,
}

/// What all processes of a scenario have in common.
pub(crate) struct Cluster {
    pub(crate) database: DatabaseConfig,
    pub(crate) started: Instant,
    pub(crate) network: mpsc::UnboundedSender<(u32, String)>,
    pub(crate) is_database_away: Arc<watch::Sender<bool>>,
    pub(crate) rates: FaultRates,
    pub(crate) trace: Trace,
    pub(crate) executions: Arc<Executions>,
}

pub(crate) fn database(path: &Path, auto_migrate: bool) -> DatabaseConfig {
    DatabaseConfig {
        pool_size: 1,
        pool_timeout: Duration::from_secs(5),
        auto_migrate,
        sqlite_full_sync: false,
        ..DatabaseConfig::at(format!("sqlite://{}", path.display()))
    }
}

impl Process {
    pub(crate) async fn start(cluster: &Cluster, name: u32, mut rng: Rng) -> Arc<Self> {
        let faults = Arc::new(ProcessFaults {
            health: Mutex::new(Health::Running),
            health_changed: Notify::new(),
            rates: Mutex::new(FaultRates { refused: 0, reply_lost: 0, delay_ms: 0 }),
            is_database_away: cluster.is_database_away.clone(),
            rng: Mutex::new(rng.fork()),
            trace: cluster.trace.clone(),
            name,
        });
        let store =
            Store::open_simulated(&cluster.database, faults.clone(), cluster.started, STARTED_MICROS).await.unwrap();
        let clock = loop {
            if let Ok(clock) = Clock::read_seeded(&store, rng.u64(..)).await {
                break Arc::new(clock);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let (outgoing, mut sent) = mpsc::unbounded_channel();
        let (signals, inbox) = Signals::simulated(Uuid::from_u128(u128::from(name)), outgoing);
        let (network, frozen) = (cluster.network.clone(), faults.clone());
        tokio::spawn(async move {
            while let Some(message) = sent.recv().await {
                frozen.wait_until_running().await;
                if network.send((name, message)).is_err() {
                    return;
                }
            }
        });
        let supervisor = Supervisor::default();
        let config = EngineConfig {
            run_timeout: Duration::from_secs(40),
            events_retention: Duration::from_secs(3_600),
            journal_interval: Some(Duration::from_millis(40)),
            cancel_grace: Duration::from_secs(2),
            drivers: Arc::new(PlannedDrivers {
                deps: DriverDeps {
                    process: faults.clone(),
                    store: store.clone(),
                    executions: cluster.executions.clone(),
                },
                rng: Mutex::new(rng.fork()),
            }),
            on_unknown_outcome: Arc::new(|_| {}),
            renew_item: Arc::new(|_| {}),
        };
        let engine =
            Engine::start(config, store.clone(), clock.clone(), signals, supervisor.clone()).await.expect("engine");
        *faults.rates.lock().unwrap() = cluster.rates;
        Arc::new(Self { name, engine, store, clock, inbox, supervisor, faults })
    }

    pub(crate) fn health(&self) -> Health {
        *self.faults.health.lock().unwrap()
    }

    /// Freezes, revives or kills the process. A dead one stays dead.
    pub(crate) fn set_health(&self, health: Health) {
        {
            let mut current = self.faults.health.lock().unwrap();
            if *current != Health::Dead {
                *current = health;
            }
        }
        self.faults.health_changed.notify_waiters();
        if health == Health::Dead {
            // Its timers end; its operations on the database never do.
            self.supervisor.shut_down();
        }
    }

    /// Waits while the process is frozen. Returns whether it is alive.
    pub(crate) async fn is_alive(&self) -> bool {
        self.faults.is_alive().await
    }

    /// Returns what the drivers of this process use.
    pub(crate) fn driver_deps(&self, executions: &Arc<Executions>) -> DriverDeps {
        DriverDeps { process: self.faults.clone(), store: self.store.clone(), executions: executions.clone() }
    }

    /// Ends all random faults.
    pub(crate) fn heal(&self) {
        *self.faults.rates.lock().unwrap() = FaultRates { refused: 0, reply_lost: 0, delay_ms: 2 };
        self.set_health(Health::Running);
    }
}
