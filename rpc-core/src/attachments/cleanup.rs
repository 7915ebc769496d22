//! Maintenance job: deletes attachments without a message, and the bytes of deleted attachments.

use super::Attachments;
use super::capability::UPLOAD_LIFETIME;
use std::time::Duration;
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Chain;

/// How long an attachment without a message is kept.
const UNUSED_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long the bytes of a deleted attachment are kept. An upload that was allowed before the deletion must have ended,
/// or it would leave bytes behind.
const BYTES_KEPT_FOR: Duration = Duration::from_secs(UPLOAD_LIFETIME.as_secs() + 600);
/// How far back late uploads are looked for after a start.
const LATE_UPLOADS_OF: Duration = Duration::from_secs(24 * 3600);
/// Rows per transaction: small, so that other transactions do not wait.
const BATCH: u32 = 100;

impl Attachments {
    /// Deletes what is no longer needed. A failure is logged; the next run of the job continues.
    pub(crate) async fn delete_unused(&self) {
        loop {
            match self.store.attachments_drop_unused(self.before(UNUSED_KEPT_FOR), BATCH).await {
                Ok(0) => break,
                Ok(count) => tracing::info!(count, "deleted attachments without a message"),
                Err(error) => {
                    return tracing::warn!(error = %Chain(&error), "attachments without a message cannot be deleted");
                }
            }
        }
        loop {
            let deleted = match self.store.leftovers(self.before(BYTES_KEPT_FOR), BATCH).await {
                Ok(deleted) if deleted.is_empty() => return,
                Ok(deleted) => deleted,
                Err(error) => return tracing::warn!(error = %Chain(&error), "deleted attachments cannot be listed"),
            };
            for id in &deleted {
                if let Err(error) = self.storage.delete_all(*id).await {
                    let error = Chain(&error);
                    return tracing::warn!(attachment_id = %id, %error, "bytes of an attachment cannot be deleted");
                }
            }
            if let Err(error) = self.store.leftovers_forget(deleted).await {
                return tracing::warn!(error = %Chain(&error), "deleted attachments cannot be removed from the list");
            }
        }
    }

    /// Deletes what clients have put into the bucket again after it was accepted, as long as their URLs allowed it.
    pub(crate) async fn delete_late_uploads(&self) {
        if !self.storage.is_bucket() {
            return;
        }
        let until = self.before(BYTES_KEPT_FOR);
        let from = *self.late_uploads_deleted_to.lock();
        let from = from.unwrap_or_else(|| self.before(LATE_UPLOADS_OF));
        let accepted = match self.store.attachments_ready_between(from, until).await {
            Ok(accepted) => accepted,
            Err(error) => return tracing::warn!(error = %Chain(&error), "accepted attachments cannot be listed"),
        };
        for id in accepted {
            if let Err(error) = self.storage.delete_upload(id).await {
                let error = Chain(&error);
                return tracing::warn!(attachment_id = %id, %error, "late upload of an attachment cannot be deleted");
            }
        }
        *self.late_uploads_deleted_to.lock() = Some(until);
    }

    fn before(&self, age: Duration) -> UtcTime {
        (self.clock.now().utc() - age).into()
    }
}
