//! Receives the bytes of an attachment: pieces through the gateway, or one object that the client puts into the bucket.
//! The content is checked before a message can use it.

use super::preview::{self, PreviewError};
use super::storage::StoredObject;
use super::{Attachments, BASE64, content_check, storage_error};
use crate::error::Error;
use crate::store::rows::AttachmentRow;
use crate::store::to_unsigned;
use base64::Engine;
use threadline_runtime::GaugeGuard;
use threadline_schema::ErrorCode;
use threadline_schema::attachments::{AttachmentsWriteParams, PIECE_BYTES, Upload};
use threadline_schema::ids::{AttachmentId, UploadId, UserId};

impl Attachments {
    /// Stores a piece of a file. After the last piece, joins the pieces and checks the file.
    pub(crate) async fn write(&self, user_id: UserId, params: AttachmentsWriteParams) -> Result<Upload, Error> {
        let AttachmentsWriteParams { attachment_id, upload_id, offset, data, last, token: _ } = params;
        let row = self.store.attachment_get(user_id, attachment_id).await?;
        if row.ready {
            return Err(Error::new(ErrorCode::Conflict, "The attachment is uploaded already."));
        }
        let bytes = BASE64.decode(data).map_err(|_| Error::invalid("`data` is not base64."))?;
        let received = self.check_piece(&row, offset, bytes.len(), last)?;
        let upload_id = match upload_id {
            Some(upload_id) => {
                let continues = row.upload_id == Some(upload_id) && u64::try_from(row.received).ok() == Some(offset);
                if !continues {
                    return Err(superseded());
                }
                upload_id
            }
            None if offset == 0 => {
                let upload_id = self.clock.new_id::<UploadId>();
                self.store.upload_begin(row.id, upload_id).await?;
                self.storage.delete_pieces(row.id).await.map_err(storage_error)?;
                upload_id
            }
            None => return Err(Error::invalid("`offset` is not 0, so `upload_id` is needed.")),
        };
        if !bytes.is_empty() {
            let (start, length) = (to_i64(offset)?, to_i64(bytes.len() as u64)?);
            self.storage.put_piece(row.id, upload_id, offset, bytes).await.map_err(storage_error)?;
            let advanced = self.store.upload_advance(row.id, upload_id, start, length).await;
            advanced?;
        }
        if last {
            self.finish(&row, upload_id, received).await?;
        }
        Ok(Upload { attachment_id, upload_id, received, ready: last })
    }

    /// Returns the attachment if it is uploaded. If the client has put it into the bucket, it is accepted and checked
    /// now.
    pub(super) async fn ensure_uploaded(&self, row: AttachmentRow) -> Result<AttachmentRow, Error> {
        if row.ready {
            return Ok(row);
        }
        let Some(bytes) = self.storage.uploaded_size(row.id).await.map_err(storage_error)? else {
            let message = format!("The attachment {} has not been uploaded yet.", row.id);
            return Err(Error::new(ErrorCode::Conflict, message));
        };
        let checked = match u64::try_from(row.size) == Ok(bytes) {
            true => {
                self.storage.accept_upload(row.id).await.map_err(storage_error)?;
                self.check_content(&row, None).await
            }
            false => Err(wrong_size(&row, bytes)),
        };
        if checked.is_ok() || checked.as_ref().is_err_and(|error| error.public().code == ErrorCode::InvalidRequest) {
            self.storage.delete_upload(row.id).await.map_err(storage_error)?;
        }
        checked
    }

    /// Checks the size of a piece. Returns how many bytes have arrived with it.
    fn check_piece(&self, row: &AttachmentRow, offset: u64, bytes: usize, last: bool) -> Result<u64, Error> {
        let min = self.min_piece_bytes;
        if bytes > PIECE_BYTES {
            let message = format!("A piece has at most {PIECE_BYTES} bytes; this one has {bytes}.");
            return Err(Error::new(ErrorCode::PayloadTooLarge, message));
        }
        if bytes < min && !last {
            return Err(Error::invalid(format!("A piece that is not the last has at least {min} bytes.")));
        }
        let received = offset.saturating_add(bytes as u64);
        if u64::try_from(row.size).is_ok_and(|size| received > size) {
            let message = format!("The file was announced with {} bytes, and more were sent.", row.size);
            return Err(Error::new(ErrorCode::PayloadTooLarge, message));
        }
        Ok(received)
    }

    async fn finish(&self, row: &AttachmentRow, upload_id: UploadId, received: u64) -> Result<(), Error> {
        let checked = match u64::try_from(row.size) == Ok(received) {
            true => {
                self.storage.join_pieces(row.id, upload_id, received).await.map_err(storage_error)?;
                self.check_content(row, Some(upload_id)).await.map(drop)
            }
            false => Err(wrong_size(row, received)),
        };
        // Also after an error: the next attempt sends all pieces again.
        self.storage.delete_pieces(row.id).await.map_err(storage_error)?;
        checked
    }

    /// Checks the content of a complete file and marks the attachment as ready. A file of another type is deleted.
    /// `upload_id` is the upload that has brought it; the file of a newer one is not marked.
    async fn check_content(&self, row: &AttachmentRow, upload_id: Option<UploadId>) -> Result<AttachmentRow, Error> {
        let checked = match self.allowed_types().uploaded(&self.storage, row).await.map_err(storage_error)? {
            Ok(mime_type) => self.find_mismatch(row, &mime_type).await?.map_or(Ok(mime_type), Err),
            Err(refusal) => Err(refusal.public().message.clone()),
        };
        let outcome = if checked.is_ok() { "ready" } else { "refused" };
        metrics::counter!("threadline_attachments_total", "outcome" => outcome).increment(1);
        match checked {
            Ok(mime_type) => Ok(self.store.attachment_ready(row.id, upload_id, mime_type).await?),
            Err(mismatch) => {
                self.storage.delete_content(row.id).await.map_err(storage_error)?;
                Err(Error::invalid(mismatch))
            }
        }
    }

    /// Returns why the content does not fit the type; `None` if it does. Stores the preview of an image.
    async fn find_mismatch(&self, row: &AttachmentRow, mime_type: &str) -> Result<Option<String>, Error> {
        Ok(match preview::image_format(mime_type) {
            Some(format) => match self.make_preview(row.id, format).await? {
                Ok(preview) => {
                    self.storage.put_preview(row.id, preview).await.map_err(storage_error)?;
                    None
                }
                Err(error) => Some(format!("The file is taken for {mime_type}, and {error}.")),
            },
            None => {
                let size = to_unsigned(row.size);
                let mismatch = content_check::find_mismatch(&self.storage, row.id, mime_type, size).await;
                mismatch.map_err(storage_error)?
            }
        })
    }

    async fn make_preview(
        &self,
        id: AttachmentId,
        format: image::ImageFormat,
    ) -> Result<Result<Vec<u8>, PreviewError>, Error> {
        let Ok(place) = self.decode_queue.clone().try_acquire_owned() else {
            return Err(Error::unavailable(
                "Too many images are being checked. Please upload the file again in a moment.",
            ));
        };
        let permit = self.decode_permits.clone().acquire_owned().await.map_err(Error::internal)?;
        let bytes = self.storage.read_all(id, StoredObject::Content).await.map_err(storage_error)?;
        // The permit goes along: if the client leaves, the decoding still continues, and counts.
        let decode = move || {
            let _decoding = GaugeGuard::new(metrics::gauge!("threadline_image_decodes"));
            let made = preview::make(&bytes, format);
            drop((permit, place));
            made
        };
        tokio::task::spawn_blocking(decode).await.map_err(Error::internal)
    }
}

fn wrong_size(row: &AttachmentRow, bytes: u64) -> Error {
    Error::invalid(format!("The file was announced with {} bytes, and {bytes} were sent.", row.size))
}

fn superseded() -> Error {
    let message = "The upload is not at this `offset`, or a newer upload has started. Start a new upload.";
    Error::new(ErrorCode::Conflict, message)
}

fn to_i64(bytes: u64) -> Result<i64, Error> {
    i64::try_from(bytes).map_err(Error::internal)
}
