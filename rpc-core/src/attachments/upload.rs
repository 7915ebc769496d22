//! Uploads: pieces that come through the gateway, and files that clients have put into a bucket themselves. Either way
//! the file is looked at before anybody can use it.

use super::preview::{self, PreviewError};
use super::storage::Object;
use super::{BASE64, content, unreadable};
use crate::core::Core;
use crate::error::Error;
use crate::store::rows::AttachmentRow;
use base64::Engine;
use threadline_schema::ErrorCode;
use threadline_schema::attachments::{AttachmentsWriteParams, PIECE_BYTES, Upload, piece_bytes};
use threadline_schema::ids::UploadId;
use uuid::Uuid;

/// How much smaller than it could be a piece may be that is not the last: each is a file of its own until all are there.
const SMALLEST_PART: usize = 8;

/// Takes a piece; after the last one the file is put together and looked at.
pub(crate) async fn write(core: &Core, user_id: Uuid, params: AttachmentsWriteParams) -> Result<Upload, Error> {
    let AttachmentsWriteParams { attachment_id, upload_id, offset, data, last, token: _ } = params;
    let row = core.store.attachment_get(user_id.into(), attachment_id.into()).await?;
    if row.ready {
        return Err(Error::new(ErrorCode::Conflict, "The attachment is uploaded already."));
    }
    let bytes = BASE64.decode(data).map_err(|_| Error::invalid("`data` is no base64."))?;
    let received = check_piece(core, &row, offset, bytes.len(), last)?;
    let storage = &core.attachments.storage;
    let upload_id = match upload_id {
        Some(upload_id) => {
            let goes_on = row.upload_id == Some(upload_id.into()) && u64::try_from(row.received).ok() == Some(offset);
            if !goes_on {
                return Err(superseded());
            }
            upload_id
        }
        None if offset == 0 => {
            let upload_id = Uuid::now_v7();
            core.store.upload_begin(row.id, upload_id.into()).await?;
            storage.drop_pieces(row.id.0).await.map_err(unreadable)?;
            upload_id
        }
        None => return Err(Error::invalid("`offset` is not 0, so `upload_id` is needed.")),
    };
    if !bytes.is_empty() {
        let (at, length) = (signed(offset)?, signed(bytes.len() as u64)?);
        storage.put_piece(row.id.0, upload_id, offset, bytes).await.map_err(unreadable)?;
        let advanced = core.store.upload_advance(row.id, UploadId(upload_id), at, length).await;
        advanced?;
    }
    if last {
        finish(core, &row, upload_id, received).await?;
    }
    Ok(Upload { attachment_id, upload_id, received, ready: last })
}

/// The attachment, if it is uploaded: one that a client has put into a bucket is looked at now.
pub(super) async fn arrived(core: &Core, row: AttachmentRow) -> Result<AttachmentRow, Error> {
    if row.ready {
        return Ok(row);
    }
    let (id, storage) = (row.id.0, &core.attachments.storage);
    let Some(bytes) = storage.uploaded(id).await.map_err(unreadable)? else {
        let message = format!("The attachment {id} has not been uploaded yet.");
        return Err(Error::new(ErrorCode::Conflict, message));
    };
    let checked = match u64::try_from(row.size) == Ok(bytes) {
        true => {
            storage.accept(id).await.map_err(unreadable)?;
            look_at(core, &row).await
        }
        false => Err(other_length(&row, bytes)),
    };
    if checked.is_ok() || checked.as_ref().is_err_and(|error| error.public().code == ErrorCode::InvalidRequest) {
        storage.drop_upload(id).await.map_err(unreadable)?;
    }
    checked
}

/// How far the upload is with this piece.
fn check_piece(core: &Core, row: &AttachmentRow, offset: u64, bytes: usize, last: bool) -> Result<u64, Error> {
    let smallest = piece_bytes(core.config.limits.body_bytes) / SMALLEST_PART;
    if bytes > PIECE_BYTES {
        let message = format!("A piece has at most {PIECE_BYTES} bytes; this one has {bytes}.");
        return Err(Error::new(ErrorCode::PayloadTooLarge, message));
    }
    if bytes < smallest.max(1) && !last {
        return Err(Error::invalid(format!("A piece that is not the last has at least {} bytes.", smallest.max(1))));
    }
    let received = offset.saturating_add(bytes as u64);
    if u64::try_from(row.size).is_ok_and(|size| received > size) {
        let message = format!("The file was announced with {} bytes, and more were sent.", row.size);
        return Err(Error::new(ErrorCode::PayloadTooLarge, message));
    }
    Ok(received)
}

async fn finish(core: &Core, row: &AttachmentRow, upload_id: Uuid, received: u64) -> Result<(), Error> {
    let storage = &core.attachments.storage;
    let checked = match u64::try_from(row.size) == Ok(received) {
        true => {
            storage.join_pieces(row.id.0, upload_id, received).await.map_err(unreadable)?;
            look_at(core, row).await.map(drop)
        }
        false => Err(other_length(row, received)),
    };
    // Whatever came of it: another try sends all of them again.
    storage.drop_pieces(row.id.0).await.map_err(unreadable)?;
    checked
}

/// Looks at a file that is whole. One that is not what it was announced as is dropped.
async fn look_at(core: &Core, row: &AttachmentRow) -> Result<AttachmentRow, Error> {
    let (id, storage) = (row.id.0, &core.attachments.storage);
    let objection = match preview::format_of(&row.mime_type) {
        Some(format) => match make_preview(core, id, format).await? {
            Ok(preview) => {
                storage.put_preview(id, preview).await.map_err(unreadable)?;
                None
            }
            Err(error) => Some(format!("The file was announced as {}, and {error}.", row.mime_type)),
        },
        None => {
            let size = u64::try_from(row.size).unwrap_or_default();
            content::objection(storage, id, &row.mime_type, size).await.map_err(unreadable)?
        }
    };
    let outcome = if objection.is_none() { "ready" } else { "refused" };
    metrics::counter!("threadline_attachments_total", "outcome" => outcome).increment(1);
    match objection {
        None => core.store.attachment_ready(row.id).await.map_err(Error::from),
        Some(objection) => {
            storage.drop_content(id).await.map_err(unreadable)?;
            Err(Error::invalid(objection))
        }
    }
}

async fn make_preview(
    core: &Core,
    id: Uuid,
    format: image::ImageFormat,
) -> Result<Result<Vec<u8>, PreviewError>, Error> {
    let _turn = core.attachments.decoding.acquire().await.map_err(Error::internal)?;
    let bytes = core.attachments.storage.read_all(id, Object::Content).await.map_err(unreadable)?;
    tokio::task::spawn_blocking(move || preview::make(&bytes, format)).await.map_err(Error::internal)
}

fn other_length(row: &AttachmentRow, bytes: u64) -> Error {
    Error::invalid(format!("The file was announced with {} bytes, and {bytes} were sent.", row.size))
}

fn superseded() -> Error {
    let message = "The upload does not stand at this `offset`, or another one has begun. Begin anew.";
    Error::new(ErrorCode::Conflict, message)
}

fn signed(bytes: u64) -> Result<i64, Error> {
    i64::try_from(bytes).map_err(Error::internal)
}
