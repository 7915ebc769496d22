//! PostgreSQL that is terminated, unreachable, frozen or blocked; and PostgreSQL behind TLS.

use crate::faults::{eventually, lock};
use crate::support::*;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use threadline_schema::error::Chain;
use threadline_store::config::DatabaseConfig;
use threadline_store::{Store, StoreError};
use threadline_test_requirements::Requirement;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A relay between the store and the server: it forwards everything or nothing, or is closed.
struct Wire {
    address: SocketAddr,
    frozen: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Wire {
    async fn open(address: SocketAddr, server: String) -> Self {
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let address = listener.local_addr().unwrap();
        let (frozen, gate) = watch::channel(false);
        let task = tokio::spawn(async move {
            // It is dropped with the task, and closes all its connections.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, gate) = (server.clone(), gate.clone());
                connections.spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    let (client_read, client_write) = client.into_split();
                    let (server_read, server_write) = server.into_split();
                    tokio::join!(pass(client_read, server_write, gate.clone()), pass(server_read, client_write, gate));
                });
            }
        });
        Self { address, frozen, task }
    }

    async fn cut(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut frozen: watch::Receiver<bool>,
) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if frozen.wait_for(|frozen| !frozen).await.is_err() || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// Returns the configuration of the database of `db` through the relay `wire`.
fn through(db: &TestDb, wire: &Wire, wait: Duration) -> DatabaseConfig {
    let (_, database) = db.url().rsplit_once('/').unwrap();
    let user = db.url().split_once("://").and_then(|(_, rest)| rest.split_once('@')).unwrap().0;
    let url = format!("postgres://{user}@{}/{database}?sslmode=disable", wire.address);
    DatabaseConfig { url: url.into(), pool_timeout: wait, ..db.config.clone() }
}

fn server_of(db: &TestDb) -> String {
    let config: tokio_postgres::Config = db.url().parse().unwrap();
    let host = match &config.get_hosts()[0] {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        other => panic!("TEST_DATABASE_URL must name a TCP host, not {other:?}"),
    };
    format!("{host}:{}", config.get_ports().first().unwrap_or(&5432))
}

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[tokio::test]
async fn connections_that_were_terminated_are_replaced() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let store = db.store().await;
        let all = (0..8).map(|_| store.ping());
        for result in futures::future::join_all(all).await {
            result.unwrap();
        }
        assert!(store.pool_status().size > 1);
        db.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        for result in futures::future::join_all((0..8).map(|_| store.ping())).await {
            result.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_dies_under_a_query_is_unavailable() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let store = db.store().await;
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let held = lock(db, thread.id).await;
        let waiting = tokio::spawn({
            let (store, thread) = (store.clone(), thread.clone());
            async move { say(&store, &thread).await }
        });
        eventually(async || {
            db.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").await > 0
        })
        .await;
        db.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").await;
        let result = waiting.await.unwrap();
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
        held.release().await;
        say(&store, &thread).await.expect("nothing of the first try is left");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_at_once_and_used_again_when_it_is_back() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let wire = Wire::open(ANY_PORT, server_of(db)).await;
        let store = Store::open(&through(db, &wire, Duration::from_secs(2))).await.unwrap();
        let user = user(&store).await.id;
        let address = wire.cut().await;
        for _ in 0..3 {
            let began = Instant::now();
            let result = store.ping().await;
            assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
            assert!(began.elapsed() < Duration::from_secs(2));
        }
        let _wire = Wire::open(address, server_of(db)).await;
        store.ping().await.unwrap();
        assert!(store.user_by_id(user).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_silent_is_told_within_the_time() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let wire = Wire::open(ANY_PORT, server_of(db)).await;
        let wait = Duration::from_millis(400);
        let store = Store::open(&through(db, &wire, wait)).await.unwrap();
        store.ping().await.unwrap();
        wire.frozen.send(true).unwrap();
        // The first call has a connection and gets no answer. The others do not even get a connection.
        for _ in 0..3 {
            let began = Instant::now();
            let result = store.ping().await;
            assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
            assert!(began.elapsed() >= wait && began.elapsed() < wait * 3, "{:?}", began.elapsed());
        }
        wire.frozen.send(false).unwrap();
        eventually(async || store.ping().await.is_ok()).await;
    })
    .await;
}

#[tokio::test]
async fn all_connections_in_use_is_told_within_the_time() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let config = DatabaseConfig { pool_size: 1, pool_timeout: Duration::from_millis(300), ..db.config.clone() };
        let store = Store::open(&config).await.unwrap();
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let held = lock(db, thread.id).await;
        let waiting = tokio::spawn({
            let (store, thread) = (store.clone(), thread.clone());
            async move { say(&store, &thread).await }
        });
        eventually(async || store.pool_status().in_use == 1).await;
        let error = store.ping().await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)) && Chain(&error).to_string().contains("1 of 1"), "{error}");
        held.release().await;
        waiting.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_server_that_was_never_there_stops_the_start() {
    let url = "postgres://postgres:secret@127.0.0.1:1/none".to_owned();
    let config = DatabaseConfig { pool_size: 2, pool_timeout: Duration::from_secs(1), ..DatabaseConfig::at(url) };
    let error = Store::open(&config).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let text = Chain(&error).to_string();
    assert!(text.contains("refused") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn encryption_is_used_and_certificates_are_checked_as_asked() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let client = raw_postgres(db.url()).await;
        let ssl: String = client.query_one("SHOW ssl", &[]).await.unwrap().get(0);
        if ssl != "on" {
            return Requirement::PostgreSqlWithTls.skip();
        }
        let with = |mode: &str| {
            let url = format!(
                "{}?application_name=tls_{}&sslmode={mode}",
                db.url(),
                mode.split('&').next().unwrap().replace('-', "_")
            );
            DatabaseConfig { url: url.into(), ..db.config.clone() }
        };
        for (mode, encrypted) in [("require", true), ("prefer", true), ("disable", false)] {
            let store = Store::open(&with(mode)).await.unwrap();
            store.ping().await.unwrap();
            let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                       WHERE application_name = $1";
            let used: bool = client.query_one(sql, &[&format!("tls_{mode}")]).await.unwrap().get(0);
            assert_eq!(used, encrypted, "{mode}");
        }

        let trusted = std::env::temp_dir().join(format!("threadline-test-{}.pem", uuid::Uuid::now_v7().simple()));
        let sql = "SELECT pg_read_file(current_setting('ssl_cert_file'))";
        let certificate: String = client.query_one(sql, &[]).await.unwrap().get(0);
        std::fs::write(&trusted, certificate).unwrap();
        let other = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store/other_ca.pem");
        let checked = async |mode: &str, roots: &str| {
            let config = with(&format!("{mode}&sslrootcert={roots}"));
            Store::open(&config).await.map(drop).map_err(|error| Chain(&error).to_string())
        };
        let trusted_path = trusted.display().to_string();
        let by_ca = [checked("verify-ca", &trusted_path).await, checked("require", &trusted_path).await];
        let by_other = [checked("verify-ca", other).await, checked("require", other).await];
        // The certificate is for a host name, not for an address.
        let by_name = checked("verify-full", &trusted_path).await;
        std::fs::remove_file(&trusted).unwrap();
        assert_eq!(by_ca, [Ok(()), Ok(())]);
        for refused in by_other.into_iter().chain([by_name]) {
            assert!(refused.as_ref().is_err_and(|text| text.contains("certificate")), "{refused:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_statement_that_is_stuck_is_given_up_by_the_server() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let store = db.store().await;
        let user = user(&store).await.id;
        let thread = thread(&store, user).await;
        let held = lock(db, thread.id).await;
        let error = say(&store, &thread).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(Chain(&error).to_string().contains("statement timeout"), "{error}");
        held.release().await;
        say(&store, &thread).await.unwrap();
    })
    .await;
}

/// Waits until this many statements on the database wait for a lock.
pub(crate) async fn until_blocked(db: &TestDb, statements: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let blocked = async {
        while db.number(sql).await < statements {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), blocked).await.unwrap();
}

#[tokio::test]
async fn a_result_and_the_deletion_of_its_thread_do_not_deadlock() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        let call = item(ItemKind::ToolCall);
        let (token, call_id) = (run.fencing_token(), call.id);
        store.items_append(token, vec![call], None).await.unwrap();

        // Both wait for the row of the run: first the result, then the deletion.
        let blocker = raw_postgres(db.url()).await;
        let lock = format!("BEGIN; SELECT 1 FROM runs WHERE id = '{}' FOR UPDATE", run.id);
        blocker.batch_execute(&lock).await.unwrap();
        let other = store.clone();
        let completed = tokio::spawn(async move { other.item_complete(token, call_id, "{}".to_owned()).await });
        until_blocked(db, 1).await;
        let other = store.clone();
        let deleted = tokio::spawn(async move { other.thread_delete(user, thread.id).await });
        until_blocked(db, 2).await;
        blocker.batch_execute("COMMIT").await.unwrap();

        completed.await.unwrap().unwrap();
        deleted.await.unwrap().unwrap();
        assert_eq!(db.number("SELECT count(*) FROM items").await, 0);
    })
    .await;
}
