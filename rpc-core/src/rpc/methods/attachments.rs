//! `attachments.*`

use crate::attachments::{self, Purpose};
use crate::core::Core;
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
pub(super) struct AttachmentMethods {
    pub(super) core: Arc<Core>,
}

impl AttachmentMethods {
    pub(super) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(AttachmentsCreate, Self::create)
            .command(AttachmentsDelete, Self::delete)
            .command(AttachmentsWrite, Self::write)
            .command(AttachmentsRead, Self::read);
    }

    async fn create(self: Arc<Self>, call: CallContext, params: AttachmentsCreateParams) -> Result<Attachment, Error> {
        attachments::create(&self.core, call.user_id()?, params).await
    }

    async fn delete(self: Arc<Self>, call: CallContext, params: AttachmentRef) -> Result<Done, Error> {
        attachments::delete(&self.core, call.user_id()?, params.attachment_id).await?;
        Ok(Done {})
    }

    async fn write(self: Arc<Self>, call: CallContext, params: AttachmentsWriteParams) -> Result<Upload, Error> {
        let user_id = call.user_for_attachment(params.attachment_id, Purpose::Upload)?;
        attachments::write(&self.core, user_id, params).await
    }

    async fn read(self: Arc<Self>, call: CallContext, params: AttachmentsReadParams) -> Result<Piece, Error> {
        let user_id = match params.preview {
            true => call.user_for_attachment(params.attachment_id, Purpose::Preview)?,
            // Nothing is signed for the file itself.
            false => call.user_id()?,
        };
        attachments::read(&self.core, user_id, params).await
    }
}
