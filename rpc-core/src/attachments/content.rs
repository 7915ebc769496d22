//! Whether a file is what it was announced as.

use super::storage::{Object, Storage, Stored};
use bytes::Bytes;
use uuid::Uuid;

/// Bytes by which the kind of a file is known.
const HEAD_BYTES: usize = 8 * 1024;
/// Bytes that are read at a time.
const READ_BYTES: u64 = 1 << 20;

/// Whether files of this type are text.
pub(crate) fn is_text(mime_type: &str) -> bool {
    let plain = mime_type.starts_with("text/") || mime_type.ends_with("+json") || mime_type.ends_with("+xml");
    plain || matches!(mime_type, "application/json" | "application/xml" | "application/yaml" | "application/toml")
}

/// What speaks against the content of a file being of its type; `None` when nothing does.
pub(super) async fn objection(storage: &Storage, id: Uuid, mime_type: &str, size: u64) -> Stored<Option<String>> {
    if !is_text(mime_type) {
        let (head, _) = storage.read(id, Object::Content, 0, HEAD_BYTES as u64).await?;
        return Ok(objection_to_head(&head, mime_type));
    }
    let mut text = Utf8::default();
    let mut offset = 0;
    while offset < size {
        let (bytes, _) = storage.read(id, Object::Content, offset, READ_BYTES).await?;
        if bytes.is_empty() || !text.go_on(&bytes) {
            return Ok(Some(format!("The file is no text in UTF-8, as {mime_type} has to be here.")));
        }
        offset += bytes.len() as u64;
    }
    Ok((!text.is_whole()).then(|| "The file ends in the middle of a character.".to_owned()))
}

fn objection_to_head(head: &Bytes, mime_type: &str) -> Option<String> {
    let known = infer::get(head).map(|kind| kind.mime_type());
    match known {
        Some(known) if known == mime_type => None,
        Some(known) => Some(format!("The file was announced as {mime_type} and looks like {known}.")),
        None if infer::is_mime_supported(mime_type) => {
            Some(format!("The file was announced as {mime_type} and does not look like it."))
        }
        // A type without marks of its own, and nothing that speaks for another.
        None => None,
    }
}

/// Text that comes in pieces.
#[derive(Debug, Default)]
struct Utf8 {
    /// A character that began at the end of the piece before.
    open: Vec<u8>,
}

impl Utf8 {
    /// Whether the text goes on with this piece.
    fn go_on(&mut self, piece: &[u8]) -> bool {
        let mut bytes = std::mem::take(&mut self.open);
        bytes.extend_from_slice(piece);
        // No keyboard makes a NUL; it is what tells most other files from text.
        if bytes.contains(&0) {
            return false;
        }
        match std::str::from_utf8(&bytes) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                self.open = bytes.split_off(error.valid_up_to());
                true
            }
            Err(_) => false,
        }
    }

    fn is_whole(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_may_be_cut_anywhere() {
        let text = "aä€🥛\n".as_bytes();
        for cut in 0..=text.len() {
            let mut utf8 = Utf8::default();
            let (one, two) = text.split_at(cut);
            assert!(utf8.go_on(one) && utf8.go_on(two) && utf8.is_whole(), "{cut}");
        }
        let mut utf8 = Utf8::default();
        assert!(utf8.go_on(&text[..2]) && !utf8.is_whole(), "half a character at the end");
        for bad in [b"\xff".as_slice(), b"a\0b", b"\xc3\x28", b"\xed\xa0\x80"] {
            assert!(!Utf8::default().go_on(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_file_must_look_like_its_type() {
        let looks = |head: &'static [u8], mime_type| objection_to_head(&Bytes::from_static(head), mime_type).is_none();
        assert!(looks(b"%PDF-1.7\n", "application/pdf"));
        assert!(!looks(b"MZ\x90\0", "application/pdf"));
        assert!(!looks(b"<html>", "application/pdf"));
        assert!(!looks(b"%PDF-1.7\n", "application/zip"));
        assert!(looks(b"whatever this is", "application/x-own-format"));
        assert!(!looks(b"%PDF-1.7\n", "application/x-own-format"), "it is something else");
    }
}
