//! The attachments that a message names.

use super::Attachments;
use crate::error::Error;
use crate::store::rows::AttachmentRow;
use threadline_schema::chatkit::{Attachment, UserMessageInput};
use threadline_schema::ids::{AttachmentId, ThreadId, UserId};

/// Maximum number of attachments of one message.
pub(crate) const MAX_PER_MESSAGE: u32 = 10;

impl Attachments {
    /// Returns the attachments that a message names. They must belong to its user and be uploaded.
    pub(crate) async fn for_message(
        &self,
        user_id: UserId,
        input: &UserMessageInput,
    ) -> Result<Vec<AttachmentRow>, Error> {
        let named = &input.attachments;
        if named.is_empty() {
            return Ok(Vec::new());
        }
        if named.len() > MAX_PER_MESSAGE as usize {
            return Err(Error::invalid(format!(
                "A message takes {MAX_PER_MESSAGE} attachments; this one has {}.",
                named.len()
            )));
        }
        let mut ids: Vec<AttachmentId> = Vec::with_capacity(named.len());
        for id in named {
            let id: AttachmentId = id.parse().map_err(|_| Error::invalid("`attachments` takes ids of attachments."))?;
            if ids.contains(&id) {
                return Err(Error::invalid(format!("The attachment {id} is named more than once.")));
            }
            ids.push(id);
        }
        let rows = self.store.attachments_get(user_id, ids).await?;
        let mut ready = Vec::with_capacity(rows.len());
        for row in rows {
            ready.push(self.ensure_uploaded(row).await?);
        }
        Ok(ready)
    }

    /// Returns the attachments of a message as its item shows them.
    pub(crate) fn in_thread(&self, rows: &[AttachmentRow], thread_id: ThreadId) -> Result<Vec<Attachment>, Error> {
        let rows = rows.iter().map(|row| AttachmentRow { thread_id: Some(thread_id), ..row.clone() });
        rows.map(|row| self.to_wire(&row, None)).collect()
    }
}
