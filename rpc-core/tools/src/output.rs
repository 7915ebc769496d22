//! What a tool returns.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use std::sync::Arc;

/// What a tool returns.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutput {
    /// The result as JSON.
    pub value: Value,
    /// Images for models that can see.
    pub images: Vec<ToolImage>,
}

/// An image in a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolImage {
    /// Media type.
    pub mime_type: &'static str,
    /// The image as a `data:` URL.
    pub data_url: Arc<str>,
}

impl From<Value> for ToolOutput {
    fn from(value: Value) -> Self {
        Self { value, images: Vec::new() }
    }
}

impl ToolImage {
    /// Maximum number of images of one result.
    pub const MAX_PER_RESULT: usize = 4;
    /// Maximum size of an image, in bytes. Model servers accept about 5 MB.
    pub const MAX_BYTES: usize = 3 << 20;
    /// What model servers accept.
    const MIME_TYPES: [&'static str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

    /// Whether models can see images of this media type.
    pub fn is_supported(mime_type: &str) -> bool {
        supported_type(mime_type).is_some()
    }

    /// Creates an image from base64 in either alphabet, or from a `data:` URL; `None` if it is too large, or something
    /// that models cannot see.
    pub fn new(mime_type: &str, base64: &str) -> Option<Self> {
        let url = base64.trim_start().strip_prefix("data:").and_then(|url| url.split_once(";base64,"));
        let (named_type, base64) = url.unwrap_or(("", base64));
        let mime_type = supported_type(mime_type).or_else(|| supported_type(named_type))?;
        if base64.len() > Self::MAX_BYTES / 3 * 4 + 4 {
            return None;
        }
        let base64: String = base64.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(&base64).or_else(|_| STANDARD_NO_PAD.decode(&base64));
        let bytes = bytes.or_else(|_| URL_SAFE_NO_PAD.decode(base64.trim_end_matches('='))).ok()?;
        Self::from_bytes(mime_type, &bytes)
    }

    /// Creates an image; `None` if it is empty, too large, or something that models cannot see.
    pub fn from_bytes(mime_type: &str, bytes: &[u8]) -> Option<Self> {
        let mime_type = supported_type(mime_type)?;
        if bytes.is_empty() || bytes.len() > Self::MAX_BYTES {
            return None;
        }
        let mut data_url = format!("data:{mime_type};base64,");
        STANDARD.encode_string(bytes, &mut data_url);
        Some(Self { mime_type, data_url: data_url.into() })
    }
}

fn supported_type(mime_type: &str) -> Option<&'static str> {
    let mime_type = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mime_type = if mime_type == "image/jpg" { "image/jpeg" } else { &mime_type };
    ToolImage::MIME_TYPES.into_iter().find(|supported| *supported == mime_type)
}
