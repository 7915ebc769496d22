//! Attachments: files that go with a message.

use super::Extra;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A file that goes with a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Attachment {
    /// Any file.
    File(FileAttachment),
    /// An image, which has a preview.
    Image(ImageAttachment),
}

impl Attachment {
    /// What every attachment has.
    pub fn file(&self) -> &FileAttachment {
        match self {
            Self::File(file) | Self::Image(ImageAttachment { file, .. }) => file,
        }
    }
}

/// What every attachment has.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileAttachment {
    /// Id of the attachment.
    pub id: Uuid,
    /// Name of the file.
    pub name: String,
    /// Its media type.
    pub mime_type: String,
    /// How to upload it; absent once that has been done.
    pub upload_descriptor: Option<UploadDescriptor>,
    /// The thread whose message it goes with.
    pub thread_id: Option<Uuid>,
    /// What an integration keeps with it; never sent to a client.
    pub metadata: Option<Map<String, Value>>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageAttachment {
    /// Where a small version of it is.
    pub preview_url: String,
    /// What every attachment has.
    #[serde(flatten)]
    pub file: FileAttachment,
}

/// How to upload a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadDescriptor {
    /// Where to.
    pub url: String,
    /// Method of the request.
    pub method: UploadMethod,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Method of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum UploadMethod {
    /// A form.
    Post,
    /// The bytes as the body.
    Put,
}
