//! Where the tokens of JSON text end: for what has to be seen as it was written, before a parser has made a value of
//! it.

/// Returns where the string ends with which a text begins: after its closing quote, or at the end of the text.
pub fn end_of_text(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns where the number ends with which a text begins.
pub fn end_of_number(text: &str) -> usize {
    text.find(|letter: char| !matches!(letter, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_before_the_next_one() {
        for (text, end) in [(r#""a": 1"#, 3), (r#""a\"b\\","#, 8), (r#""open"#, 5), (r#""ä""#, 4), ("\"", 1)] {
            assert_eq!(end_of_text(text), end, "{text}");
        }
        for (text, end) in [("-1.5e+3,", 7), ("12]", 2), ("7", 1), ("0 ", 1)] {
            assert_eq!(end_of_number(text), end, "{text}");
        }
    }
}
