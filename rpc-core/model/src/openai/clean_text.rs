//! Turns the pieces of a text into valid UTF-8.

use std::borrow::Cow;

/// What stands for bytes that are not text.
const REPLACEMENT: char = '\u{fffd}';

/// Joins the pieces of one text. The first half of a surrogate pair is held back until the piece with the other half.
#[derive(Default)]
pub(super) struct TextJoiner {
    /// The first half that ended the last piece.
    high: Option<u16>,
}

impl TextJoiner {
    /// Returns a piece as text. Half a surrogate pair without the other half, and all else that is not UTF-8, becomes
    /// U+FFFD, and so does U+0000, which PostgreSQL does not store.
    pub(super) fn push<'a>(&mut self, piece: Cow<'a, [u8]>) -> Cow<'a, str> {
        let has_nul = memchr::memchr(0, &piece).is_some();
        if self.high.is_none() && !has_nul {
            match piece {
                Cow::Borrowed(bytes) => {
                    if let Ok(text) = std::str::from_utf8(bytes) {
                        return Cow::Borrowed(text);
                    }
                    return Cow::Owned(self.join(bytes));
                }
                Cow::Owned(bytes) => {
                    return Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|error| self.join(error.as_bytes())));
                }
            }
        }
        Cow::Owned(self.join(&piece))
    }

    /// Returns what is left at the end of the text.
    pub(super) fn finish(&mut self) -> Option<char> {
        self.high.take().map(|_| REPLACEMENT)
    }

    fn join(&mut self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len() + 4);
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some(unit) = surrogate(rest) {
                rest = rest.get(3..).unwrap_or_default();
                match (self.high.take(), unit) {
                    (Some(high), 0xdc00..) => text.extend(char::decode_utf16([high, unit]).flatten()),
                    (high, 0xdc00..) => text.extend(high.map(|_| REPLACEMENT).into_iter().chain([REPLACEMENT])),
                    (high, _) => {
                        text.extend(high.map(|_| REPLACEMENT));
                        self.high = Some(unit);
                    }
                }
                continue;
            }
            text.extend(self.finish());
            let (valid, skipped) = match std::str::from_utf8(rest) {
                Ok(valid) => (valid, rest.len()),
                Err(error) if error.valid_up_to() > 0 => {
                    let valid = rest.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok());
                    (valid.unwrap_or_default(), error.valid_up_to())
                }
                Err(error) => {
                    text.push(REPLACEMENT);
                    ("", error.error_len().unwrap_or(rest.len()))
                }
            };
            text.extend(valid.chars().map(|char| if char == '\0' { REPLACEMENT } else { char }));
            rest = rest.get(skipped..).unwrap_or_default();
        }
        text
    }
}

/// Returns the half of a surrogate pair at the start of `bytes`, in the form in which serde_json returns it: three
/// bytes, as UTF-8 would encode it if it were allowed to.
fn surrogate(bytes: &[u8]) -> Option<u16> {
    match bytes {
        [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..] => {
            Some(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f))
        }
        _ => None,
    }
}

/// Returns whether a character shows nothing.
pub(super) fn is_blank_char(char: char) -> bool {
    char.is_whitespace() || char.is_control() || matches!(char, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// Returns text without the blank lines at its start. The indentation of the first line that is not blank stays.
pub(super) fn without_blank_lines(text: &str) -> &str {
    let words = text.trim_start_matches(is_blank_char);
    let blanks = text.len() - words.len();
    let start = text.get(..blanks).and_then(|blanks| blanks.rfind(['\n', '\r'])).map_or(0, |at| at + 1);
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(pieces: &[&[u8]]) -> String {
        let mut joiner = TextJoiner::default();
        let mut text: String = pieces.iter().map(|piece| joiner.push(Cow::Borrowed(piece)).into_owned()).collect();
        text.extend(joiner.finish());
        text
    }

    #[test]
    fn halves_of_surrogate_pairs_are_joined() {
        let (high, low): (&[u8], &[u8]) = (b"\xed\xa0\xbd", b"\xed\xb8\x80");
        assert_eq!(join(&[high, low]), "😀");
        assert_eq!(join(&[b"a", high, b"", low, b"b"]), "a😀b");
        assert_eq!(join(&[&[high, low].concat()]), "😀");
        assert_eq!(join(&[high, b"a"]), "\u{fffd}a");
        assert_eq!(join(&[low, high]), "\u{fffd}\u{fffd}");
        assert_eq!(join(&[high, high, low]), "\u{fffd}😀");
        assert_eq!(join(&[b"\xff\xe2\x82", b"a\0"]), "\u{fffd}\u{fffd}a\u{fffd}");
    }

    #[test]
    fn only_blank_lines_are_dropped() {
        for (text, expected) in [("\n\n  a", "  a"), (" a", " a"), ("a\n", "a\n"), ("\r\n \na", "a"), ("", "")] {
            assert_eq!(without_blank_lines(text), expected);
        }
    }
}
