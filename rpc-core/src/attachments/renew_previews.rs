//! Signs the URLs of previews anew when a message is read: those in the stored message expire.

use super::{Attachments, CapabilityPurpose};
use crate::store::rows::ItemRow;
use threadline_schema::chatkit::{Attachment, ThreadItem};
use threadline_schema::items::ItemKind;

impl Attachments {
    /// Replaces the URLs of previews in an item as it is stored. An item that has none, or cannot be read, stays as it
    /// is.
    pub(crate) fn renew_previews(&self, row: &mut ItemRow) {
        if row.kind != ItemKind::UserMessage || !row.body.contains("\"preview_url\"") {
            return;
        }
        let Ok(ThreadItem::UserMessage(mut message)) = serde_json::from_str(&row.body) else { return };
        for attachment in &mut message.attachments {
            let Attachment::Image(image) = attachment else { continue };
            if let Some(url) = self.renewed(&image.preview_url) {
                image.preview_url = url;
            }
        }
        if let Ok(body) = serde_json::to_string(&ThreadItem::UserMessage(message)) {
            row.body = body;
        }
    }

    /// Returns a URL for the preview of an older one; `None` if this service has not signed it.
    fn renewed(&self, url: &str) -> Option<String> {
        let (_, token) = url.rsplit_once("?token=")?;
        let old = self.signer.verify_signature(token)?;
        let is_preview = old.purpose == CapabilityPurpose::Preview;
        is_preview.then(|| self.preview_url(old.user_id, old.attachment_id).ok()).flatten()
    }
}
