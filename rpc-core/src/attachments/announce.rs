//! How an attachment begins: its name, type and size are checked, and its user is told how to upload it.

use super::capability::{Purpose, UPLOAD_LIFETIME};
use super::{Attachments, preview, unreadable};
use crate::config::AttachmentsConfig;
use crate::core::Core;
use crate::error::Error;
use crate::page;
use crate::store::rows::AttachmentRow;
use crate::store::{Limit, StoreError};
use std::collections::BTreeMap;
use threadline_schema::ErrorCode;
use threadline_schema::attachments::AttachmentsCreateParams;
use threadline_schema::chatkit::{Attachment, FileAttachment, ImageAttachment, UploadDescriptor, UploadMethod};
use threadline_schema::db::types::UtcTime;
use uuid::Uuid;

/// Characters of a name, at most.
const NAME_CHARS: usize = 255;
/// Characters of a media type, at most.
const MIME_TYPE_CHARS: usize = 127;
/// Bytes of an image, at most: it is decoded as a whole.
const IMAGE_BYTES: u64 = 32 << 20;

/// Announces a file, and says how to upload it.
pub(crate) async fn create(core: &Core, user_id: Uuid, params: AttachmentsCreateParams) -> Result<Attachment, Error> {
    let attachments = &core.attachments;
    let name = file_name(params.name)?;
    let mime_type = mime_type(&attachments.config, &params.mime_type)?;
    let size = size(&attachments.config, &mime_type, params.size)?;
    let row = AttachmentRow {
        id: Uuid::now_v7().into(),
        user_id: user_id.into(),
        thread_id: None,
        name,
        mime_type,
        size,
        ready: false,
        upload_id: None,
        received: 0,
        created_at: UtcTime::now(),
    };
    let row = core.store.attachment_create(row, attachments.config.user_bytes).await.map_err(|error| match error {
        StoreError::LimitReached(Limit::AttachmentBytes) => {
            let most = attachments.config.user_bytes.unwrap_or_default();
            let message = format!("Your attachments may come to {most} bytes in all. Delete a session that has some.");
            Error::new(ErrorCode::PayloadTooLarge, message)
        }
        other => other.into(),
    })?;
    let descriptor = upload_descriptor(attachments, &row).await?;
    describe(attachments, &row, Some(descriptor))
}

async fn upload_descriptor(attachments: &Attachments, row: &AttachmentRow) -> Result<UploadDescriptor, Error> {
    let id = row.id.0;
    let own = attachments.storage.upload_url(id, &row.mime_type, UPLOAD_LIFETIME).await.map_err(unreadable)?;
    let url = match own {
        Some(url) => url,
        None => {
            let token = attachments.capabilities.issue(row.user_id.0, id, Purpose::Upload, Some(UPLOAD_LIFETIME));
            let token = token.map_err(Error::internal)?;
            signed_url(&attachments.config.upload_url, id, &token)
        }
    };
    let headers = BTreeMap::from([("content-type".to_owned(), row.mime_type.clone())]);
    Ok(UploadDescriptor { url, method: UploadMethod::Put, headers })
}

pub(super) fn describe(
    attachments: &Attachments,
    row: &AttachmentRow,
    upload_descriptor: Option<UploadDescriptor>,
) -> Result<Attachment, Error> {
    let file = FileAttachment {
        id: row.id.0,
        name: row.name.clone(),
        mime_type: row.mime_type.clone(),
        upload_descriptor,
        thread_id: row.thread_id.map(|id| id.0),
        metadata: None,
        extra: Default::default(),
    };
    if preview::format_of(&row.mime_type).is_none() {
        return Ok(Attachment::File(file));
    }
    // It stands in the stored message, so it works as long as the attachment is there.
    let token = attachments.capabilities.issue(row.user_id.0, row.id.0, Purpose::Preview, None);
    let token = token.map_err(Error::internal)?;
    let preview_url = signed_url(&attachments.config.preview_url, row.id.0, &token);
    Ok(Attachment::Image(ImageAttachment { preview_url, file }))
}

fn signed_url(template: &str, id: Uuid, token: &str) -> String {
    format!("{}?token={token}", template.replace("{attachment_id}", &id.to_string()))
}

/// The name alone: some clients send the path.
fn file_name(name: String) -> Result<String, Error> {
    let name = page::text("name", name, 10 * NAME_CHARS)?;
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if name.is_empty() || name == "." || name == ".." || name.chars().any(char::is_control) {
        return Err(Error::invalid("`name` is no name of a file: it needs printable characters on one line."));
    }
    page::text("name", name.to_owned(), NAME_CHARS)
}

/// The bare type, in lower case, if it is among those that are taken.
fn mime_type(config: &AttachmentsConfig, mime_type: &str) -> Result<String, Error> {
    let bare = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.bytes().all(fits)
    };
    let is_type = bare.split_once('/').is_some_and(|(kind, rest)| is_token(kind) && is_token(rest));
    if !is_type || bare.len() > MIME_TYPE_CHARS {
        return Err(Error::invalid("`mime_type` is no media type such as image/png."));
    }
    let takes = |pattern: &String| match pattern.strip_suffix('*') {
        Some(start) => bare.starts_with(start),
        None => *pattern == bare,
    };
    if config.types.iter().any(takes) {
        return Ok(bare);
    }
    let types = config.types.join(", ");
    Err(Error::invalid(format!("This server takes no attachments of type {bare}; it takes {types}.")))
}

fn size(config: &AttachmentsConfig, mime_type: &str, size: u64) -> Result<i64, Error> {
    let most = match preview::format_of(mime_type) {
        Some(_) => config.max_bytes.min(IMAGE_BYTES),
        None => config.max_bytes,
    };
    if size == 0 {
        return Err(Error::invalid("`size` is 0: an empty file has nothing to say."));
    }
    if size > most {
        let message = format!("The file has {size} bytes; at most {most} are allowed.");
        return Err(Error::new(ErrorCode::PayloadTooLarge, message));
    }
    i64::try_from(size).map_err(Error::internal)
}
