//! Operations that respond with a file. It comes from the core in chunks, one call each.

use super::errors::{invalid_result, translate};
use crate::response::{Response, ResponseResult};
use crate::rule::Rule;
use crate::upstream::{Call, CallError, Upstream};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::to_raw_value;
use std::fmt::Display;
use std::sync::Arc;
use threadline_schema::RpcError;
use threadline_schema::attachments::{AttachmentsReadParams, Piece};
use threadline_schema::call::{Caller, ResponseMeta};

/// The content security policy of files: a browser that shows one as a page runs nothing in it.
const FILE_POLICY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'");
/// How long browsers cache previews. A preview never changes.
const ONE_DAY: HeaderValue = HeaderValue::from_static("private, max-age=86400");

/// Bytes that are percent-encoded in a file name: all that RFC 8187 does not allow.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Responds with a file. The first chunk decides status and headers; the others are read while the body is sent.
pub(super) async fn download(rule: &Rule, upstream: &Arc<dyn Upstream>, call: Call) -> ResponseResult {
    let Call { method, params, caller } = call;
    let invalid = |error: &dyn Display| invalid_result(&caller.request_id, method, error);
    let params: AttachmentsReadParams = serde_json::from_str(params.get()).map_err(|error| invalid(&error))?;
    let is_preview = params.preview;
    let reader = FileReader { upstream: upstream.clone(), method, params, caller: caller.clone() };
    let (first, meta) = reader.read(0).await.map_err(|error| translate(rule, error))?;
    let bytes = BASE64.decode(&first.data).map_err(|error| invalid(&error))?;
    let response = Response::file(safe_content_type(&first.mime_type), reader.into_stream(bytes.into(), first.size))
        .with_header(CONTENT_LENGTH, first.size.into())
        .with_header(CONTENT_SECURITY_POLICY, FILE_POLICY);
    let kind = if is_preview { "inline" } else { "attachment" };
    let response = match HeaderValue::from_str(&content_disposition(kind, &first.name)) {
        Ok(value) => response.with_header(CONTENT_DISPOSITION, value),
        Err(_) => response,
    };
    let response = if is_preview { response.with_header(CACHE_CONTROL, ONE_DAY) } else { response };
    Ok(response.with_meta(meta))
}

/// Reads one file from the core.
struct FileReader {
    upstream: Arc<dyn Upstream>,
    method: &'static str,
    params: AttachmentsReadParams,
    caller: Caller,
}

impl FileReader {
    /// Reads the chunk that starts at `offset`.
    async fn read(&self, offset: u64) -> Result<(Piece, ResponseMeta), CallError> {
        let params = AttachmentsReadParams { offset, ..self.params.clone() };
        let params = to_raw_value(&params).map_err(|error| self.invalid_result(&error))?;
        let result = self.upstream.call(Call { method: self.method, params, caller: self.caller.clone() }).await?;
        let chunk = serde_json::from_str(result.result.get()).map_err(|error| self.invalid_result(&error))?;
        Ok((chunk, result.meta))
    }

    fn invalid_result(&self, error: &dyn Display) -> RpcError {
        invalid_result(&self.caller.request_id, self.method, error)
    }

    /// Returns the first chunk, and then the others; each is read when the client has taken the one before. An error
    /// ends the stream early, and the client sees it because `Content-Length` is not reached.
    fn into_stream(self, first: Bytes, size: u64) -> BoxStream<'static, Bytes> {
        let start = first.len() as u64;
        let others = stream::unfold((self, start), move |(reader, offset)| async move {
            if offset >= size {
                return None;
            }
            let chunk = match reader.read(offset).await {
                Ok((chunk, _)) => BASE64.decode(chunk.data).map_err(|error| error.to_string()),
                Err(error) => Err(error.error.to_string()),
            };
            match chunk {
                Ok(bytes) if !bytes.is_empty() => {
                    let next = offset + bytes.len() as u64;
                    Some((Bytes::from(bytes), (reader, next)))
                }
                Ok(_) => None,
                Err(error) => {
                    tracing::warn!(request_id = %reader.caller.request_id, error, "download stopped early");
                    None
                }
            }
        });
        stream::once(std::future::ready(first)).chain(others).boxed()
    }
}

/// Returns the content type to send for a media type. No browser may show a file as a page.
fn safe_content_type(mime_type: &str) -> HeaderValue {
    HeaderValue::from_static(match mime_type {
        "image/png" => "image/png",
        "image/jpeg" => "image/jpeg",
        "image/gif" => "image/gif",
        "image/webp" => "image/webp",
        "application/pdf" => "application/pdf",
        "application/json" => "application/json",
        // In UTF-8, or as Excel saves it.
        "text/csv" => "text/plain",
        text if text.starts_with("text/") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}

/// Returns `Content-Disposition` with the name twice: in ASCII, and in full for clients that know RFC 8187.
fn content_disposition(kind: &str, name: &str) -> String {
    let to_ascii = |letter: char| if letter.is_ascii_alphanumeric() || "-._ ".contains(letter) { letter } else { '_' };
    let ascii_name: String = name.chars().map(to_ascii).collect();
    format!("{kind}; filename=\"{ascii_name}\"; filename*=UTF-8''{}", utf8_percent_encode(name, NOT_ATTR_CHAR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_sent_as_a_page() {
        for mime_type in ["text/html", "text/xml", "text/javascript", "text/css", "text/markdown"] {
            assert_eq!(safe_content_type(mime_type), "text/plain; charset=utf-8", "{mime_type}");
        }
        for mime_type in ["image/svg+xml", "application/xhtml+xml", "application/javascript", "", "x"] {
            assert_eq!(safe_content_type(mime_type), "application/octet-stream", "{mime_type}");
        }
        assert_eq!(safe_content_type("image/png"), "image/png");
    }

    #[test]
    fn a_name_is_escaped_in_the_header() {
        let header = content_disposition("attachment", "a\"; x=\r\nSet-Cookie: ü.txt");
        let expected = "attachment; filename=\"a__ x___Set-Cookie_ _.txt\"; \
                        filename*=UTF-8''a%22%3B%20x%3D%0D%0ASet-Cookie%3A%20%C3%BC.txt";
        assert_eq!(header, expected);
        assert!(HeaderValue::from_str(&header).is_ok());
    }
}
