//! A failover: sessions that can only read, sessions that are killed, hosts that are gone.

use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use threadline_store::config::DatabaseConfig;
use threadline_store::{Store, StoreError};

/// Ends all other sessions on the database.
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                            WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// The last failure of a client that writes as fast as it can until it is told to stop, and how often it wrote after that.
async fn write_on(store: Store, stop: Arc<AtomicBool>) -> (Option<Instant>, u32) {
    let (mut failed, mut written) = (None, 0);
    while !stop.load(Ordering::Relaxed) {
        match store.user_create(format!("{}@example.com", uuid::Uuid::now_v7().simple()), "x".into()).await {
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
        let user = store.user_create("reads@example.com".into(), "x".into()).await;
        assert!(matches!(user, Err(StoreError::Unavailable(_))), "{user:?}");
        store.ping().await.expect("it can be read");
        // The first statement lets this session make the second.
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
            failed += i32::from(store.user_create(email, "x".into()).await.is_err());
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
        // The first refuses, the second swallows all packets (TEST-NET-1, RFC 5737), the third is the server.
        let url = format!("postgres://{login}@127.0.0.1:1,192.0.2.1:5432,{host}/{database}?sslmode=disable");
        let config = DatabaseConfig { url: url.into(), auto_migrate: false, ..db.config.clone() };
        let began = Instant::now();
        let store = Store::open(&config).await.unwrap();
        user(&store).await;
        assert!(began.elapsed() < config.pool_timeout * 2, "{:?}", began.elapsed());
    })
    .await;
}
