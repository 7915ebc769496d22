//! Attachments: the sums per user stay correct, however attachments are deleted.

use crate::support::*;
use threadline_schema::ids::{AttachmentId, UserId};
use threadline_store::rows::AttachmentRow;
use threadline_store::{Conflict, Limit, NewMessage, NewThread, RunInput, Store, StoreError, StoreResult};

fn attachment(user_id: UserId, size: i64) -> AttachmentRow {
    AttachmentRow {
        id: new_id(),
        user_id,
        thread_id: None,
        name: "ä \"b\".txt".to_owned(),
        mime_type: "text/plain".to_owned(),
        size,
        ready: false,
        upload_id: None,
        received: 0,
        created_at: at(7),
    }
}

async fn ready(store: &Store, user_id: UserId, size: i64) -> AttachmentId {
    let row = store.attachment_create(attachment(user_id, size), None).await.unwrap();
    store.attachment_ready(row.id, None, row.mime_type.clone()).await.unwrap().id
}

fn taking(attachments: &[AttachmentId]) -> NewMessage {
    NewMessage { attachments: attachments.to_vec(), ..message() }
}

fn used<T: std::fmt::Debug>(result: StoreResult<T>) {
    assert!(matches!(result, Err(StoreError::Conflict(Conflict::AttachmentUsed))), "{result:?}");
}

on_both! {
    async fn what_is_stored_comes_back(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let row = attachment(user, 10);
        assert_eq!(store.attachment_create(row.clone(), Some(10)).await.unwrap(), row);
        assert_eq!(store.attachment_get(user, row.id).await.unwrap(), row);
        assert_eq!(store.attachments_get(user, vec![row.id, row.id]).await.unwrap(), [row.clone(), row.clone()]);
        let upload = new_id();
        store.upload_begin(row.id, upload).await.unwrap();
        store.upload_advance(row.id, upload, 0, 4).await.unwrap();
        let under_way = store.attachment_get(user, row.id).await.unwrap();
        assert_eq!((under_way.upload_id, under_way.received), (Some(upload), 4));
        for (upload, offset) in [(upload, 0), (upload, 5), (new_id(), 4)] {
            let refused = store.upload_advance(row.id, upload, offset, 1).await;
            assert!(matches!(refused, Err(StoreError::Conflict(Conflict::UploadSuperseded))), "{refused:?}");
        }
        for upload in [None, Some(new_id())] {
            let refused = store.attachment_ready(row.id, upload, row.mime_type.clone()).await;
            assert!(matches!(refused, Err(StoreError::Conflict(Conflict::UploadSuperseded))), "{refused:?}");
        }
        assert!(store.attachment_ready(row.id, Some(upload), row.mime_type.clone()).await.unwrap().ready);
        let again = store.upload_begin(row.id, upload).await;
        assert!(matches!(again, Err(StoreError::Conflict(Conflict::AttachmentUploaded))), "{again:?}");
        assert!(matches!(store.upload_begin(new_id(), upload).await, Err(StoreError::NotFound(_))));
    }

    async fn the_sum_of_a_user_is_kept(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await.id;
        let sum = async || store.user_by_id(user).await.unwrap().unwrap().attachment_bytes;
        let (sent, deleted) = (ready(&store, user, 100).await, ready(&store, user, 10).await);
        let unused = ready(&store, user, 1).await;
        assert_eq!(sum().await, 111);
        let full = store.attachment_create(attachment(user, 890), Some(1_000)).await;
        assert!(matches!(full, Err(StoreError::LimitReached(Limit::AttachmentBytes))), "{full:?}");
        let nobody = store.attachment_create(attachment(new_id(), 1), None).await;
        assert!(matches!(nobody, Err(StoreError::NotFound(_))), "{nobody:?}");

        let new = NewThread { first_message: Some((taking(&[sent]), new_run())), ..new_thread(user) };
        let thread = store.thread_create(new).await.unwrap().thread;
        used(store.attachment_delete(user, sent).await);
        store.attachment_delete(user, deleted).await.unwrap();
        assert_eq!(sum().await, 101);
        assert_eq!(store.attachments_drop_unused(at(8), 10).await.unwrap(), 1, "{unused:?}");
        assert_eq!(sum().await, 100);
        store.thread_delete(user, thread.id).await.unwrap();
        assert_eq!(sum().await, 0);

        let mut left = store.leftovers(now(), 10).await.unwrap();
        left.sort_unstable();
        assert_eq!(left, [sent, deleted, unused], "each is remembered until its bytes are gone");
        assert_eq!(store.leftovers(at(0), 10).await.unwrap(), []);
        store.leftovers_forget(left).await.unwrap();
        assert_eq!(store.leftovers(now(), 10).await.unwrap(), []);
    }

    async fn a_message_takes_all_it_names_or_is_not_said(db: &TestDb) {
        let store = db.store().await;
        let (owner, other) = (user(&store).await.id, user(&store).await.id);
        let (one, two, foreign) =
            (ready(&store, owner, 1).await, ready(&store, owner, 1).await, ready(&store, other, 1).await);
        let pending = store.attachment_create(attachment(owner, 1), None).await.unwrap().id;
        let (here, there) = (thread(&store, owner).await, thread(&store, owner).await);
        for wrong in [foreign, pending, new_id()] {
            used(store.run_start(owner, here.id, RunInput::Message(taking(&[one, wrong])), new_run(), None).await);
        }
        assert_eq!(store.thread_get(owner, here.id).await.unwrap(), here, "nothing was said");
        let started = store.run_start(owner, here.id, RunInput::Message(taking(&[one, two])), new_run(), None).await.unwrap();
        assert_eq!(store.attachment_get(owner, two).await.unwrap().thread_id, Some(here.id));
        used(store.run_start(owner, there.id, RunInput::Message(taking(&[two])), new_run(), None).await);
        store.run_finish(started.run.fencing_token(), completed(), vec![]).await.unwrap();
        store.run_start(owner, here.id, RunInput::Message(taking(&[two])), new_run(), None).await.unwrap();
    }
}
