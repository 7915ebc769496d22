//! What the model sees of attachments: images, and the text of files, as far as there is room for them.

use super::storage::{Object, Stored};
use super::{Attachments, BASE64, content, preview};
use crate::model::{AttachedFile, FileContent, Message};
use base64::Engine;
use std::sync::Arc;
use uuid::Uuid;

/// Images of a prompt, the newest first.
const IMAGES: usize = 8;
/// Bytes of an image, at most; of a larger one the model sees the preview. Servers take about 5 MB.
const IMAGE_BYTES: u64 = 3 << 20;
/// Bytes of the text of one file; what is behind is cut off.
const TEXT_BYTES: u64 = 32 * 1024;
/// Bytes of text of a prompt, the newest files first.
const ALL_TEXT_BYTES: usize = 128 * 1024;

/// Room that is left in a prompt.
struct Room {
    images: usize,
    text: usize,
}

/// Reads what the messages of a prompt have attached, the newest first. What does not fit, or cannot be read, stays
/// known by its name.
pub(crate) async fn load(attachments: &Attachments, messages: &mut [Message]) {
    let mut room = Room { images: IMAGES, text: ALL_TEXT_BYTES };
    for message in messages.iter_mut().rev() {
        let Message::User(said) = message else { continue };
        for file in said.attachments.iter_mut().rev() {
            match read(attachments, file, &mut room).await {
                Ok(read) => file.content = read,
                Err(error) => {
                    tracing::warn!(attachment_id = %file.id, %error, "the model is not shown an attachment");
                }
            }
        }
    }
}

async fn read(attachments: &Attachments, file: &AttachedFile, room: &mut Room) -> Stored<FileContent> {
    if preview::format_of(&file.mime_type).is_some() {
        if room.images == 0 {
            return Ok(FileContent::Omitted);
        }
        room.images -= 1;
        return image(attachments, file).await.map(FileContent::Image);
    }
    if content::is_text(&file.mime_type) && room.text > 0 {
        let text = text(attachments, file.id, room.text).await?;
        room.text -= text.len().min(room.text);
        return Ok(FileContent::Text(text));
    }
    Ok(FileContent::Omitted)
}

/// The image as a `data:` URL.
async fn image(attachments: &Attachments, file: &AttachedFile) -> Stored<Arc<str>> {
    let storage = &attachments.storage;
    let (bytes, size) = storage.read(file.id, Object::Content, 0, IMAGE_BYTES).await?;
    let (bytes, mime_type) = match size <= IMAGE_BYTES {
        true => (bytes, file.mime_type.as_str()),
        false => (storage.read_all(file.id, Object::Preview).await?, preview::MIME_TYPE),
    };
    let mut url = format!("data:{mime_type};base64,");
    BASE64.encode_string(&bytes, &mut url);
    Ok(url.into())
}

/// The beginning of a text, and a word about the rest.
async fn text(attachments: &Attachments, id: Uuid, room: usize) -> Stored<Arc<str>> {
    let most = TEXT_BYTES.min(room as u64);
    let (bytes, size) = attachments.storage.read(id, Object::Content, 0, most).await?;
    let whole = bytes.len() as u64 == size;
    // Cut between characters: the file was checked, so nothing else is lost.
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            bytes.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or_default()
        }
    };
    Ok(if whole { text.into() } else { format!("{text}\n[cut off: the file has {size} bytes]").into() })
}
