//! Reads a file or its preview; deletes an attachment.

use super::storage::{StoredObject, found};
use super::{Attachments, BASE64, preview, storage_error};
use crate::error::Error;
use base64::Engine;
use threadline_schema::attachments::{AttachmentsReadParams, PIECE_BYTES, Piece};
use threadline_schema::error::Chain;
use threadline_schema::ids::{AttachmentId, UserId};

/// A piece of a file.
pub(crate) struct ContentPiece {
    /// How many bytes it has.
    pub(crate) bytes: u64,
    /// The bytes.
    pub(crate) base64: String,
}

impl Attachments {
    /// Reads a piece of a file, or of its preview.
    pub(crate) async fn read(&self, user_id: UserId, params: AttachmentsReadParams) -> Result<Piece, Error> {
        let row = self.store.attachment_get(user_id, params.attachment_id).await;
        let row = self.ensure_uploaded(row?).await?;
        let (object, mime_type) = match params.preview {
            false => (StoredObject::Content, row.mime_type),
            true if preview::image_format(&row.mime_type).is_some() => {
                (StoredObject::Preview, preview::MIME_TYPE.to_owned())
            }
            true => return Err(Error::invalid("This attachment is not an image, so it has no preview.")),
        };
        let read = self.storage.read(row.id, object, params.offset, PIECE_BYTES as u64).await;
        let (bytes, size) = read.map_err(storage_error)?;
        Ok(Piece { name: row.name, mime_type, size, data: BASE64.encode(bytes) })
    }

    /// Reads a piece of a file, for an archive. Returns it and the size of the file; `None` if the storage has lost the
    /// file.
    ///
    /// # Errors
    /// `ATTACHMENT_NOT_FOUND`, `SERVICE_UNAVAILABLE`.
    pub(crate) async fn read_content(
        &self,
        user_id: UserId,
        id: AttachmentId,
        offset: u64,
    ) -> Result<Option<(ContentPiece, u64)>, Error> {
        let row = self.store.attachment_get(user_id, id).await?;
        let read = self.storage.read(row.id, StoredObject::Content, offset, PIECE_BYTES as u64).await;
        let Some((bytes, size)) = found(read).map_err(storage_error)? else { return Ok(None) };
        Ok(Some((ContentPiece { bytes: bytes.len() as u64, base64: BASE64.encode(bytes) }, size)))
    }

    /// Deletes the bytes of an attachment whose row is gone. An upload that is under way may leave some, which the
    /// cleanup job deletes.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE`.
    pub(crate) async fn erase_bytes(&self, id: AttachmentId) -> Result<(), Error> {
        self.storage.delete_all(id).await.map_err(storage_error)
    }

    /// Deletes an attachment that belongs to no message.
    pub(crate) async fn delete(&self, user_id: UserId, id: AttachmentId) -> Result<(), Error> {
        self.store.attachment_delete(user_id, id).await?;
        if let Err(error) = self.storage.delete_all(id).await {
            // The attachment is deleted for its user. The cleanup job deletes the bytes later.
            tracing::warn!(attachment_id = %id, error = %Chain(&error), "bytes of an attachment cannot be deleted yet");
        }
        Ok(())
    }
}
