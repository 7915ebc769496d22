//! `attachments.*`: files that go with messages.

use crate::chatkit::Attachment;
use crate::threads::Done;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Bytes of a file that one call carries, at most: as base64 it fits into a body of the usual 1 MiB.
pub const PIECE_BYTES: usize = 512 * 1024;

/// Bytes of a file that one call carries where a body may have so many.
pub fn piece_bytes(body_bytes: usize) -> usize {
    // What stands around the piece: its names, an id or two, and the token.
    const AROUND: usize = 768;
    (body_bytes.saturating_sub(AROUND) / 4 * 3).clamp(1, PIECE_BYTES)
}

/// Params of `attachments.create`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentsCreateParams {
    /// Name of the file, 1 to 255 characters; what looks like a directory is cut off.
    pub name: String,
    /// Bytes of the file: what is uploaded must have exactly as many.
    pub size: u64,
    /// Media type of the file. The content is checked against it.
    pub mime_type: String,
}

/// Params that name an attachment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentRef {
    /// The attachment.
    pub attachment_id: Uuid,
}

/// Params of `attachments.write`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentsWriteParams {
    /// The attachment.
    pub attachment_id: Uuid,
    /// What the upload's URL carries as `token`. Without it the caller must be the attachment's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The upload that this piece goes on with, as the answer to its first piece named it. Absent: a new upload begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<Uuid>,
    /// Bytes of the upload so far; 0 for a new one.
    #[serde(default)]
    pub offset: u64,
    /// The piece, in base64: 524288 bytes at most.
    pub data: String,
    /// Whether this is the last piece.
    #[serde(default)]
    pub last: bool,
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Upload {
    /// The attachment.
    pub attachment_id: Uuid,
    /// Names the upload, for its next piece.
    pub upload_id: Uuid,
    /// Bytes so far.
    pub received: u64,
    /// Whether it is whole, was looked at, and can go with a message.
    pub ready: bool,
}

/// Params of `attachments.read`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentsReadParams {
    /// The attachment.
    pub attachment_id: Uuid,
    /// What the preview's URL carries as `token`. Without it the caller must be the attachment's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether the small version of an image is wanted in place of the file.
    #[serde(default)]
    pub preview: bool,
    /// Where to begin.
    #[serde(default)]
    pub offset: u64,
}

/// A piece of a file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Piece {
    /// Name of the file.
    pub name: String,
    /// Media type of the bytes.
    pub mime_type: String,
    /// Bytes of the whole.
    pub size: u64,
    /// The bytes from `offset` on, in base64: 524288 at most.
    pub data: String,
}

crate::methods! {
    /// Announce a file that is to go with a message.
    ///
    /// The answer says in `upload_descriptor` how to upload it; an image has a `preview_url` beside that, which works once
    /// it is uploaded. Then name its `id` among the `attachments` of a message. What no message has taken after a day is
    /// deleted. Sizes, types, and what all attachments of a user may come to are limited.
    AttachmentsCreate = "attachments.create" (User): AttachmentsCreateParams => Attachment;
    /// Delete a file that no message has taken.
    AttachmentsDelete = "attachments.delete" (User): AttachmentRef => Done;
    /// Upload a file, piece by piece and in order.
    ///
    /// What `PUT` to the upload's URL becomes. A call without `upload_id` begins anew, and what was uploaded before is
    /// dropped. After the last piece the file is looked at: one of another length, or that is not what it was announced
    /// as, is refused and dropped, and may be uploaded again.
    AttachmentsWrite = "attachments.write" (Signed): AttachmentsWriteParams => Upload;
    /// Read a file, or the preview of an image, piece by piece.
    AttachmentsRead = "attachments.read" (Signed): AttachmentsReadParams => Piece;
}
