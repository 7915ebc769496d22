//! Rows of attachments. `run_start.rs` ties them to messages; their bytes are in the attachment storage.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::Store;
use super::error::why_unchanged;
use super::error::{Conflict, Entity, Limit, OrNotFound, StoreError, StoreResult};
use super::query::{FixedDsl, RunQueryDsl};
use super::row_locks::RowLocks;
use super::rows::AttachmentRow;
use super::unit::{change, read, tx};
use diesel::prelude::*;
use std::collections::BTreeMap;
use threadline_schema::db::tables::{attachment_leftovers, attachments, users};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{AttachmentId, UploadId, UserId};

impl Store {
    /// Inserts an attachment that is not uploaded yet, if its announced size is within the user's limit.
    ///
    /// # Errors
    /// [`StoreError::LimitReached`] if all attachments of the user would have more than `max_bytes`,
    /// [`StoreError::NotFound`] if there is no such user.
    pub async fn attachment_create(&self, row: AttachmentRow, max_bytes: Option<u64>) -> StoreResult<AttachmentRow> {
        let most = max_bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(i64::MAX);
        tx!(self, |c| {
            // Condition and sum are one statement: two concurrent requests cannot both get the last free bytes.
            let room = users::attachment_bytes.le(most.saturating_sub(row.size));
            let counted = diesel::update(users::table.find(row.user_id).filter(room))
                .set(users::attachment_bytes.eq(users::attachment_bytes + row.size))
                .fixed()
                .execute(c)
                .await?;
            if counted == 0 {
                let user: Option<UserId> =
                    users::table.find(row.user_id).select(users::id).first(c).await.optional()?;
                return Err(if user.is_some() {
                    StoreError::LimitReached(Limit::AttachmentBytes)
                } else {
                    StoreError::NotFound(Entity::User)
                });
            }
            diesel::insert_into(attachments::table).values(&row).execute(c).await?;
            Ok(row)
        })
    }

    /// Returns an attachment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn attachment_get(&self, user_id: UserId, id: AttachmentId) -> StoreResult<AttachmentRow> {
        read!(self, |c| {
            let row: AttachmentRow = attachments::table
                .find(id)
                .select(AttachmentRow::as_select())
                .first(c)
                .await
                .or_not_found(Entity::Attachment)?;
            if row.user_id == user_id { Ok(row) } else { Err(StoreError::Forbidden(Entity::Attachment)) }
        })
    }

    /// Returns attachments of a user, in the order of `ids`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if one does not exist, [`StoreError::Forbidden`] if one belongs to another user.
    pub async fn attachments_get(&self, user_id: UserId, ids: Vec<AttachmentId>) -> StoreResult<Vec<AttachmentRow>> {
        read!(self, |c| {
            let rows: Vec<AttachmentRow> = attachments::table
                .filter(attachments::id.eq_any(ids.clone()))
                .select(AttachmentRow::as_select())
                .load(c)
                .await?;
            let of = |id: &AttachmentId| match rows.iter().find(|row| row.id == *id) {
                None => Err(StoreError::NotFound(Entity::Attachment)),
                Some(row) if row.user_id != user_id => Err(StoreError::Forbidden(Entity::Attachment)),
                Some(row) => Ok(row.clone()),
            };
            ids.iter().map(of).collect()
        })
    }

    /// Returns the uploaded attachments that were announced after `from` and not after `until`.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn attachments_ready_between(&self, from: UtcTime, until: UtcTime) -> StoreResult<Vec<AttachmentId>> {
        read!(self, |c| {
            let announced = attachments::created_at.gt(from).and(attachments::created_at.le(until));
            let ready = attachments::table.filter(attachments::ready.eq(true).and(announced));
            Ok(ready.select(attachments::id).load(c).await?)
        })
    }

    /// Begins an upload. It supersedes an upload that is in progress.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`Conflict::AttachmentUploaded`].
    pub async fn upload_begin(&self, id: AttachmentId, upload_id: UploadId) -> StoreResult<()> {
        change!(self, |c| {
            let begun = diesel::update(attachments::table.find(id).filter(attachments::ready.eq(false)))
                .set((attachments::upload_id.eq(Some(upload_id)), attachments::received.eq(0)))
                .fixed()
                .execute(c)
                .await?;
            if begun == 1 {
                return Ok(());
            }
            let known: Option<AttachmentId> =
                attachments::table.find(id).select(attachments::id).first(c).await.optional()?;
            Err(known.map_or(StoreError::NotFound(Entity::Attachment), |_| Conflict::AttachmentUploaded.into()))
        })
    }

    /// Records that `bytes` more bytes of an upload are stored.
    ///
    /// # Errors
    /// [`Conflict::UploadSuperseded`] if the upload is not in progress, or has not `offset` bytes.
    pub async fn upload_advance(
        &self,
        id: AttachmentId,
        upload_id: UploadId,
        offset: i64,
        bytes: i64,
    ) -> StoreResult<()> {
        change!(self, |c| {
            let here = attachments::upload_id.eq(Some(upload_id)).and(attachments::received.eq(offset));
            let advanced = diesel::update(attachments::table.find(id).filter(attachments::ready.eq(false).and(here)))
                .set(attachments::received.eq(offset + bytes))
                .fixed()
                .execute(c)
                .await?;
            if advanced == 1 { Ok(()) } else { Err(Conflict::UploadSuperseded.into()) }
        })
    }

    /// Notes that an attachment is uploaded, by which upload, and the type of its content. `None`: the client has put
    /// it into the bucket; saying so twice does no harm then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`Conflict::UploadSuperseded`] if another upload has begun: its content may be
    /// stored already, and was not checked.
    pub async fn attachment_ready(
        &self,
        id: AttachmentId,
        upload_id: Option<UploadId>,
        mime_type: String,
    ) -> StoreResult<AttachmentRow> {
        change!(self, |c| {
            let ready = (
                attachments::ready.eq(true),
                attachments::upload_id.eq(None::<UploadId>),
                attachments::mime_type.eq(&mime_type),
            );
            let row = attachments::table.find(id);
            let by_client = attachments::upload_id.is_null();
            let marked = match upload_id {
                Some(upload_id) => {
                    let current = row.filter(attachments::upload_id.eq(Some(upload_id)));
                    let marked = diesel::update(current).set(ready).returning(AttachmentRow::as_returning());
                    marked.get_result(c).await.optional()?
                }
                None => {
                    let marked = diesel::update(row.filter(by_client)).set(ready);
                    marked.returning(AttachmentRow::as_returning()).get_result(c).await.optional()?
                }
            };
            if let Some(marked) = marked {
                return Ok(marked);
            }
            let known: Option<AttachmentId> = row.select(attachments::id).first(c).await.optional()?;
            Err(known.map_or(StoreError::NotFound(Entity::Attachment), |_| Conflict::UploadSuperseded.into()))
        })
    }

    /// Deletes an attachment that belongs to no message.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], [`Conflict::AttachmentUsed`].
    pub async fn attachment_delete(&self, user_id: UserId, id: AttachmentId) -> StoreResult<()> {
        change!(self, |c| {
            let free = attachments::user_id.eq(user_id).and(attachments::thread_id.is_null());
            let deleted = diesel::delete(attachments::table.find(id).filter(free)).execute(c).await?;
            if deleted == 1 {
                return Ok(());
            }
            let owner = attachments::table.find(id).select(attachments::user_id).first(c).await.optional()?;
            Err(why_unchanged(Entity::Attachment, owner, user_id, Conflict::AttachmentUsed.into()))
        })
    }

    /// Deletes up to `limit` attachments that were announced before `before` and belong to no message, and returns how
    /// many. One process at a time does it; the others return 0.
    ///
    /// # Errors
    /// Only if the database fails; nothing is deleted then.
    pub async fn attachments_drop_unused(&self, before: UtcTime, limit: u32) -> StoreResult<usize> {
        tx!(self, |c| {
            if !c.try_lock(Job::DropAttachments).await? {
                return Ok(0);
            }
            let unused: Vec<(UserId, AttachmentId)> = attachments::table
                .filter(attachments::thread_id.is_null().and(attachments::created_at.lt(before)))
                .order(attachments::created_at.asc())
                .select((attachments::user_id, attachments::id))
                .limit(i64::from(limit))
                .load(c)
                .await?;
            let locked = c.lock_available_attachments(unused.iter().map(|(_, id)| *id).collect()).await?;
            let mut by_user = BTreeMap::<UserId, Vec<AttachmentId>>::new();
            for (user_id, id) in unused.into_iter().filter(|(_, id)| locked.contains(id)) {
                by_user.entry(user_id).or_default().push(id);
            }
            let mut deleted = 0;
            // The trigger of the deletion locks the user. Users are locked in the order of their ids, as everywhere.
            for ids in by_user.into_values() {
                // A message may have taken the attachment between the two statements.
                let unused = attachments::id.eq_any(ids).and(attachments::thread_id.is_null());
                deleted += diesel::delete(attachments::table.filter(unused)).execute(c).await?;
            }
            Ok(deleted)
        })
    }

    /// Returns up to `limit` attachments that were deleted before `before`, and whose bytes may still be stored.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn leftovers(&self, before: UtcTime, limit: u32) -> StoreResult<Vec<AttachmentId>> {
        read!(self, |c| {
            Ok(attachment_leftovers::table
                .filter(attachment_leftovers::deleted_at.lt(before))
                .order(attachment_leftovers::deleted_at.asc())
                .select(attachment_leftovers::attachment_id)
                .limit(i64::from(limit))
                .load(c)
                .await?)
        })
    }

    /// Deletes the records of deleted attachments, after their bytes have been removed.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn leftovers_forget(&self, ids: Vec<AttachmentId>) -> StoreResult<()> {
        change!(self, |c| {
            let gone = attachment_leftovers::table.filter(attachment_leftovers::attachment_id.eq_any(ids));
            diesel::delete(gone).execute(c).await?;
            Ok(())
        })
    }
}
