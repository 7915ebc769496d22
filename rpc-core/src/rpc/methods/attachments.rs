//! `attachments.*`

use crate::attachments::{self, Purpose};
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
    attachments::create(&cx.core, cx.user_id()?, params).await
}

async fn delete(cx: Cx, params: AttachmentRef) -> Result<Done, Error> {
    attachments::delete(&cx.core, cx.user_id()?, params.attachment_id).await?;
    Ok(Done {})
}

async fn write(cx: Cx, params: AttachmentsWriteParams) -> Result<Upload, Error> {
    let user_id = cx.user_for(params.attachment_id, Purpose::Upload)?;
    attachments::write(&cx.core, user_id, params).await
}

async fn read(cx: Cx, params: AttachmentsReadParams) -> Result<Piece, Error> {
    let user_id = match params.preview {
        true => cx.user_for(params.attachment_id, Purpose::Preview)?,
        // Nothing is signed for the file itself.
        false => cx.user_id()?,
    };
    attachments::read(&cx.core, user_id, params).await
}
