//! Files that go with messages: announced, uploaded, looked at, and read again.
//!
//! What is known of them is in the database, and their bytes are in a storage beside it that takes no part in
//! transactions. So a row goes first, and its bytes after it (`sweep.rs`); bytes without a row are nobody's.

mod capability;
mod content;
mod material;
mod preview;
mod storage;
mod sweep;
mod upload;

pub(crate) use capability::{Capabilities, Grant, Purpose};
pub(crate) use material::load;
pub(crate) use storage::Storage;
pub(crate) use sweep::sweep;
pub(crate) use upload::write;

use crate::config::{AttachmentsConfig, CoreConfig};
use crate::core::Core;
use crate::error::Error;
use crate::page;
use crate::store::StoreError;
use crate::store::rows::AttachmentRow;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use capability::UPLOAD_LIFETIME;
use std::collections::BTreeMap;
use storage::Object;
use threadline_schema::attachments::{AttachmentsCreateParams, AttachmentsReadParams, PIECE_BYTES, Piece};
use threadline_schema::chatkit::{
    Attachment, FileAttachment, ImageAttachment, UploadDescriptor, UploadMethod, UserMessageInput,
};
use threadline_schema::db::types::{Guid, UtcTime};
use threadline_schema::{ErrorCode, RpcError};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Characters of a name, at most.
const NAME_CHARS: usize = 255;
/// Characters of a media type, at most.
const MIME_TYPE_CHARS: usize = 127;
/// Attachments of one message, at most.
const PER_MESSAGE: usize = 10;
/// Bytes of an image, at most: it is decoded as a whole.
const IMAGE_BYTES: u64 = 32 << 20;
/// Images that are decoded at a time.
const DECODED_AT_ONCE: usize = 2;

/// What attachments need.
pub(crate) struct Attachments {
    pub(crate) config: AttachmentsConfig,
    pub(crate) capabilities: Capabilities,
    storage: Storage,
    decoding: Semaphore,
}

/// Why attachments cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentsError {
    /// The settings of the bucket.
    #[error("ATTACHMENTS_URL, or the AWS_* variables beside it, cannot be used: {0}")]
    Storage(#[from] object_store::Error),
    /// The key.
    #[error("no key to sign with could be derived: {0}")]
    Key(#[from] jsonwebtoken::errors::Error),
}

impl Attachments {
    /// Attachments as configured. The storage is not asked yet.
    ///
    /// # Errors
    /// When the settings of a bucket contradict each other.
    pub(crate) fn new(config: &CoreConfig) -> Result<Self, AttachmentsError> {
        Ok(Self {
            capabilities: Capabilities::new(&config.auth)?,
            storage: Storage::new(&config.attachments.location)?,
            decoding: Semaphore::new(DECODED_AT_ONCE),
            config: config.attachments.clone(),
        })
    }
}

/// Announces a file, and says how to upload it.
pub(crate) async fn create(core: &Core, user_id: Uuid, params: AttachmentsCreateParams) -> Result<Attachment, Error> {
    let attachments = &core.attachments;
    let name = file_name(params.name)?;
    let mime_type = mime_type(&attachments.config, &params.mime_type)?;
    let size = size(&attachments.config, &mime_type, params.size)?;
    let row = AttachmentRow {
        id: Guid::new(),
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
        StoreError::Limit => {
            let most = attachments.config.user_bytes.unwrap_or_default();
            let message = format!("Your attachments may come to {most} bytes in all. Delete a session that has some.");
            Error::new(ErrorCode::PayloadTooLarge, message)
        }
        // The token was good a moment ago, and the account is gone.
        StoreError::NotFound => Error::unauthorized(),
        other => other.into(),
    })?;
    let descriptor = upload_descriptor(attachments, &row).await?;
    describe(attachments, &row, Some(descriptor))
}

/// Deletes a file that no message has taken.
pub(crate) async fn delete(core: &Core, user_id: Uuid, id: Uuid) -> Result<(), Error> {
    core.store.attachment_delete(user_id.into(), id.into()).await.map_err(Error::of_attachment)?;
    if let Err(error) = core.attachments.storage.drop_all(id).await {
        // It is gone for everybody already; its bytes are dropped later.
        tracing::warn!(attachment_id = %id, %error, "the bytes of an attachment could not be dropped yet");
    }
    Ok(())
}

/// A piece of a file, or of its preview.
pub(crate) async fn read(core: &Core, user_id: Uuid, params: AttachmentsReadParams) -> Result<Piece, Error> {
    let row = core.store.attachment_get(user_id.into(), params.attachment_id.into()).await;
    let row = upload::arrived(core, row.map_err(Error::of_attachment)?).await?;
    let (object, mime_type) = match params.preview {
        false => (Object::Content, row.mime_type),
        true if preview::format_of(&row.mime_type).is_some() => (Object::Preview, preview::MIME_TYPE.to_owned()),
        true => return Err(Error::invalid("This attachment is no image, so it has no preview.")),
    };
    let read = core.attachments.storage.read(row.id.0, object, params.offset, PIECE_BYTES as u64).await;
    let (bytes, size) = read.map_err(unreadable)?;
    Ok(Piece { name: row.name, mime_type, size, data: BASE64.encode(bytes) })
}

/// The attachments that a message names: its user's, each once, and uploaded.
pub(crate) async fn of_message(
    core: &Core,
    user_id: Uuid,
    input: &UserMessageInput,
) -> Result<Vec<AttachmentRow>, Error> {
    let named = &input.attachments;
    if named.is_empty() {
        return Ok(Vec::new());
    }
    if named.len() > PER_MESSAGE {
        return Err(Error::invalid(format!(
            "A message takes {PER_MESSAGE} attachments; this one has {}.",
            named.len()
        )));
    }
    let mut ids: Vec<Guid> = Vec::with_capacity(named.len());
    for id in named {
        let id = id.parse::<Uuid>().map_err(|_| Error::invalid("`attachments` takes ids of attachments."))?;
        if ids.contains(&Guid(id)) {
            return Err(Error::invalid(format!("The attachment {id} is named more than once.")));
        }
        ids.push(id.into());
    }
    let rows = core.store.attachments_get(user_id.into(), ids).await.map_err(Error::of_attachment)?;
    let mut ready = Vec::with_capacity(rows.len());
    for row in rows {
        ready.push(upload::arrived(core, row).await?);
    }
    Ok(ready)
}

/// The attachments of a message, as its item has them.
pub(crate) fn in_thread(core: &Core, rows: &[AttachmentRow], thread_id: Uuid) -> Result<Vec<Attachment>, Error> {
    let taken = rows.iter().map(|row| AttachmentRow { thread_id: Some(thread_id.into()), ..row.clone() });
    taken.map(|row| describe(&core.attachments, &row, None)).collect()
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

fn describe(
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

/// What is said when the storage fails.
fn unreadable(error: object_store::Error) -> Error {
    let log = format!("the storage for attachments failed: {error}");
    let public = "The storage for attachments cannot be reached right now. Please try again in a moment.";
    Error::unavailable(public, Some(log))
}

/// What is said to somebody whose capability is not good.
pub(crate) fn not_signed() -> RpcError {
    let message = "This `token` is not whole, or has expired. Announce the attachment again to get another.";
    RpcError::new(ErrorCode::Unauthorized, message)
}
