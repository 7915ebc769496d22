//! Files that go with messages: what is known of them. A message takes them in `run_start.rs`.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::Store;
use super::error::{Conflict, Entity, Limit, OrNotFound, StoreError, StoreResult};
use super::refusal;
use super::rows::AttachmentRow;
use super::unit::{change, read, tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::{attachment_leftovers, attachments, users};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{AttachmentId, UploadId, UserId};

impl Store {
    /// Announces an attachment, if it fits in what the user may have in all.
    ///
    /// # Errors
    /// [`StoreError::LimitReached`] when the user's attachments would come to more than `max_bytes`, [`StoreError::NotFound`]
    /// when there is no such user.
    pub async fn attachment_create(&self, row: AttachmentRow, max_bytes: Option<u64>) -> StoreResult<AttachmentRow> {
        let most = max_bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(i64::MAX);
        tx!(self, |c| {
            // The condition and the sum are one statement: two requests at once cannot both see the last free bytes.
            let room = users::attachment_bytes.le(most.saturating_sub(row.size));
            let counted = diesel::update(users::table.find(row.user_id).filter(room))
                .set(users::attachment_bytes.eq(users::attachment_bytes + row.size))
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

    /// An attachment.
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

    /// Attachments of a user, in the order of `ids`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`] when one of them is missing or somebody else's.
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

    /// Begins an upload. One that was under way is over with that.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`Conflict::AttachmentUploaded`].
    pub async fn upload_begin(&self, id: AttachmentId, upload_id: UploadId) -> StoreResult<()> {
        change!(self, |c| {
            let begun = diesel::update(attachments::table.find(id).filter(attachments::ready.eq(false)))
                .set((attachments::upload_id.eq(Some(upload_id)), attachments::received.eq(0)))
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

    /// Notes that so many bytes more of an upload are stored.
    ///
    /// # Errors
    /// [`Conflict::UploadSuperseded`] when the upload does not stand at `offset`, or is not under way.
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
                .execute(c)
                .await?;
            if advanced == 1 { Ok(()) } else { Err(Conflict::UploadSuperseded.into()) }
        })
    }

    /// Notes that an attachment is uploaded, and the type of its content. Saying so twice does no harm.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn attachment_ready(&self, id: AttachmentId, mime_type: String) -> StoreResult<AttachmentRow> {
        change!(self, |c| {
            diesel::update(attachments::table.find(id))
                .set((
                    attachments::ready.eq(true),
                    attachments::upload_id.eq(None::<UploadId>),
                    attachments::mime_type.eq(&mime_type),
                ))
                .returning(AttachmentRow::as_returning())
                .get_result(c)
                .await
                .or_not_found(Entity::Attachment)
        })
    }

    /// Deletes an attachment that no message has taken.
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
            Err(refusal!(c, attachments, Attachment, id, user_id).unwrap_or(Conflict::AttachmentUsed.into()))
        })
    }

    /// Deletes at most `limit` attachments that were announced before `before` and that no message has taken, and
    /// returns how many. Only one process at a time does so; the others return 0.
    ///
    /// # Errors
    /// Only when the database fails; nothing is deleted then.
    pub async fn attachments_drop_unused(&self, before: UtcTime, limit: u32) -> StoreResult<usize> {
        tx!(self, |c| {
            if !c.try_lock(Job::DropAttachments).await? {
                return Ok(0);
            }
            let unused: Vec<AttachmentId> = attachments::table
                .filter(attachments::thread_id.is_null().and(attachments::created_at.lt(before)))
                .order(attachments::created_at.asc())
                .select(attachments::id)
                .limit(i64::from(limit))
                .load(c)
                .await?;
            // Asked again, as a message may have taken one since.
            let unused =
                attachments::table.filter(attachments::id.eq_any(unused).and(attachments::thread_id.is_null()));
            Ok(diesel::delete(unused).execute(c).await?)
        })
    }

    /// At most `limit` attachments that went before `before`, and whose bytes may still be there.
    ///
    /// # Errors
    /// Only when the database fails.
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

    /// Forgets attachments whose bytes are gone as well.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn leftovers_forget(&self, ids: Vec<AttachmentId>) -> StoreResult<()> {
        change!(self, |c| {
            let gone = attachment_leftovers::table.filter(attachment_leftovers::attachment_id.eq_any(ids));
            diesel::delete(gone).execute(c).await?;
            Ok(())
        })
    }
}
