//! Lists of threads, page by page.

use crate::support::*;
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::page::Order;
use threadline_store::{Store, StoreError, ThreadCursor, ThreadPage};

/// Reads a whole list in pages of `limit` rows, with both kinds of cursors.
async fn read_all(store: &Store, user: UserId, order: Order, limit: u32, by_key: bool) -> Vec<ThreadId> {
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let (rows, has_more, total) = store.threads_page(user, ThreadPage { limit, order, after }).await.unwrap();
        assert_eq!(total, 9);
        assert!(rows.len() <= limit as usize);
        seen.extend(rows.iter().map(|row| row.id));
        if !has_more {
            return seen;
        }
        let last = rows.last().unwrap();
        after = Some(if by_key { ThreadCursor::Key(last.updated_at, last.id) } else { ThreadCursor::Id(last.id) });
    }
}

on_both! {
    async fn equal_times_neither_repeat_nor_skip(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let mut keys = Vec::new();
        for n in 0..9 {
            let row = thread_at(&store, user, at(n / 4)).await;
            keys.push((row.updated_at, row.id));
        }
        keys.sort();
        let oldest_first: Vec<ThreadId> = keys.iter().map(|(_, id)| *id).collect();
        let newest_first: Vec<ThreadId> = oldest_first.iter().rev().copied().collect();
        for limit in [1, 2, 3, 4, 8, 9, 10] {
            for by_key in [true, false] {
                assert_eq!(read_all(&store, user, Order::Asc, limit, by_key).await, oldest_first);
                assert_eq!(read_all(&store, user, Order::Desc, limit, by_key).await, newest_first);
            }
        }
    }

    async fn lists_leave_out_what_is_archived_or_anothers(db: &TestDb) {
        let store = db.store().await;
        let (owner, other) = (user(&store).await.id, user(&store).await.id);
        thread_at(&store, owner, at(0)).await;
        let shown = thread_at(&store, owner, at(10)).await;
        let foreign = thread_at(&store, other, at(10)).await;
        store.threads_archive_idle(at(5), 10).await.unwrap();

        let page = ThreadPage { limit: 10, order: Order::Desc, after: None };
        assert_eq!(store.threads_page(owner, page).await.unwrap(), (vec![shown.clone()], false, 1));

        let past_the_end = ThreadPage { after: Some(ThreadCursor::Id(shown.id)), ..page };
        assert_eq!(store.threads_page(owner, past_the_end).await.unwrap(), (vec![], false, 1));
        for id in [foreign.id, new_id()] {
            let result = store.threads_page(owner, ThreadPage { after: Some(ThreadCursor::Id(id)), ..page }).await;
            assert!(matches!(result, Err(StoreError::CursorNotFound(_))), "{result:?}");
        }
        assert_eq!(store.threads_page(new_id(), page).await.unwrap(), (vec![], false, 0));
    }
}
