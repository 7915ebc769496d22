//! `attachments.*`

use crate::attachments::CapabilityPurpose;
use crate::error::Error;
use crate::rpc::context::Cx;
use crate::rpc::registry::Registry;
use threadline_schema::attachments::{
    AttachmentRef, AttachmentsCreate, AttachmentsCreateParams, AttachmentsDelete, AttachmentsRead,
    AttachmentsReadParams, AttachmentsWrite, AttachmentsWriteParams, Piece, Upload,
};
use threadline_schema::chatkit::Attachment;
use threadline_schema::threads::Done;

pub(super) fn register(registry: &mut Registry) {
    registry
        .method::<AttachmentsCreate, _, _>(create)
        .method::<AttachmentsDelete, _, _>(delete)
        .method::<AttachmentsWrite, _, _>(write)
        .method::<AttachmentsRead, _, _>(read);
}

async fn create(cx: Cx, params: AttachmentsCreateParams) -> Result<Attachment, Error> {
    cx.core.attachments.create(cx.user_id()?.into(), params).await
}

async fn delete(cx: Cx, params: AttachmentRef) -> Result<Done, Error> {
    cx.core.attachments.delete(cx.user_id()?.into(), params.attachment_id.into()).await?;
    Ok(Done {})
}

async fn write(cx: Cx, params: AttachmentsWriteParams) -> Result<Upload, Error> {
    let user_id = cx.user_for(params.attachment_id, CapabilityPurpose::Upload)?;
    cx.core.attachments.write(user_id.into(), params).await
}

async fn read(cx: Cx, params: AttachmentsReadParams) -> Result<Piece, Error> {
    let user_id = match params.preview {
        true => cx.user_for(params.attachment_id, CapabilityPurpose::Preview)?,
        // There are no capabilities for the file itself.
        false => cx.user_id()?,
    };
    cx.core.attachments.read(user_id.into(), params).await
}
