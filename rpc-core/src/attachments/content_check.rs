//! Checks that a file has the type that it was announced with.

use super::storage::{Storage, StorageResult, StoredObject};
use bytes::Bytes;
use threadline_schema::ids::AttachmentId;

/// How many bytes at the start of a file are enough to detect its type.
pub(super) const HEAD_BYTES: usize = 8 * 1024;
/// Bytes per read.
const READ_BYTES: u64 = 1 << 20;

/// Whether files of this type are text.
pub(super) fn is_text(mime_type: &str) -> bool {
    let plain = mime_type.starts_with("text/") || mime_type.ends_with("+json") || mime_type.ends_with("+xml");
    plain || matches!(mime_type, "application/json" | "application/xml" | "application/yaml" | "application/toml")
}

/// Returns why the content does not fit the type; `None` if it does. The text is for the client.
pub(super) async fn find_mismatch(
    storage: &Storage,
    id: AttachmentId,
    mime_type: &str,
    size: u64,
) -> StorageResult<Option<String>> {
    if !is_text(mime_type) {
        let (head, _) = storage.read(id, StoredObject::Content, 0, HEAD_BYTES as u64).await?;
        return Ok(head_mismatch(&head, mime_type));
    }
    let mut text = Utf8Validator::default();
    let mut offset = 0;
    while offset < size {
        let (bytes, _) = storage.read(id, StoredObject::Content, offset, READ_BYTES).await?;
        if bytes.is_empty() || !text.push(&bytes) {
            return Ok(Some(format!("The file is not UTF-8 text, which {mime_type} must be here.")));
        }
        offset += bytes.len() as u64;
    }
    Ok((!text.is_complete()).then(|| "The file ends in the middle of a character.".to_owned()))
}

fn head_mismatch(head: &Bytes, mime_type: &str) -> Option<String> {
    let detected = infer::get(head).map(|kind| kind.mime_type());
    match detected {
        Some(detected) if detected == mime_type => None,
        Some(detected) => Some(format!("The file was announced as {mime_type} and looks like {detected}.")),
        None if infer::is_mime_supported(mime_type) => {
            Some(format!("The file was announced as {mime_type} and does not look like it."))
        }
        // The type has no signature, and the file has none of another type.
        None => None,
    }
}

/// Validates UTF-8 that arrives in chunks.
#[derive(Debug, Default)]
struct Utf8Validator {
    /// The start of a character at the end of the last chunk.
    incomplete: Vec<u8>,
}

impl Utf8Validator {
    /// Returns whether the text is still valid with this chunk.
    fn push(&mut self, chunk: &[u8]) -> bool {
        let mut bytes = std::mem::take(&mut self.incomplete);
        bytes.extend_from_slice(chunk);
        // Text has no NUL; most binary formats have.
        if bytes.contains(&0) {
            return false;
        }
        match std::str::from_utf8(&bytes) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                self.incomplete = bytes.split_off(error.valid_up_to());
                true
            }
            Err(_) => false,
        }
    }

    fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_split_anywhere() {
        let text = "aä€🥛\n".as_bytes();
        for cut in 0..=text.len() {
            let mut utf8 = Utf8Validator::default();
            let (one, two) = text.split_at(cut);
            assert!(utf8.push(one) && utf8.push(two) && utf8.is_complete(), "{cut}");
        }
        let mut utf8 = Utf8Validator::default();
        assert!(utf8.push(&text[..2]) && !utf8.is_complete(), "half a character at the end");
        for bad in [b"\xff".as_slice(), b"a\0b", b"\xc3\x28", b"\xed\xa0\x80"] {
            assert!(!Utf8Validator::default().push(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_file_must_look_like_its_type() {
        let fits = |head: &'static [u8], mime_type| head_mismatch(&Bytes::from_static(head), mime_type).is_none();
        assert!(fits(b"%PDF-1.7\n", "application/pdf"));
        assert!(!fits(b"MZ\x90\0", "application/pdf"));
        assert!(!fits(b"<html>", "application/pdf"));
        assert!(!fits(b"%PDF-1.7\n", "application/zip"));
        assert!(fits(b"whatever this is", "application/x-own-format"));
        assert!(!fits(b"%PDF-1.7\n", "application/x-own-format"), "it has the signature of another type");
    }
}
