//! Creates an attachment: checks name, type and size of the file, and returns how to upload it.

use super::capability::{CapabilityPurpose, PREVIEW_LIFETIME, UPLOAD_LIFETIME};
use super::{Attachments, preview, storage_error};
use crate::config::AttachmentsConfig;
use crate::error::Error;
use crate::page;
use crate::store::rows::AttachmentRow;
use crate::store::{Limit, StoreError};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use std::collections::BTreeMap;
use threadline_schema::ErrorCode;
use threadline_schema::attachments::AttachmentsCreateParams;
use threadline_schema::chatkit::{Attachment, FileAttachment, ImageAttachment, UploadDescriptor, UploadMethod};
use threadline_schema::ids::{AttachmentId, UserId};

/// Maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 255;
/// Maximum size of an image, in bytes: it is decoded as a whole.
pub(super) const MAX_IMAGE_BYTES: u64 = 32 << 20;

impl Attachments {
    /// Creates an attachment. Its bytes are uploaded afterwards.
    pub(crate) async fn create(&self, user_id: UserId, params: AttachmentsCreateParams) -> Result<Attachment, Error> {
        let name = check_file_name(params.name)?;
        let mime_type = self.allowed_types().announced(&name, params.mime_type.as_deref())?;
        let row = AttachmentRow {
            id: self.clock.new_id(),
            user_id,
            thread_id: None,
            name,
            size: check_size(&self.config, &mime_type, params.size)?,
            mime_type,
            ready: false,
            upload_id: None,
            received: 0,
            created_at: self.clock.now(),
        };
        let row = self.store.attachment_create(row, self.config.user_bytes).await.map_err(|error| match error {
            StoreError::LimitReached(Limit::AttachmentBytes) => {
                let max = self.config.user_bytes.unwrap_or_default();
                let message =
                    format!("Your attachments may have {max} bytes in total. Delete a session that has some.");
                Error::new(ErrorCode::PayloadTooLarge, message)
            }
            other => other.into(),
        })?;
        let upload_descriptor = self.upload_descriptor(&row).await?;
        self.to_wire(&row, Some(upload_descriptor))
    }

    async fn upload_descriptor(&self, row: &AttachmentRow) -> Result<UploadDescriptor, Error> {
        let now = self.clock.now().utc();
        let bucket_url = self.storage.upload_url(row.id, (&row.mime_type, row.size), UPLOAD_LIFETIME, now).await;
        let url = match bucket_url.map_err(storage_error)? {
            Some(url) => url,
            None => self.signed_url(
                (&self.config.upload_url, CapabilityPurpose::Upload),
                row.user_id,
                row.id,
                self.clock.now().utc() + UPLOAD_LIFETIME,
            )?,
        };
        let headers = BTreeMap::from([("content-type".to_owned(), row.mime_type.clone())]);
        Ok(UploadDescriptor { url, method: UploadMethod::Put, headers })
    }

    pub(super) fn to_wire(
        &self,
        row: &AttachmentRow,
        upload_descriptor: Option<UploadDescriptor>,
    ) -> Result<Attachment, Error> {
        let file = FileAttachment {
            id: row.id,
            name: row.name.clone(),
            mime_type: row.mime_type.clone(),
            upload_descriptor,
            thread_id: row.thread_id,
            metadata: None,
            extra: Default::default(),
        };
        if preview::image_format(&row.mime_type).is_none() {
            return Ok(Attachment::File(file));
        }
        let preview_url = self.preview_url(row.user_id, row.id)?;
        Ok(Attachment::Image(ImageAttachment { preview_url, file }))
    }

    /// Returns a URL of a preview. Those of one hour are the same, so that browsers find them in their caches.
    pub(super) fn preview_url(&self, user_id: UserId, id: AttachmentId) -> Result<String, Error> {
        let now = self.clock.now().utc();
        let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now) + TimeDelta::hours(1);
        let template = (self.config.preview_url.as_str(), CapabilityPurpose::Preview);
        self.signed_url(template, user_id, id, hour + PREVIEW_LIFETIME)
    }

    fn signed_url(
        &self,
        (template, purpose): (&str, CapabilityPurpose),
        user_id: UserId,
        id: AttachmentId,
        expires_at: DateTime<Utc>,
    ) -> Result<String, Error> {
        let token = self.signer.sign(user_id, id, purpose, expires_at).map_err(Error::internal)?;
        Ok(format!("{}?token={token}", template.replace("{attachment_id}", &id.to_string())))
    }
}

/// Returns the name without directories, which some clients send.
fn check_file_name(name: String) -> Result<String, Error> {
    let name = page::text("name", name, 10 * MAX_NAME_CHARS)?;
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if name.is_empty() || name == "." || name == ".." || name.chars().any(char::is_control) {
        return Err(Error::invalid("`name` is not the name of a file: it needs printable characters on one line."));
    }
    page::text("name", name.to_owned(), MAX_NAME_CHARS)
}

fn check_size(config: &AttachmentsConfig, mime_type: &str, size: u64) -> Result<i64, Error> {
    let max = match preview::image_format(mime_type) {
        Some(_) => config.max_bytes.min(MAX_IMAGE_BYTES),
        None => config.max_bytes,
    };
    if size == 0 {
        return Err(Error::invalid("`size` is 0: an empty file cannot be attached."));
    }
    if size > max {
        let message = format!("The file has {size} bytes; at most {max} are allowed.");
        return Err(Error::new(ErrorCode::PayloadTooLarge, message));
    }
    i64::try_from(size).map_err(Error::internal)
}
