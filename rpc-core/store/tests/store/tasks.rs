//! To-do lists.

use crate::support::*;
use threadline_schema::db::text::TextList;
use threadline_schema::ids::UserId;
use threadline_schema::tasks::{Priority, TaskFilter};
use threadline_store::rows::TaskRow;
use threadline_store::{Store, TaskChanges, TaskPage};

async fn task(store: &Store, user_id: UserId) -> TaskRow {
    let now = now();
    let task = TaskRow {
        id: new_id(),
        user_id,
        title: "Buy milk".into(),
        description: Some("two litres".into()),
        priority: Priority::Medium,
        tags: TextList(vec!["home".into()]),
        completed: false,
        created_at: now,
        updated_at: now,
        completed_at: None,
    };
    store.task_create(task).await.unwrap()
}

on_both! {
    async fn a_change_touches_what_it_names(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let task = task(&store, user).await;

        let nothing = store.task_update(user, task.id, TaskChanges::default(), now()).await.unwrap();
        assert_eq!(TaskRow { updated_at: task.updated_at, ..nothing }, task);

        let changes = TaskChanges {
            title: Some("Buy oat milk".into()),
            description: Some(None),
            priority: Some(Priority::High),
            tags: Some(TextList(vec![])),
            completed: Some(true),
        };
        let changed = store.task_update(user, task.id, changes, now()).await.unwrap();
        assert_eq!((changed.title.as_str(), changed.description.as_ref()), ("Buy oat milk", None));
        assert_eq!((changed.priority, &changed.tags), (Priority::High, &TextList(vec![])));
        assert!(changed.completed && changed.completed_at == Some(changed.updated_at));
        assert_eq!(store.task_get(user, task.id).await.unwrap(), changed);

        let again = TaskChanges { completed: Some(true), ..TaskChanges::default() };
        let again = store.task_update(user, task.id, again, now()).await.unwrap();
        assert_eq!(again.completed_at, changed.completed_at, "done before: the time stays");
        let undone = TaskChanges { completed: Some(false), ..TaskChanges::default() };
        let undone = store.task_update(user, task.id, undone, now()).await.unwrap();
        assert!(!undone.completed && undone.completed_at.is_none());
    }

    async fn completing_twice_changes_nothing(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let task = task(&store, user).await;
        let done = store.task_complete(user, task.id, now()).await.unwrap();
        assert!(done.completed && done.completed_at.is_some());
        assert_eq!(store.task_complete(user, task.id, now()).await.unwrap(), done);
    }

    async fn pages_are_newest_first_and_filtered(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let mut ids = Vec::new();
        for n in 0..5 {
            let task = task(&store, user).await;
            if n % 2 == 0 {
                store.task_complete(user, task.id, now()).await.unwrap();
            }
            ids.insert(0, task.id);
        }
        let list = async |page: TaskPage| {
            let (rows, more) = store.tasks_page(user, page).await.unwrap();
            (rows.iter().map(|task| task.id).collect::<Vec<_>>(), more)
        };
        let page = TaskPage { limit: 3, filter: TaskFilter::All, after: None };
        assert_eq!(list(page).await, (ids[..3].to_vec(), true));
        // Rows can be deleted between two pages. The next page continues after the last row of the page before it.
        store.task_delete(user, ids[2]).await.unwrap();
        assert_eq!(list(TaskPage { after: Some(ids[2]), ..page }).await, (ids[3..].to_vec(), false));
        assert_eq!(list(TaskPage { filter: TaskFilter::Pending, ..page }).await, (vec![ids[1], ids[3]], false));
        assert_eq!(list(TaskPage { filter: TaskFilter::Completed, ..page }).await, (vec![ids[0], ids[4]], false));
    }
}
