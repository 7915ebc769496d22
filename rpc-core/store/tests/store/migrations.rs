//! Migrations: up, down, and several processes at once.

use crate::support::*;
use futures::future::join_all;
use std::collections::BTreeSet;
use std::path::Path;
use threadline_store::{Store, StoreError, migrate};

fn directories(database: &str) -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(database);
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The tables that the migrations create.
fn created() -> i64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sqlite");
    let scripts = directories("sqlite").into_iter().map(|name| std::fs::read_to_string(root.join(name).join("up.sql")));
    let count: usize = scripts.map(|sql| sql.unwrap().matches("CREATE TABLE ").count()).sum();
    i64::try_from(count).unwrap()
}

/// Returns the tables, except those of the database system and of diesel.
async fn tables(db: &TestDb) -> i64 {
    db.number(if db.is_postgres() {
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> '__diesel_schema_migrations'"
    } else {
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name <> '__diesel_schema_migrations'"
    })
    .await
}

#[test]
fn both_databases_have_the_same_migrations() {
    assert_eq!(directories("postgres"), directories("sqlite"));
    assert!(!directories("postgres").is_empty());
}

on_both! {
    async fn up_down_and_up_again(db: &TestDb) {
        let count = directories("postgres").len();
        let applied = migrate::up(&db.config).await.unwrap();
        assert_eq!(applied.len(), count);
        assert_eq!(migrate::up(&db.config).await.unwrap(), Vec::<String>::new());
        assert_eq!(tables(db).await, created());

        let store = db.store().await;
        let owner = user(&store).await;
        running(&store, owner.id).await;
        drop(store);
        assert_eq!(migrate::revert_last(&db.config).await.unwrap().as_ref(), applied.last());
        let mut reverted = migrate::revert_all(&db.config).await.unwrap();
        reverted.reverse();
        assert_eq!(reverted, applied[..count - 1]);
        assert_eq!(migrate::revert_last(&db.config).await.unwrap(), None);
        assert_eq!(tables(db).await, 0);

        let store = db.store().await;
        let owner = user(&store).await;
        running(&store, owner.id).await;
    }

    async fn a_schema_that_does_not_fit_is_told(db: &TestDb) {
        let by_hand = threadline_store::config::DatabaseConfig { auto_migrate: false, ..db.config.clone() };
        let error = Store::open(&by_hand).await.unwrap_err();
        assert!(matches!(error, StoreError::Schema(_)) && error.to_string().contains("threadline migrate"), "{error}");

        let applied = migrate::up(&db.config).await.unwrap();
        Store::open(&by_hand).await.unwrap();
        migrate::revert_last(&db.config).await.unwrap();
        assert_eq!(migrate::standing(&db.config).await.unwrap().pending, applied[applied.len() - 1..]);
        let error = Store::open(&by_hand).await.unwrap_err();
        assert!(error.to_string().contains("older") && error.to_string().contains("threadline migrate"), "{error}");

        migrate::up(&db.config).await.unwrap();
        db.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000')").await;
        assert_eq!(migrate::standing(&db.config).await.unwrap().unknown, ["20991231000000"]);
        // A replica of the previous release that restarts during an upgrade works with the newer schema.
        for config in [&by_hand, &db.config] {
            Store::open(config).await.unwrap().ping().await.unwrap();
        }
        db.sql(&format!("INSERT INTO required_migrations VALUES ('{}')", applied[0])).await;
        for config in [&by_hand, &db.config] {
            Store::open(config).await.unwrap();
        }

        // A required migration that it does not know ends that.
        db.sql("INSERT INTO required_migrations VALUES ('20991231000000')").await;
        assert_eq!(migrate::standing(&db.config).await.unwrap().missing, ["20991231000000"]);
        for config in [&by_hand, &db.config] {
            let error = Store::open(config).await.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, StoreError::Schema(_)), "{text}");
            assert!(text.contains("newer") && text.contains("threadline migrate") && text.contains("2099"), "{text}");
        }
    }

    async fn nothing_is_migrated_in_a_schema_that_is_too_new(db: &TestDb) {
        let applied = migrate::up(&db.config).await.unwrap();
        db.sql("INSERT INTO required_migrations VALUES ('20991231000000')").await;
        db.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000')").await;
        db.sql(&format!("DELETE FROM __diesel_schema_migrations WHERE version = '{}'", applied[3])).await;
        assert!(matches!(migrate::up(&db.config).await, Err(StoreError::Schema(_))));
        assert_eq!(migrate::standing(&db.config).await.unwrap().pending, [applied[3].clone()]);
    }
}

on_both! { threads:
    async fn four_processes_at_once(db: &TestDb) {
        for _ in 0..3 {
            let is_first_message = (0..4).map(|_| {
                let config = db.config.clone();
                tokio::spawn(async move { Store::open(&config).await.unwrap().ping().await.unwrap() })
            });
            for opened in join_all(is_first_message).await {
                opened.unwrap();
            }
            unmigrate(db).await;
        }
    }
}
