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
