//! Texts of limited length.

/// Returns the start of a text with a note, so that it has at most `max_bytes` as JSON, if it does not fit as a whole.
pub(crate) fn truncate(text: &str, max_bytes: usize) -> String {
    // Leaves room for the note, and for the quotes and escapes of the JSON string that it becomes.
    let max_bytes = if text.len() > max_bytes { max_bytes.saturating_sub(max_bytes / 4) } else { max_bytes };
    let end = text.floor_char_boundary(max_bytes);
    match text.get(..end) {
        Some(start) if start.len() < text.len() => format!("{start} [cut off here]"),
        _ => text.to_owned(),
    }
}
