//! Checks that a file has the type that it was announced with.

use super::storage::{Storage, StorageResult, StoredObject};
use bytes::Bytes;
use encoding_rs::WINDOWS_1252;
use std::borrow::Cow;
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

/// Returns whether files of this type may be in Windows-1252 instead of UTF-8: Excel saves tables like that by default.
fn may_be_windows_1252(mime_type: &str) -> bool {
    mime_type == "text/csv"
}

/// Returns the text of a file that was checked, or of its start.
pub(super) fn decode(bytes: &[u8], is_complete: bool) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        // Cut off in the middle of a character.
        Err(error) if error.error_len().is_none() && !is_complete => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            String::from_utf8_lossy(valid)
        }
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
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
    let (mut is_utf8, mut is_windows_1252) = (true, may_be_windows_1252(mime_type));
    let mut offset = 0;
    while offset < size {
        let (bytes, _) = storage.read(id, StoredObject::Content, offset, READ_BYTES).await?;
        is_utf8 = is_utf8 && text.push(&bytes);
        is_windows_1252 = is_windows_1252 && has_no_control_characters(&bytes);
        if bytes.is_empty() || !(is_utf8 || is_windows_1252) {
            return Ok(Some(format!("The file is not UTF-8 text, which {mime_type} must be here.")));
        }
        offset += bytes.len() as u64;
    }
    let fits = is_windows_1252 || text.is_complete();
    Ok((!fits).then(|| "The file ends in the middle of a character.".to_owned()))
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

/// Whether a part of a file can be a table in Windows-1252, in which nearly all bytes are letters: binary formats have
/// control characters; a table has only tabs and the ends of lines.
fn has_no_control_characters(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| !byte.is_ascii_control() || matches!(byte, b'\t' | b'\r' | b'\n'))
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
    fn text_is_decoded_as_it_was_checked() {
        assert_eq!(decode("5 €\n".as_bytes(), true), "5 €\n");
        assert_eq!(decode(b"Gr\xf6\xdfe;5 \x80\r\n", true), "Größe;5 €\r\n");
        assert_eq!(decode(b"caf\xe9", true), "café", "the last letter could begin a character of UTF-8");
        assert_eq!(decode(&"caf€".as_bytes()[..5], false), "caf", "cut off in the middle of a character");
        assert!(has_no_control_characters(b"a\tb\xe4\x80\r\n") && !has_no_control_characters(b"a\x1a"));
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
