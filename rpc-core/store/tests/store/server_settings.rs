//! PostgreSQL whose operator has chosen other settings than the usual ones.

use crate::support::*;
use threadline_schema::ids::ProcessId;
use threadline_store::config::DatabaseConfig;
use threadline_store::{Store, StoreError};
use threadline_test_requirements::PgBouncer;

/// Lets clients write to the same rows at the same time, in transactions and without one. Returns their first error.
async fn write_to_the_same_rows(store: &Store) -> Result<(), StoreError> {
    let user = user(store).await.id;
    let process: ProcessId = new_id();
    let clients = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                store.thread_create(new_thread(user)).await?;
                store.process_seen(process, true, now()).await?;
            }
            Ok::<(), StoreError>(())
        })
    });
    for done in futures::future::join_all(clients).await {
        done.unwrap()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_default_isolation_level_fails_no_write() {
    for level in ["repeatable read", "serializable"] {
        run(TestDb::postgres().await, async |db: &TestDb| {
            let name = db.url().rsplit_once('/').unwrap().1;
            db.sql(&format!("ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")).await;
            let store = db.store().await;
            write_to_the_same_rows(&store).await.unwrap_or_else(|error| panic!("{level}: {error:?}"));
            let Some(pooler) = PgBouncer::start(db.url(), 4) else { return };
            let config = DatabaseConfig { url: pooler.url(db.url()).into(), ..db.config.clone() };
            let store = Store::open(&config).await.unwrap();
            write_to_the_same_rows(&store).await.unwrap_or_else(|error| panic!("{level}, behind a pooler: {error:?}"));
        })
        .await;
    }
}

/// Lets more clients write at the same time than there are connections. Returns how many calls failed.
async fn failures_of_many_clients(config: &DatabaseConfig) -> usize {
    let store = Store::open(config).await.unwrap();
    let clients = (0..12).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut failed = 0;
            for _ in 0..10 {
                let email = format!("{}@example.com", uuid::Uuid::now_v7().simple());
                failed += usize::from(store.user_create(new_id(), email, "x".into(), now()).await.is_err());
            }
            failed
        })
    });
    futures::future::join_all(clients).await.into_iter().map(Result::unwrap).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_where_the_server_grants_fewer_connections_than_the_pool_has_room_for() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        db.store().await;
        let role = format!("threadline_test_{}", uuid::Uuid::now_v7().simple());
        // The limit does not hold for superusers.
        db.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'word' CONNECTION LIMIT 2")).await;
        db.sql(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")).await;
        let (_, place) = db.url().split_once('@').unwrap();
        let url = format!("postgres://{role}:word@{place}");
        let config = DatabaseConfig { url: url.into(), auto_migrate: false, ..db.config.clone() };
        let failed = failures_of_many_clients(&config).await;
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
        db.sql(&format!("{end}; DROP OWNED BY {role}; DROP ROLE {role}")).await;
        assert_eq!(failed, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_where_a_pooler_in_session_mode_has_fewer_sessions_than_the_pool_has_room_for() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let Some(pooler) = PgBouncer::start_in_mode("session", db.url(), 2) else { return };
        let config = DatabaseConfig { url: pooler.url(db.url()).into(), ..db.config.clone() };
        assert_eq!(failures_of_many_clients(&config).await, 0);
    })
    .await;
}

/// Returns why a database is refused.
async fn refusal(config: &DatabaseConfig) -> String {
    let error = Store::open(config).await.unwrap_err();
    assert!(matches!(error, StoreError::Config(_)), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_pooler_in_statement_mode_is_refused() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let Some(pooler) = PgBouncer::start_in_mode("statement", db.url(), 4) else { return };
        let config = DatabaseConfig { url: pooler.url(db.url()).into(), ..db.config.clone() };
        assert!(refusal(&config).await.contains("pool_mode = transaction"));
        let config = DatabaseConfig { direct_url: Some(db.url().into()), ..config };
        assert!(refusal(&config).await.contains("pool_mode = transaction"));
    })
    .await;
}

#[tokio::test]
async fn a_database_that_cannot_store_every_character_is_refused() {
    run(TestDb::postgres().await, async |db: &TestDb| {
        let (server, name) = db.url().rsplit_once('/').unwrap();
        let name = format!("{name}_latin1");
        db.sql(&format!("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"))
            .await;
        let config = DatabaseConfig { url: format!("{server}/{name}").into(), ..db.config.clone() };
        let error = Store::open(&config).await.map(drop);
        db.sql(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        let error = error.unwrap_err();
        assert!(matches!(error, StoreError::Config(_)) && error.to_string().contains("ENCODING 'UTF8'"), "{error:?}");
    })
    .await;
}
