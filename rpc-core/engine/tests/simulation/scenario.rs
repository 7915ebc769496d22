//! One scenario, from its seed to its verdict.

use super::chaos::disturb;
use super::client::{Client, Record};
use super::driver::Executions;
use super::invariants;
use super::process::{Cluster, FaultRates, Health, Process, Trace, database};
use fastrand::Rng;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use threadline_schema::ids::{ThreadId, UserId};
use threadline_store::simulation::Faults;
use threadline_store::{NewThread, Store, StoreResult};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How long everything may take to settle after the last fault: a lease, recovery, and the tries of a last write.
const SETTLE: Duration = Duration::from_secs(120);

/// A migrated database, copied for each scenario.
pub(crate) struct Template(PathBuf);

impl Template {
    pub(crate) fn create() -> Self {
        // Scenarios panic on purpose; those panics are caught, and say nothing to a reader.
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or_default();
            if !text.contains("a fault of ours") {
                report(info);
            }
        }));
        let directory =
            if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
        let path = directory.join(format!("threadline-simulation-{}.db", uuid::Uuid::new_v4()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { drop(Store::open(&database(&path, true)).await.unwrap()) });
        drop(runtime);
        Self(path)
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &std::path::Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
}

/// What was played.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) runs: u64,
    pub(crate) events: u64,
    pub(crate) tool_calls: u64,
    /// Runs that continued after their process had died.
    pub(crate) continued: u64,
    pub(crate) resumes: u64,
    pub(crate) kills: u64,
    pub(crate) freezes: u64,
    pub(crate) outages: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Played) {
        let Played { totals, .. } = other;
        self.runs += totals.runs;
        self.events += totals.events;
        self.tool_calls += totals.tool_calls;
        self.continued += totals.continued;
        self.resumes += totals.resumes;
        self.kills += totals.kills;
        self.freezes += totals.freezes;
        self.outages += totals.outages;
    }
}

/// The result of a scenario that kept all promises.
pub(crate) struct Played {
    pub(crate) totals: Totals,
    pub(crate) trace: Vec<String>,
}

/// What the actors of a scenario share.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) processes: Mutex<Vec<Arc<Process>>>,
    pub(crate) record: Record,
    pub(crate) executions: Arc<Executions>,
    pub(crate) totals: Mutex<Totals>,
    pub(crate) user_id: UserId,
    /// They end with their runs.
    pub(crate) followers: Mutex<Vec<JoinHandle<()>>>,
    next_name: Mutex<u32>,
}

impl World {
    /// Returns a process that is not dead, at random.
    pub(crate) fn any_process(&self, rng: &mut Rng) -> Arc<Process> {
        let processes = self.processes.lock().unwrap();
        let alive: Vec<_> = processes.iter().filter(|process| process.health() != Health::Dead).collect();
        alive[rng.usize(0..alive.len())].clone()
    }

    /// Starts one more process.
    pub(crate) async fn start_process(&self, rng: Rng) {
        let name = {
            let mut next = self.next_name.lock().unwrap();
            *next += 1;
            *next
        };
        let process = Process::start(&self.cluster, name, rng).await;
        self.processes.lock().unwrap().push(process);
    }
}

/// Faults of an observer: none.
struct NoFaults;

impl Faults for NoFaults {
    fn before(&self, _: &'static str) -> BoxFuture<'_, StoreResult<()>> {
        futures::future::ready(Ok(())).boxed()
    }

    fn after(&self, _: &'static str) -> BoxFuture<'_, StoreResult<()>> {
        futures::future::ready(Ok(())).boxed()
    }
}

/// Plays the scenario of a seed. Panics when a promise is broken.
pub(crate) fn play(seed: u64, template: &Template) -> Played {
    let path = PathBuf::from(format!("{}-{seed}-{}.db", template.0.display(), uuid::Uuid::new_v4()));
    std::fs::copy(&template.0, &path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(scenario(seed, &path))));
    drop(runtime);
    remove(&path);
    played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn scenario(seed: u64, path: &std::path::Path) -> Played {
    let mut rng = Rng::with_seed(seed);
    let (network, messages) = mpsc::unbounded_channel();
    let trace: Trace = Arc::default();
    let executions: Arc<Executions> = Arc::default();
    let rates = FaultRates {
        refused: rng.choice([0, 0, 5, 30]).unwrap(),
        reply_lost: rng.choice([0, 0, 5, 20]).unwrap(),
        delay_ms: rng.choice([0, 3, 20, 150]).unwrap(),
    };
    // The first sleep ends at a tick of the timer, so from here on all times are whole milliseconds.
    sleep(Duration::from_millis(5)).await;
    let started = Instant::now();
    let cluster = Cluster {
        database: database(path, false),
        started,
        network,
        is_database_away: Arc::new(watch::Sender::new(false)),
        rates,
        trace: trace.clone(),
        executions: executions.clone(),
    };
    let observer =
        Store::open_simulated(&cluster.database, Arc::new(NoFaults), started, 1_767_225_600_000_000).await.unwrap();
    let user_id = UserId::from_uuid(uuid::Uuid::from_u128(u128::from(seed) + 1));
    let now = observer.now().await.unwrap();
    observer.user_create(user_id, "ada@example.com".to_owned(), "hash".to_owned(), now).await.unwrap();
    let world = Arc::new(World {
        cluster,
        processes: Mutex::default(),
        record: Record::default(),
        executions,
        totals: Mutex::default(),
        user_id,
        followers: Mutex::default(),
        next_name: Mutex::new(0),
    });
    for _ in 0..rng.usize(1..=3) {
        world.start_process(rng.fork()).await;
    }
    tokio::spawn(carry_signals(world.clone(), messages, rng.fork()));

    let length = Duration::from_millis(rng.u64(8_000..45_000));
    let end = Instant::now() + length;
    let mut actors = Vec::new();
    for number in 0..rng.u128(1..=3) {
        let thread_id = ThreadId::from_uuid(uuid::Uuid::from_u128(seed as u128 * 1_000 + number + 1));
        create_thread(&observer, user_id, thread_id).await;
        let client = Client { world: world.clone(), thread_id, rng: rng.fork(), sent: 0 };
        actors.push(tokio::spawn(client.run(end)));
    }
    let chaos = tokio::spawn(disturb(world.clone(), rng.fork(), end));
    for actor in actors {
        actor.await.unwrap();
    }
    chaos.await.unwrap();

    // Everything heals. From here on nothing may stay broken.
    world.cluster.is_database_away.send_replace(false);
    for process in world.processes.lock().unwrap().iter() {
        if process.health() != Health::Dead {
            process.heal();
        }
    }
    timeout(SETTLE, invariants::no_run_is_active(&world, &observer)).await.unwrap_or_else(|_| {
        panic!("some threads are still busy {SETTLE:?} after the last fault");
    });
    invariants::every_thread_answers(&world, rng.fork()).await;
    let followers = std::mem::take(&mut *world.followers.lock().unwrap());
    for follower in followers {
        let end = timeout(SETTLE, follower).await.expect("a follower hears the end of its run");
        end.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    }
    invariants::check(&world, &observer).await;
    for process in world.processes.lock().unwrap().iter() {
        assert_eq!(process.supervisor.failure(), None, "process {}", process.name);
        process.supervisor.shut_down();
    }
    let mut totals = world.totals.lock().unwrap().clone();
    totals.tool_calls = world.executions.calls.lock().unwrap().len() as u64;
    totals.continued = world.executions.continued();
    let trace = std::mem::take(&mut *trace.lock().unwrap());
    Played { totals, trace }
}

async fn create_thread(store: &Store, user_id: UserId, id: ThreadId) {
    let new = NewThread {
        id,
        user_id,
        max_sessions: None,
        title: "New Chat".to_owned(),
        metadata: "{}".to_owned(),
        temporary: false,
        created_at: store.now().await.unwrap(),
        first_message: None,
        idempotency_key: None,
    };
    store.thread_create(new).await.unwrap();
}

/// Carries signals between processes, and loses, delays and doubles them.
async fn carry_signals(world: Arc<World>, mut messages: mpsc::UnboundedReceiver<(u32, String)>, mut rng: Rng) {
    let (lost, doubled) = (rng.choice([0, 10, 50, 100]).unwrap(), rng.choice([0, 20]).unwrap());
    while let Some((from, message)) = messages.recv().await {
        let processes = world.processes.lock().unwrap().clone();
        for process in processes.into_iter().filter(|process| process.name != from) {
            let copies = if rng.u32(0..100) < lost { 0 } else { 1 + u32::from(rng.u32(0..100) < doubled) };
            for _ in 0..copies {
                let (process, message, delay) = (process.clone(), message.clone(), rng.u64(0..400));
                tokio::spawn(async move {
                    sleep(Duration::from_millis(delay)).await;
                    if process.is_alive().await {
                        process.inbox.deliver(&message);
                    }
                });
            }
        }
    }
}
