//! Loads attachments into the prompt: images, and the text of files, up to a limit.

use super::storage::{StorageResult, StoredObject};
use super::{Attachments, BASE64, content_check, preview};
use crate::model::{AttachedFile, FileContent, Message};
use base64::Engine;
use std::sync::Arc;
use threadline_schema::error::Chain;
use threadline_schema::ids::AttachmentId;

/// Maximum number of images in a prompt; the newest ones are loaded.
const MAX_IMAGES: usize = 8;
/// Maximum size of an image, in bytes. For a larger one, the preview is loaded. Model servers accept about 5 MB.
const MAX_IMAGE_BYTES: u64 = 3 << 20;
/// Maximum size of the text of one file, in bytes. The rest is cut off.
const MAX_FILE_TEXT_BYTES: u64 = 32 * 1024;
/// Maximum size of all texts in a prompt, in bytes; the newest files are loaded.
const MAX_TEXT_BYTES: usize = 128 * 1024;

/// What a prompt can still take.
struct PromptBudget {
    images: usize,
    text_bytes: usize,
}

impl Attachments {
    /// Loads the attachments of a prompt, the newest first. For an attachment that does not fit, or cannot be read, the
    /// model gets only the name.
    pub(crate) async fn load_into_prompt(&self, messages: &mut [Message]) {
        let mut budget = PromptBudget { images: MAX_IMAGES, text_bytes: MAX_TEXT_BYTES };
        for message in messages.iter_mut().rev() {
            let Message::User(input) = message else { continue };
            for file in input.attachments.iter_mut().rev() {
                match self.load(file, &mut budget).await {
                    Ok(content) => file.content = content,
                    Err(error) => {
                        let error = Chain(&error);
                        tracing::warn!(attachment_id = %file.id, %error, "attachment cannot be loaded into the prompt");
                    }
                }
            }
        }
    }

    async fn load(&self, file: &AttachedFile, budget: &mut PromptBudget) -> StorageResult<FileContent> {
        if preview::image_format(&file.mime_type).is_some() {
            if budget.images == 0 {
                return Ok(FileContent::Omitted);
            }
            budget.images -= 1;
            return self.image_url(file).await.map(FileContent::Image);
        }
        if content_check::is_text(&file.mime_type) && budget.text_bytes > 0 {
            let text = self.text(file.id, budget.text_bytes).await?;
            budget.text_bytes -= text.len().min(budget.text_bytes);
            return Ok(FileContent::Text(text));
        }
        Ok(FileContent::Omitted)
    }

    /// Returns the image as a `data:` URL.
    async fn image_url(&self, file: &AttachedFile) -> StorageResult<Arc<str>> {
        let id = file.id;
        let (bytes, size) = self.storage.read(id, StoredObject::Content, 0, MAX_IMAGE_BYTES).await?;
        let (bytes, mime_type) = match size <= MAX_IMAGE_BYTES {
            true => (bytes, file.mime_type.as_str()),
            false => (self.storage.read_all(id, StoredObject::Preview).await?, preview::MIME_TYPE),
        };
        let mut url = format!("data:{mime_type};base64,");
        BASE64.encode_string(&bytes, &mut url);
        Ok(url.into())
    }

    /// Returns the start of a text, with a note if it is cut off.
    async fn text(&self, id: AttachmentId, max_bytes: usize) -> StorageResult<Arc<str>> {
        let max_bytes = MAX_FILE_TEXT_BYTES.min(max_bytes as u64);
        let (bytes, size) = self.storage.read(id, StoredObject::Content, 0, max_bytes).await?;
        let is_complete = bytes.len() as u64 == size;
        let text = content_check::decode(&bytes, is_complete);
        Ok(if is_complete { text.into() } else { format!("{text}\n[cut off: the file has {size} bytes]").into() })
    }
}
