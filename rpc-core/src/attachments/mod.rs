//! Files that go with messages: announced, uploaded, looked at, and read again.
//!
//! What is known of them is in the database, and their bytes are in a storage beside it that takes no part in
//! transactions. So a row goes first, and its bytes after it (`sweep.rs`); bytes without a row are nobody's.

mod announce;
mod capability;
mod content;
mod material;
mod preview;
mod storage;
mod sweep;
mod upload;

pub(crate) use announce::create;
pub(crate) use capability::{Capabilities, Grant, Purpose};
pub(crate) use material::load;
pub(crate) use sweep::sweep;
pub(crate) use upload::write;

use crate::config::{AttachmentsConfig, CoreConfig};
use crate::core::Core;
use crate::error::Error;
use crate::store::rows::AttachmentRow;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::sync::Arc;
use storage::{Object, Storage};
use threadline_schema::attachments::{AttachmentsReadParams, PIECE_BYTES, Piece};
use threadline_schema::chatkit::{Attachment, UserMessageInput};
use threadline_schema::error::Chain;
use threadline_schema::ids::AttachmentId;
use threadline_schema::{ErrorCode, RpcError};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Attachments of one message, at most.
const PER_MESSAGE: usize = 10;
/// Images that are decoded at a time.
const DECODED_AT_ONCE: usize = 2;

/// What attachments need.
pub(crate) struct Attachments {
    pub(crate) config: AttachmentsConfig,
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) storage: Storage,
    decoding: Semaphore,
}

/// Why attachments cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentsError {
    /// The settings of the bucket.
    #[error("ATTACHMENTS_URL, or the AWS_* variables beside it, cannot be used: {0}")]
    Storage(#[from] object_store::Error),
    /// The storage itself.
    #[error("the storage cannot be used: {0}")]
    Away(#[source] object_store::Error),
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
            capabilities: Arc::new(Capabilities::new(&config.auth)?),
            storage: Storage::new(&config.attachments.location)?,
            decoding: Semaphore::new(DECODED_AT_ONCE),
            config: config.attachments.clone(),
        })
    }
}

/// Whether the storage that is configured would keep files. In words: what it is.
///
/// # Errors
/// When its settings contradict each other, and when it does not answer as it should.
pub async fn check_storage(config: &AttachmentsConfig) -> Result<&'static str, AttachmentsError> {
    let storage = Storage::new(&config.location)?;
    storage.check().await.map_err(AttachmentsError::Away)?;
    Ok(storage.kind())
}

/// Deletes a file that no message has taken.
pub(crate) async fn delete(core: &Core, user_id: Uuid, id: Uuid) -> Result<(), Error> {
    core.store.attachment_delete(user_id.into(), id.into()).await?;
    if let Err(error) = core.attachments.storage.drop_all(id).await {
        // It is gone for everybody already; its bytes are dropped later.
        tracing::warn!(attachment_id = %id, error = %Chain(&error), "the bytes of an attachment could not be dropped yet");
    }
    Ok(())
}

/// A piece of a file, or of its preview.
pub(crate) async fn read(core: &Core, user_id: Uuid, params: AttachmentsReadParams) -> Result<Piece, Error> {
    let row = core.store.attachment_get(user_id.into(), params.attachment_id.into()).await;
    let row = upload::arrived(core, row?).await?;
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
    let mut ids: Vec<AttachmentId> = Vec::with_capacity(named.len());
    for id in named {
        let id = id.parse::<Uuid>().map_err(|_| Error::invalid("`attachments` takes ids of attachments."))?;
        if ids.contains(&AttachmentId(id)) {
            return Err(Error::invalid(format!("The attachment {id} is named more than once.")));
        }
        ids.push(id.into());
    }
    let rows = core.store.attachments_get(user_id.into(), ids).await?;
    let mut ready = Vec::with_capacity(rows.len());
    for row in rows {
        ready.push(upload::arrived(core, row).await?);
    }
    Ok(ready)
}

/// The attachments of a message, as its item has them.
pub(crate) fn in_thread(core: &Core, rows: &[AttachmentRow], thread_id: Uuid) -> Result<Vec<Attachment>, Error> {
    let taken = rows.iter().map(|row| AttachmentRow { thread_id: Some(thread_id.into()), ..row.clone() });
    taken.map(|row| announce::describe(&core.attachments, &row, None)).collect()
}

/// What is said when the storage fails.
fn unreadable(error: object_store::Error) -> Error {
    let public = "The storage for attachments cannot be reached right now. Please try again in a moment.";
    Error::unavailable(public).because(error)
}

/// What is said to somebody whose capability is not good.
pub(crate) fn not_signed() -> RpcError {
    let message = "This `token` is not whole, or has expired. Announce the attachment again to get another.";
    RpcError::new(ErrorCode::Unauthorized, message)
}
