//! `attachments.*`

use crate::attachments::{Attachments, CapabilityPurpose};
use crate::error::Error;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use std::sync::Arc;
use threadline_schema::attachments::{
    AttachmentRef, AttachmentsCreate, AttachmentsCreateParams, AttachmentsDelete, AttachmentsRead,
    AttachmentsReadParams, AttachmentsWrite, AttachmentsWriteParams, Piece, Upload,
};
use threadline_schema::chatkit::Attachment;
use threadline_schema::threads::Done;

/// Handlers of `attachments.*`.
pub(crate) struct AttachmentMethods {
    pub(crate) attachments: Arc<Attachments>,
}

impl AttachmentMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(AttachmentsCreate, Self::create)
            .command(AttachmentsDelete, Self::delete)
            .command(AttachmentsWrite, Self::write)
            .command(AttachmentsRead, Self::read);
    }

    async fn create(self: Arc<Self>, call: CallContext, params: AttachmentsCreateParams) -> Result<Attachment, Error> {
        self.attachments.create(call.user_id()?, params).await
    }

    async fn delete(self: Arc<Self>, call: CallContext, params: AttachmentRef) -> Result<Done, Error> {
        self.attachments.delete(call.user_id()?, params.attachment_id).await?;
        Ok(Done {})
    }

    async fn write(self: Arc<Self>, call: CallContext, params: AttachmentsWriteParams) -> Result<Upload, Error> {
        let user_id = call.user_for_attachment(params.attachment_id, CapabilityPurpose::Upload)?;
        self.attachments.write(user_id, params).await
    }

    async fn read(self: Arc<Self>, call: CallContext, params: AttachmentsReadParams) -> Result<Piece, Error> {
        let user_id = match params.preview {
            true => call.user_for_attachment(params.attachment_id, CapabilityPurpose::Preview)?,
            // There are no capabilities for the file itself.
            false => call.user_id()?,
        };
        self.attachments.read(user_id, params).await
    }
}
