//! What nobody needs any more: attachments that no message has taken, and bytes of those that are gone.

use super::capability::UPLOAD_LIFETIME;
use crate::core::Core;
use std::time::Duration;
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Chain;

/// How long an attachment waits for a message.
const UNUSED_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long bytes outlive their attachment: an upload that was allowed before must have ended, or it would leave some.
const BYTES_KEPT: Duration = Duration::from_secs(UPLOAD_LIFETIME.as_secs() + 600);
/// Attachments that one round takes: small, so that nobody waits for it.
const BATCH: u32 = 100;

/// Drops what is not needed any more.
pub(crate) async fn sweep(core: &Core) {
    let since = |age: Duration| UtcTime::from(core.clock.now().utc() - age);
    loop {
        match core.store.attachments_drop_unused(since(UNUSED_KEPT), BATCH).await {
            Ok(0) => break,
            Ok(count) => tracing::info!(count, "attachments that no message has taken were deleted"),
            Err(error) => return tracing::warn!(error = %Chain(&error), "unused attachments could not be deleted"),
        }
    }
    loop {
        let gone = match core.store.leftovers(since(BYTES_KEPT), BATCH).await {
            Ok(gone) if gone.is_empty() => return,
            Ok(gone) => gone,
            Err(error) => return tracing::warn!(error = %Chain(&error), "deleted attachments could not be looked for"),
        };
        for id in &gone {
            if let Err(error) = core.attachments.storage.drop_all(id.0).await {
                return tracing::warn!(attachment_id = %id.0, error = %Chain(&error), "the bytes of an attachment could not be dropped");
            }
        }
        if let Err(error) = core.store.leftovers_forget(gone).await {
            return tracing::warn!(error = %Chain(&error), "deleted attachments could not be forgotten");
        }
    }
}
