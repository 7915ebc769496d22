//! Attachments: files that belong to messages.

use super::Extra;
use crate::ids::{AttachmentId, ThreadId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

/// A file that belongs to a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Attachment {
    /// Any file.
    File(FileAttachment),
    /// An image, which has a preview.
    Image(ImageAttachment),
}

impl Attachment {
    /// Returns the members that every attachment has.
    pub fn file(&self) -> &FileAttachment {
        match self {
            Self::File(file) | Self::Image(ImageAttachment { file, .. }) => file,
        }
    }
}

/// Members that every attachment has.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileAttachment {
    /// Id of the attachment.
    pub id: AttachmentId,
    /// Name of the file.
    pub name: String,
    /// Media type of the file.
    pub mime_type: String,
    /// How to upload the file; absent after the upload.
    pub upload_descriptor: Option<UploadDescriptor>,
    /// Thread of the message that has the attachment.
    pub thread_id: Option<ThreadId>,
    /// Metadata of an integration; never sent to a client.
    pub metadata: Option<Map<String, Value>>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageAttachment {
    /// URL of a preview.
    pub preview_url: String,
    /// Members that every attachment has.
    #[serde(flatten)]
    pub file: FileAttachment,
}

/// How to upload a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadDescriptor {
    /// URL.
    pub url: String,
    /// HTTP method.
    pub method: UploadMethod,
    /// HTTP headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// HTTP method of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum UploadMethod {
    /// The file is a part of a form.
    Post,
    /// The file is the body.
    Put,
}
