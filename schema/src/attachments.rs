//! `attachments.*`: files that belong to messages.

use crate::chatkit::Attachment;
use crate::ids::{AttachmentId, UploadId};
use crate::threads::Done;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum size of a piece, in bytes. As base64 it fits into a request body of the default 1 MiB.
pub const PIECE_BYTES: usize = 512 * 1024;

/// Returns the maximum size of a piece for this limit of request bodies.
pub fn piece_bytes(body_bytes: usize) -> usize {
    // The other members of the request: names, ids and the token.
    const ENVELOPE_BYTES: usize = 768;
    (body_bytes.saturating_sub(ENVELOPE_BYTES) / 4 * 3).clamp(1, PIECE_BYTES)
}

/// Returns the minimum size of a piece that is not the last, for this limit of request bodies. Each piece is an object
/// of its own until all have arrived, so there must not be too many.
pub fn min_piece_bytes(body_bytes: usize) -> usize {
    (piece_bytes(body_bytes) / 8).max(1)
}

/// The name of a file, after directories that are removed: characters without control characters, and not only dots.
const FILE_NAME: &str = concat!(
    r"^([^\u0000]*[/\\])?",
    r"[^/\\\u0000-\u001f\u007f-\u009f]*[^/\\\s.\u0000-\u001f\u007f-\u009f][^/\\\u0000-\u001f\u007f-\u009f]*$"
);

/// Params of `attachments.create`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentsCreateParams {
    /// Name of the file, 1 to 255 characters. Directories are removed.
    #[schemars(length(min = 1), regex(pattern = FILE_NAME))]
    pub name: String,
    /// Size of the file in bytes. The upload must have exactly this size.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub size: u64,
    /// Media type of the file. The content must fit it. Empty, absent or `application/octet-stream`: the extension of
    /// the name decides, or the content.
    #[serde(default)]
    pub mime_type: Option<String>,
}

/// Params of methods that act on one attachment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentRef {
    /// Id of the attachment.
    pub attachment_id: AttachmentId,
}

/// Params of `attachments.write`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentsWriteParams {
    /// Id of the attachment.
    pub attachment_id: AttachmentId,
    /// `token` of the upload URL. Without it, the caller must be the user of the attachment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Id of the upload, from the result of its first piece. Absent: a new upload starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<UploadId>,
    /// Bytes of the upload before this piece; 0 for a new upload.
    #[serde(default)]
    pub offset: u64,
    /// The piece, as base64: at most 524288 bytes.
    pub data: String,
    /// Whether this is the last piece.
    #[serde(default)]
    pub last: bool,
}

/// Progress of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Upload {
    /// Id of the attachment.
    pub attachment_id: AttachmentId,
    /// Id of the upload, for its next piece.
    pub upload_id: UploadId,
    /// Bytes that have arrived.
    pub received: u64,
    /// Whether the file is complete and checked, so that a message can name it.
    pub ready: bool,
}

/// Params of `attachments.read`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentsReadParams {
    /// Id of the attachment.
    pub attachment_id: AttachmentId,
    /// `token` of the preview URL. Without it, the caller must be the user of the attachment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether to read the preview of an image instead of the file.
    #[serde(default)]
    pub preview: bool,
    /// Position of the first byte.
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
    /// Size of the whole file in bytes.
    pub size: u64,
    /// The bytes from `offset` on, as base64: at most 524288.
    pub data: String,
}

crate::methods! {
    /// Create an attachment.
    ///
    /// `upload_descriptor` in the result says how to upload the file. An image also has a `preview_url`, which works
    /// after the upload. Then put the `id` into the `attachments` of a message. An attachment without a message is
    /// deleted after a day. The size of a file, the types, and the total size of a user's attachments are limited.
    AttachmentsCreate = "attachments.create" (User): AttachmentsCreateParams => Attachment;
    /// Delete an attachment that belongs to no message.
    AttachmentsDelete = "attachments.delete" (User): AttachmentRef => Done;
    /// Upload a file in pieces, in order.
    ///
    /// The gateway translates a `PUT` to the upload URL into these calls. A call without `upload_id` starts a new
    /// upload and deletes the pieces of the previous one. After the last piece the file is checked. A file of another
    /// size or type is refused and deleted; it can be uploaded again.
    AttachmentsWrite = "attachments.write" (Signed): AttachmentsWriteParams => Upload;
    /// Read a file, or the preview of an image, in pieces.
    AttachmentsRead = "attachments.read" (Signed): AttachmentsReadParams => Piece;
}
