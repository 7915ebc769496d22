//! Makes the bytes of a body valid UTF-8.

use bytes::{Bytes, BytesMut};

/// The byte order mark.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The bytes of a body between two reads. What is not UTF-8 becomes U+FFFD. A byte order mark at the start is dropped.
#[derive(Default)]
pub(super) struct Utf8Input {
    /// The beginning of a character that the last read ended in the middle of.
    tail: Bytes,
    has_begun: bool,
}

impl Utf8Input {
    pub(super) fn push(&mut self, bytes: Bytes) -> Bytes {
        let mut bytes = if self.tail.is_empty() {
            bytes
        } else {
            let mut joined = BytesMut::from(&std::mem::take(&mut self.tail)[..]);
            joined.extend_from_slice(&bytes);
            joined.freeze()
        };
        if !self.has_begun && !bytes.is_empty() {
            if bytes.len() < BOM.len() && BOM.starts_with(&bytes) {
                self.tail = bytes;
                return Bytes::new();
            }
            self.has_begun = true;
            if bytes.starts_with(BOM) {
                bytes = bytes.slice(BOM.len()..);
            }
        }
        let mut valid: Option<BytesMut> = None;
        while let Err(error) = std::str::from_utf8(&bytes) {
            let end = error.valid_up_to();
            let Some(length) = error.error_len() else {
                self.tail = bytes.split_off(end);
                break;
            };
            let out = valid.get_or_insert_default();
            out.extend_from_slice(&bytes.split_to(end));
            out.extend_from_slice("\u{fffd}".as_bytes());
            bytes = bytes.split_off(length);
        }
        match valid {
            None => bytes,
            Some(mut out) => {
                out.extend_from_slice(&bytes);
                out.freeze()
            }
        }
    }

    /// Returns what is left at the end of the body.
    pub(super) fn finish(&mut self) -> Bytes {
        let tail = std::mem::take(&mut self.tail);
        if tail.is_empty() { tail } else { Bytes::from_static("\u{fffd}".as_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_gives_the_same_text() {
        let body: &[u8] = b"\xef\xbb\xbfa\xff\xc3\xa4\xe2\x82b\xf0\x9f\xa5\x9b\xc3";
        let expected = String::from_utf8_lossy(&body[3..]);
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let mut input = Utf8Input::default();
                let mut out = Vec::new();
                for part in [&body[..first], &body[first..second], &body[second..]] {
                    out.extend_from_slice(&input.push(Bytes::copy_from_slice(part)));
                }
                out.extend_from_slice(&input.finish());
                assert_eq!(String::from_utf8(out).unwrap(), expected, "{first} {second}");
            }
        }
    }
}
