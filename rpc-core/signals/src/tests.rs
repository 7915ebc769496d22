//! Signals between two processes, over real servers.

use super::*;
use crate::RedisConfig;
use futures::StreamExt;
use std::net::SocketAddr;
use std::sync::Mutex;
use threadline_schema::ids::{RunId, ThreadId};
use threadline_test_requirements::Requirement;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// The database of one test.
struct Database {
    admin: String,
    name: String,
}

impl Database {
    async fn new() -> Option<Self> {
        let admin = Requirement::PostgreSql.find()?;
        let this = Self { admin, name: format!("threadline_test_{}", Uuid::new_v4().simple()) };
        this.administrate(&format!("CREATE DATABASE {}", this.name)).await;
        Some(this)
    }

    fn config(&self) -> DatabaseConfig {
        let server = self.admin.rsplit_once('/').unwrap().0;
        Self::config_of(format!("{server}/{}", self.name))
    }

    fn config_of(url: String) -> DatabaseConfig {
        DatabaseConfig {
            pool_size: 1,
            pool_timeout: PATIENCE,
            auto_migrate: false,
            sqlite_full_sync: false,
            ..DatabaseConfig::at(url)
        }
    }

    async fn administrate(&self, sql: &str) {
        let listener = Listener::of(&Self::config_of(self.admin.clone())).unwrap().unwrap();
        let (client, messages) = listener.connect().await.unwrap().unwrap();
        tokio::select! {
            done = client.batch_execute(sql) => done.unwrap(),
            () = messages.for_each(async |_| {}) => panic!("the connection ended"),
        }
    }

    /// Removes the database at the end of a passed test. A failed test leaves it for inspection.
    async fn drop(self) {
        self.administrate(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

/// A relay between a process and Redis, which can disconnect them.
struct Relay {
    address: SocketAddr,
    redis: String,
    connections: Arc<Mutex<Option<JoinSet<()>>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Relay {
    async fn new() -> Option<Self> {
        let redis = Requirement::Redis.find()?;
        let target = redis.rsplit_once(['/', '@']).unwrap().1.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Some(JoinSet::new())));
        let accepted = connections.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                if let Some(connections) = &mut *accepted.lock().unwrap() {
                    let target = target.clone();
                    connections.spawn(async move {
                        let mut far = TcpStream::connect(target).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    });
                }
            }
        });
        Some(Self { address, redis, connections, _accepting: AbortOnDropHandle::new(accepting) })
    }

    fn open(&self, namespace: &str) -> Redis {
        Redis::open(&RedisConfig { url: format!("redis://{}", self.address).into() }, namespace.into()).unwrap()
    }

    /// Closes all connections, and accepts no new ones.
    fn cut(&self) {
        *self.connections.lock().unwrap() = None;
    }

    fn mend(&self) {
        *self.connections.lock().unwrap() = Some(JoinSet::new());
    }
}

fn row(run_id: RunId, seq: i64, event: &str) -> EventRow {
    EventRow { run_id, first_seq: seq, last_seq: seq, event: event.to_owned(), cuts: None }
}

/// Sends a signal repeatedly until it is received.
async fn until_received<T>(mut send: impl FnMut(), mut receive: impl AsyncFnMut() -> T) -> T {
    timeout(PATIENCE, async {
        loop {
            send();
            if let Ok(received) = timeout(Duration::from_millis(100), receive()).await {
                return received;
            }
        }
    })
    .await
    .expect("the signal is received")
}

/// Waits for growth up to `seq`, and returns all growth until then.
async fn up_to(follower: &mut Follower, seq: u64) -> Grown {
    let mut all = Grown::default();
    timeout(PATIENCE, async {
        while all.last_seq < seq {
            all.merge(follower.next().await);
        }
    })
    .await
    .expect("growth is received");
    all
}

async fn receive_from_each_other_only(one: &Signals, other: &Signals) {
    let (thread_id, run_id) = (ThreadId::random(), RunId::random());
    let (mut at_one, mut at_other) = (one.commands(), other.commands());
    let began = until_received(|| one.began(thread_id, run_id), async || at_other.recv().await.unwrap()).await;
    assert_eq!(began, Command::Began { thread_id, run_id });
    let cancelled = until_received(|| other.cancel(run_id), async || at_one.recv().await.unwrap()).await;
    assert_eq!(cancelled, Command::Cancel { run_id });
    tokio::time::sleep(Duration::from_millis(300)).await;
    while let Ok(command) = at_one.try_recv() {
        assert_eq!(command, Command::Cancel { run_id }, "a process receives its own signals");
    }
    while let Ok(command) = at_other.try_recv() {
        assert_eq!(command, Command::Began { thread_id, run_id }, "a process receives its own signals");
    }

    let sent_at = Instant::now();
    one.cancel(run_id);
    timeout(PATIENCE, at_other.recv()).await.unwrap().unwrap();
    assert!(sent_at.elapsed() < Duration::from_secs(2), "{:?}", sent_at.elapsed());
}

async fn followers_receive_growth(one: &Signals, other: &Signals, with_rows: bool) {
    let (run_id, unknown) = (RunId::random(), RunId::random());
    let mut follower = other.follow(run_id);
    let first = timeout(PATIENCE, follower.next()).await.unwrap();
    assert_eq!(first, Grown::default(), "a new follower is woken to read the log");
    // Growth is sent only after the announcement of the follower has arrived.
    until_received(|| one.grown(run_id, 1, false, &[]), async || up_to(&mut follower, 1).await).await;
    one.grown(unknown, 2, true, &[]);
    let rows = [row(run_id, 2, r#"{"a":1}"#), row(run_id, 3, r#"{"a":"\n"}"#)];
    one.grown(run_id, 3, false, &rows);
    let grown = up_to(&mut follower, 3).await;
    assert_eq!((grown.ended, grown.rows.as_slice()), (false, if with_rows { &rows[..] } else { &[] }));

    one.grown(run_id, 4, false, &[row(run_id, 4, &"x".repeat(300 * 1024))]);
    let grown = up_to(&mut follower, 4).await;
    assert_eq!(grown.rows, [], "rows that are too large must be read from the log");
    let sent_at = Instant::now();
    one.grown(run_id, 5, true, &[]);
    assert!(up_to(&mut follower, 5).await.ended);
    assert!(sent_at.elapsed() < Duration::from_secs(2), "{:?}", sent_at.elapsed());

    // A process that follows its own run does not receive its own growth, but other processes do.
    let mut own = one.follow(run_id);
    timeout(PATIENCE, own.next()).await.unwrap();
    one.grown(run_id, 6, true, &[]);
    up_to(&mut follower, 6).await;
    assert!(timeout(Duration::from_millis(300), own.next()).await.is_err(), "a process receives its own signals");
    drop((own, follower));
    assert_eq!((one.shared.followers.runs(), other.shared.followers.runs()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_postgres() {
    let Some(database) = Database::new().await else { return };
    let [one, other] = [(); 2].map(|()| Signals::open(&database.config(), None, &Supervisor::default()).unwrap());
    assert!(one.has_carrier());
    receive_from_each_other_only(&one, &other).await;
    followers_receive_growth(&one, &other, false).await;

    // The server ends both connections.
    let run_id = RunId::random();
    let mut follower = other.follow(run_id);
    timeout(PATIENCE, follower.next()).await.unwrap();
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ";
    database.administrate(&format!("{kill}'{}'", database.name)).await;
    assert_eq!(timeout(PATIENCE, follower.next()).await.unwrap(), Grown::default(), "signals may have been lost");
    receive_from_each_other_only(&one, &other).await;
    until_received(|| one.grown(run_id, 9, true, &[]), async || up_to(&mut follower, 9).await).await;
    drop((one, other));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_redis() {
    let (Some(database), Some(relay)) = (Database::new().await, Relay::new().await) else { return };
    let redis = relay.open(&database.name);
    let [one, other] =
        [(); 2].map(|()| Signals::open(&database.config(), Some(&redis), &Supervisor::default()).unwrap());
    let stranger = Signals::open(&database.config(), Some(&relay.open("strangers")), &Supervisor::default()).unwrap();
    let mut strange = stranger.commands();
    receive_from_each_other_only(&one, &other).await;
    followers_receive_growth(&one, &other, true).await;
    assert!(strange.try_recv().is_err(), "installations on one server do not receive signals of each other");

    // Redis cannot be reached for a while.
    let run_id = RunId::random();
    let mut follower = other.follow(run_id);
    timeout(PATIENCE, follower.next()).await.unwrap();
    relay.cut();
    tokio::time::sleep(Duration::from_millis(300)).await;
    one.cancel(run_id);
    one.grown(run_id, 1, false, &[]);
    let meanwhile = other.follow(RunId::random());
    relay.mend();
    assert_eq!(timeout(PATIENCE, follower.next()).await.unwrap(), Grown::default(), "signals may have been lost");
    receive_from_each_other_only(&one, &other).await;
    until_received(
        || one.grown(run_id, 9, true, &[row(run_id, 9, "{}")]),
        async || {
            assert!(!up_to(&mut follower, 9).await.rows.is_empty());
        },
    )
    .await;

    // Channels of runs without followers are not subscribed.
    let channel = redis.name(format_args!("run:{}", run_id.as_uuid().simple()));
    let subscribers = async || {
        let client = ::redis::Client::open(relay.redis.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let counted = ::redis::cmd("PUBSUB").arg("NUMSUB").arg(&channel).query_async(&mut connection).await;
        let [(_, count)]: [(String, u64); 1] = counted.map(|counted: Vec<_>| counted.try_into().unwrap()).unwrap();
        count
    };
    assert_eq!(subscribers().await, 1);
    drop((follower, meanwhile));
    timeout(PATIENCE, async {
        while subscribers().await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the channel has no subscriber");
    drop((one, other));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_are_few_notifications() {
    const RUNS: usize = 1_000;
    let Some(database) = Database::new().await else { return };
    let [one, other] = [(); 2].map(|()| Signals::open(&database.config(), None, &Supervisor::default()).unwrap());
    let run_ids: Vec<_> = (0..RUNS).map(|_| RunId::random()).collect();
    let mut followers: Vec<_> = run_ids.iter().map(|run_id| other.follow(*run_id)).collect();
    for follower in &mut followers {
        timeout(PATIENCE, follower.next()).await.unwrap();
    }
    until_received(|| one.grown(run_ids[0], 1, false, &[]), async || up_to(&mut followers[0], 1).await).await;

    let (client, messages) = Listener::of(&database.config()).unwrap().unwrap().connect().await.unwrap().unwrap();
    let received = Arc::new(Mutex::new(Vec::new()));
    let recorded = received.clone();
    let listening = AbortOnDropHandle::new(tokio::spawn(messages.for_each(move |message| {
        if let Ok(tokio_postgres::AsyncMessage::Notification(notification)) = message {
            recorded.lock().unwrap().push((Instant::now(), notification.payload().len()));
        }
        std::future::ready(())
    })));
    client.batch_execute("LISTEN threadline").await.unwrap();
    let started = Instant::now();
    for tick in 1..=75 {
        for run_id in &run_ids {
            one.grown(*run_id, tick, false, &[]);
        }
        tokio::time::sleep_until(started + Duration::from_millis(40 * tick)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    for follower in &mut followers {
        up_to(follower, 75).await;
    }
    drop(listening);
    let mut received = std::mem::take(&mut *received.lock().unwrap());
    assert!(received.iter().all(|(_, bytes)| *bytes < 8_000));
    let notifications = received.len();
    // Those of one transaction arrive together.
    received.dedup_by(|(later, _), (earlier, _)| *later - *earlier < Duration::from_millis(50));
    let transactions = received.len();
    eprintln!("{notifications} notifications in {transactions} transactions, in {seconds:.1} s");
    assert!(transactions as f64 <= 5.0 * seconds + 2.0, "{transactions} in {seconds} s");
    assert!(notifications as f64 <= 30.0 * seconds, "{notifications} in {seconds} s");
    drop((one, other, client));
    database.drop().await;
}

#[tokio::test]
async fn sqlite_has_no_carrier() {
    let signals =
        Signals::open(&Database::config_of("sqlite://unused.db".to_owned()), None, &Supervisor::default()).unwrap();
    assert!(!signals.has_carrier());
    signals.began(ThreadId::random(), RunId::random());
    assert_eq!(signals.follow(RunId::random()).next().await, Grown::default());
}
