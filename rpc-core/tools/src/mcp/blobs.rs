//! Binary data in results, which says nothing to a model as text.

use serde_json::{Value, json};

/// Texts of at least this length that consist of base64 are binary data. Words have spaces.
const MIN_BLOB_BYTES: usize = 256;

/// Replaces binary data in a value by a note.
pub(super) fn shorten_blobs(value: &mut Value) {
    match value {
        Value::String(text) if is_blob(text) => {
            *value = json!(format!("[{} bytes of binary data]", decoded_bytes(text)))
        }
        Value::Array(list) => list.iter_mut().for_each(shorten_blobs),
        Value::Object(members) => members.values_mut().for_each(shorten_blobs),
        _ => {}
    }
}

/// Returns a note instead of binary data that cannot be shown.
pub(super) fn described_blob(what: &str, mime_type: &str, data: &str) -> String {
    let mime_type = if mime_type.is_empty() { "of an unknown type" } else { mime_type };
    format!("[{what}, {mime_type}, {} bytes, that cannot be shown here]", decoded_bytes(data))
}

fn is_blob(text: &str) -> bool {
    let is_data_url =
        text.starts_with("data:") && text.get(..100.min(text.len())).is_none_or(|head| head.contains(";base64,"));
    let is_base64 =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\r' | b'\n');
    text.len() >= MIN_BLOB_BYTES && (is_data_url || text.bytes().all(is_base64))
}

fn decoded_bytes(base64: &str) -> usize {
    base64.trim_end_matches('=').len() / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_no_blobs() {
        for (text, is) in [
            ("QUJD".repeat(100), true),
            (format!("data:image/png;base64,{}", "QUJD".repeat(100)), true),
            ("QUJD".repeat(10), false),
            ("words of a person ".repeat(100), false),
            ("https://example.org/a?b=c".repeat(100), false),
        ] {
            assert_eq!(is_blob(&text), is, "{text}");
        }
    }
}
