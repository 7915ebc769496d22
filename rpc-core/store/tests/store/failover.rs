//! A failover: read-only sessions, killed sessions, unreachable hosts.

use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use threadline_store::config::DatabaseConfig;
use threadline_store::{Store, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Ends all other sessions on the database.
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                            WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// What a client has seen that writes as fast as it can until it is stopped: its last failure, and its successful
/// writes since then.
async fn write_on(store: Store, stop: Arc<AtomicBool>) -> (Option<Instant>, u32) {
    let (mut failed, mut written) = (None, 0);
    while !stop.load(Ordering::Relaxed) {
        match store
            .user_create(new_id(), format!("{}@example.com", uuid::Uuid::now_v7().simple()), "x".into(), now())
            .await
        {
            Ok(_) => written += 1,
            Err(StoreError::Unavailable(_)) => {
                (failed, written) = (Some(Instant::now()), 0);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    (failed, written)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_only_read_are_replaced_soon_after_the_database_takes_writes_again() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let store = db.store().await;
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..12).map(|_| tokio::spawn(write_on(store.clone(), stop.clone()))).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let name = db.url().rsplit_once('/').unwrap().1;
        db.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
        db.sql(END_SESSIONS).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let user = store.user_create(new_id(), "reads@example.com".into(), "x".into(), now()).await;
        assert!(matches!(user, Err(StoreError::Unavailable(_))), "{user:?}");
        store.ping().await.expect("it can be read");
        // The first statement permits the second in this session.
        let reset = format!(
            "SET default_transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only"
        );
        let admin = raw_postgres(db.url()).await;
        for statement in reset.split(';') {
            admin.batch_execute(statement).await.unwrap();
        }
        let writable = Instant::now();
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let (failed, written) = client.await.unwrap();
            let late = failed.unwrap().saturating_duration_since(writable);
            assert!(late < Duration::from_millis(1_500), "a write failed {late:?} after");
            assert!(written > 10, "{written}");
        }
    })
    .await;
}

#[tokio::test]
async fn few_connections_are_made_while_the_database_only_reads() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let store = db.store().await;
        let name = db.url().rsplit_once('/').unwrap().1;
        db.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
        db.sql(END_SESSIONS).await;
        let sessions = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()";
        let before = db.number(sessions).await;
        let began = Instant::now();
        let mut failed = 0;
        while began.elapsed() < Duration::from_secs(2) {
            let email = format!("{}@example.com", uuid::Uuid::now_v7().simple());
            failed += i32::from(store.user_create(new_id(), email, "x".into(), now()).await.is_err());
        }
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let made = db.number(sessions).await - before;
        assert!(failed > 50 && made < 20, "{failed} writes failed, {made} connections were made");
    })
    .await;
}

#[tokio::test]
async fn of_several_hosts_the_one_that_takes_writes_is_used() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        db.store().await;
        let (login, place) = db.url().split_once("://").unwrap().1.split_once('@').unwrap();
        let (host, database) = place.split_once('/').unwrap();
        // The first address refuses connections, the second drops all packets (TEST-NET-1, RFC 5737), the third is the
        // server.
        let url = format!("postgres://{login}@127.0.0.1:1,192.0.2.1:5432,{host}/{database}?sslmode=disable");
        let config = DatabaseConfig { url: url.into(), auto_migrate: false, ..db.config.clone() };
        let began = Instant::now();
        let store = Store::open(&config).await.unwrap();
        user(&store).await;
        assert!(began.elapsed() < config.pool_timeout * 2, "{:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn a_host_that_accepts_connections_and_stays_silent_does_not_block_the_others() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        db.store().await;
        let (login, place) = db.url().split_once("://").unwrap().1.split_once('@').unwrap();
        let (host, database) = place.split_once('/').unwrap();
        // The kernel accepts its connections, and nobody reads from them.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = (silent.local_addr().unwrap(), silent);
        let url = format!("postgres://{login}@{},{host}/{database}?sslmode=disable", silent.0);
        let config = DatabaseConfig { url: url.into(), auto_migrate: false, ..db.config.clone() };
        let store = Store::open(&config).await.unwrap();
        user(&store).await;
        let presence = store.presence(new_id()).unwrap();
        assert!(presence.acquire().await.unwrap().is_ok());
    })
    .await;
}

/// A relay to the server. It can stop to forward the data of open connections without closing them.
struct BlackHole {
    address: std::net::SocketAddr,
    /// Connections up to this number forward nothing.
    dead: watch::Sender<usize>,
    made: Arc<AtomicUsize>,
    _task: AbortOnDrop,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl BlackHole {
    async fn open(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dead, gate) = watch::channel(0);
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let (server, gate) = (server.clone(), gate.clone());
                connections.spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let gates = (gate.clone(), gate);
                    tokio::join!(
                        pass(from_client, to_server, gates.0, number),
                        pass(from_server, to_client, gates.1, number)
                    );
                });
            }
        });
        Self { address, dead, made, _task: AbortOnDrop(task) }
    }

    fn kill_all(&self) {
        self.dead.send(self.made.load(Ordering::SeqCst)).unwrap();
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    dead: watch::Receiver<usize>,
    number: usize,
) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if number <= *dead.borrow() {
            // Both ends stay open, and nothing is forwarded.
            return std::future::pending().await;
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_died_without_a_word_are_found_together() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        db.store().await;
        let (login, place) = db.url().split_once("://").unwrap().1.split_once('@').unwrap();
        let (server, database) = place.split_once('/').unwrap();
        let way = BlackHole::open(server.to_owned()).await;
        let url = format!("postgres://{login}@{}/{database}?sslmode=disable", way.address);
        let wait = Duration::from_secs(2);
        let config = DatabaseConfig { url: url.into(), auto_migrate: false, pool_timeout: wait, ..db.config.clone() };
        let store = Store::open(&config).await.unwrap();
        let all_at_once = || futures::future::join_all((0..8).map(|_| store.ping()));
        assert!(all_at_once().await.iter().all(Result::is_ok));

        // The connections were idle for a while. The pool checks them before use, so no call fails.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        way.kill_all();
        let began = Instant::now();
        for _ in 0..8 {
            store.ping().await.unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

        // The connections were in use a moment ago. The first call fails, and the pool replaces all connections.
        assert!(all_at_once().await.iter().all(Result::is_ok));
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(all_at_once().await.iter().all(Result::is_ok));
        way.kill_all();
        let began = Instant::now();
        let failed = store.ping().await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
        for _ in 0..8 {
            store.ping().await.unwrap();
        }
        assert!(began.elapsed() < wait + Duration::from_secs(2), "{:?}", began.elapsed());
    })
    .await;
}
