//! A user cannot use the rows of another user: a row that does not exist is `NotFound`, a row of another user
//! `Forbidden`.

use crate::support::*;
use threadline_schema::db::text::TextList;
use threadline_schema::page::Order;
use threadline_schema::tasks::{Priority, TaskFilter};
use threadline_store::rows::TaskRow;
use threadline_store::{Entity, ItemPage, RunInput, StoreError, StoreResult, TaskChanges, TaskPage};

fn forbidden<T: std::fmt::Debug>(result: StoreResult<T>, entity: Entity) {
    assert!(matches!(result, Err(StoreError::Forbidden(found)) if found == entity), "{result:?}");
}

fn missing<T: std::fmt::Debug>(result: StoreResult<T>, entity: Entity) {
    assert!(matches!(result, Err(StoreError::NotFound(found)) if found == entity), "{result:?}");
}

on_both! {
    async fn of_threads_and_runs(db: &TestDb) {
        let store = db.store().await;
        let (owner, other) = (user(&store).await.id, user(&store).await.id);
        let (thread, run) = running(&store, owner).await;
        let page = ItemPage { limit: 10, order: Order::Asc, after: None, hidden: false };

        for (who, id, check) in [
            (other, thread.id, forbidden as fn(StoreResult<()>, Entity)),
            (owner, new_id(), missing as fn(StoreResult<()>, Entity)),
            (other, new_id(), missing as fn(StoreResult<()>, Entity)),
        ] {
            check(store.thread_get(who, id).await.map(drop), Entity::Thread);
            check(store.thread_with_items(who, id, page).await.map(drop), Entity::Thread);
            check(store.items_page(who, id, page).await.map(drop), Entity::Thread);
            check(store.thread_rename(who, id, "mine".into(), now()).await.map(drop), Entity::Thread);
            check(store.thread_delete(who, id).await, Entity::Thread);
            check(store.run_start(who, id, RunInput::Message(message()), new_run(), None).await.map(drop), Entity::Thread);
        }
        forbidden(store.run_get(other, run.id).await, Entity::Run);
        missing(store.run_get(owner, new_id()).await, Entity::Run);

        // None of these calls has changed anything.
        assert_eq!(store.thread_get(owner, thread.id).await.unwrap(), thread);
        assert_eq!(store.history(thread.id, 10).await.unwrap().len(), 1);
    }

    async fn of_tasks(db: &TestDb) {
        let store = db.store().await;
        let (owner, other) = (user(&store).await.id, user(&store).await.id);
        let task = TaskRow {
            id: new_id(),
            user_id: owner,
            title: "mine".into(),
            description: None,
            priority: Priority::Low,
            tags: TextList::default(),
            completed: false,
            created_at: at(0),
            updated_at: at(0),
            completed_at: None,
        };
        store.task_create(task.clone()).await.unwrap();
        let rename = TaskChanges { title: Some("theirs".into()), ..TaskChanges::default() };

        for (who, id, check) in [
            (other, task.id, forbidden as fn(StoreResult<()>, Entity)),
            (owner, new_id(), missing as fn(StoreResult<()>, Entity)),
        ] {
            check(store.task_get(who, id).await.map(drop), Entity::Task);
            check(store.task_update(who, id, rename.clone(), now()).await.map(drop), Entity::Task);
            check(store.task_complete(who, id, now()).await.map(drop), Entity::Task);
            check(store.task_delete(who, id).await, Entity::Task);
        }
        assert_eq!(store.task_get(owner, task.id).await.unwrap(), task);
        let page = TaskPage { limit: 10, filter: TaskFilter::All, after: None };
        assert_eq!(store.tasks_page(other, page).await.unwrap(), (vec![], false));
    }
}
