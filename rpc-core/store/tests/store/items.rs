//! Appending, history, and pages of items.

use crate::support::*;
use threadline_schema::page::Order;
use threadline_store::rows::ItemRow;
use threadline_store::{ItemPage, StoreError};

fn positions(rows: &[ItemRow]) -> Vec<i64> {
    rows.iter().map(|row| row.position).collect()
}

on_both! {
    async fn appends_take_the_next_places_and_count_messages_only(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        let new = vec![item(ItemKind::Workflow), item(ItemKind::ToolCall), item(ItemKind::AssistantMessage)];
        let appended = store.items_append(run.fencing_token(), new.clone(), None).await.unwrap();
        assert_eq!(positions(&appended), [1, 2, 3]);
        assert_eq!(store.items_append(run.fencing_token(), vec![], None).await.unwrap(), vec![]);

        let after = store.thread_get(user, thread.id).await.unwrap();
        assert_eq!((after.next_position, after.message_count), (4, 2));
        assert_eq!(after.updated_at, new.iter().map(|item| item.created_at).max().unwrap());

        let of_run = store.run_items(run.id).await.unwrap();
        assert_eq!(of_run[1..], appended);
        assert_eq!(of_run[0].kind, ItemKind::UserMessage);
    }

    async fn history_is_the_newest_in_order(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        let new = (0..6).map(|n| item(if n % 2 == 0 { ItemKind::ToolCall } else { ItemKind::Workflow })).collect();
        store.items_append(run.fencing_token(), new, None).await.unwrap();
        let history = store.history(thread.id, 3).await.unwrap();
        assert_eq!(positions(&history), [4, 5, 6]);
        assert!(history.iter().any(|item| item.hidden), "the model sees what clients do not");
        assert_eq!(store.history(thread.id, 100).await.unwrap().len(), 7);
    }

    async fn pages_skip_hidden_items_and_do_not_count_them(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, run) = running(&store, user).await;
        let kinds = [ItemKind::ToolCall, ItemKind::Workflow, ItemKind::ToolCall, ItemKind::ToolCall, ItemKind::AssistantMessage, ItemKind::HiddenContext];
        store.items_append(run.fencing_token(), kinds.map(item).into(), None).await.unwrap();

        let page = ItemPage { limit: 2, order: Order::Asc, after: None, hidden: false };
        let (first, more) = store.items_page(user, thread.id, page).await.unwrap();
        assert_eq!((positions(&first), more), (vec![0, 2], true));
        let (second, more) =
            store.items_page(user, thread.id, ItemPage { after: Some(first[1].id), ..page }).await.unwrap();
        assert_eq!((positions(&second), more), (vec![5], false), "what follows is hidden, so nothing follows");

        let back = ItemPage { order: Order::Desc, ..page };
        let (newest, more) = store.items_page(user, thread.id, back).await.unwrap();
        assert_eq!((positions(&newest), more), (vec![5, 2], true));
        let (rest, more) =
            store.items_page(user, thread.id, ItemPage { after: Some(newest[1].id), ..back }).await.unwrap();
        assert_eq!((positions(&rest), more), (vec![0], false));

        let everything = ItemPage { limit: 100, hidden: true, ..page };
        let (whole, more) = store.items_page(user, thread.id, everything).await.unwrap();
        assert_eq!((positions(&whole), more), ((0..7).collect(), false));
    }

    async fn a_cursor_is_an_item_of_this_thread(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let (thread, _) = running(&store, user).await;
        let (elsewhere, _) = running(&store, user).await;
        let foreign = store.history(elsewhere.id, 1).await.unwrap()[0].id;
        for after in [foreign, new_id()] {
            let page = ItemPage { limit: 2, order: Order::Asc, after: Some(after), hidden: true };
            let result = store.items_page(user, thread.id, page).await;
            assert!(matches!(result, Err(StoreError::CursorNotFound(_))), "{result:?}");
        }
    }
}
