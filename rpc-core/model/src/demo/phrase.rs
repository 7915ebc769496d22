//! Cutting plain English apart, letter case aside.

/// What follows `prefix`, when `text` begins with it as whole words.
pub(super) fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    let ends = !rest.starts_with(|next: char| next.is_alphanumeric() || next == '\'');
    (ends && head.eq_ignore_ascii_case(prefix)).then(|| rest.trim_start())
}

/// What follows the first of `prefixes` that fits. Longer ones have to stand before those they begin with.
pub(super) fn after_any<'a>(text: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| after(text, prefix))
}

/// `text` without any of `prefixes`, however many of them there are in a row.
pub(super) fn skip<'a>(mut text: &'a str, prefixes: &[&str]) -> &'a str {
    while let Some(rest) = after_any(text, prefixes) {
        text = rest.trim_start_matches([',', '!', '.', ' ']);
    }
    text
}

/// What precedes the first of `suffixes` that `text` ends with, as whole words.
pub(super) fn before_any<'a>(text: &'a str, suffixes: &[&str]) -> Option<&'a str> {
    suffixes.iter().find_map(|suffix| {
        let (rest, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
        let begins = !rest.ends_with(char::is_alphanumeric);
        (begins && tail.eq_ignore_ascii_case(suffix)).then(|| rest.trim_end())
    })
}

/// Whether `text` has the words of `phrase` side by side.
pub(super) fn has(text: &str, phrase: &str) -> bool {
    split(text, phrase).is_some()
}

/// Whether `text` has any of `phrases`.
pub(super) fn has_any(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| has(text, phrase))
}

/// What stands before and after the first `phrase` that stands as whole words.
pub(super) fn split<'a>(text: &'a str, phrase: &str) -> Option<(&'a str, &'a str)> {
    splits(text, phrase).next()
}

/// [`split`] at every place.
pub(super) fn splits<'a>(text: &'a str, phrase: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    // Lowering ASCII alone keeps every offset.
    let lower = text.to_ascii_lowercase();
    let places: Vec<usize> = lower.match_indices(phrase).map(|(at, _)| at).collect();
    let length = phrase.len();
    places.into_iter().filter_map(move |at| {
        let (left, rest) = text.split_at_checked(at)?;
        let (_, right) = rest.split_at_checked(length)?;
        let apart = !left.ends_with(char::is_alphanumeric) && !right.starts_with(char::is_alphanumeric);
        apart.then(|| (left.trim_end(), right.trim_start()))
    })
}

/// One line with single spaces and plain apostrophes. A line break becomes `;`, which separates as it did.
pub(super) fn tidy(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ").replace('\u{2019}', "'")
}

/// A name without what surrounds it: quotes, punctuation, a bullet.
pub(super) fn bare(name: &str) -> &str {
    let name = name.trim().trim_start_matches(['-', '*', '•', '–', ':', ',', ';', '.']).trim_start();
    let name = name.trim_end_matches(|end: char| end.is_whitespace() || matches!(end, '.' | ',' | ';' | ':' | '!'));
    let unquoted = [('"', '"'), ('\'', '\''), ('`', '`'), ('\u{201c}', '\u{201d}'), ('\u{201e}', '\u{201c}')]
        .iter()
        .find_map(|(open, close)| Some((name.strip_prefix(*open)?.strip_suffix(*close)?, *open, *close)))
        .filter(|(inner, open, close)| !inner.contains([*open, *close]))
        .map(|(inner, ..)| inner);
    unquoted.unwrap_or(name).trim()
}

/// The parts of an enumeration: `a, b and c`.
pub(super) fn enumeration(text: &str) -> Vec<&str> {
    text.split([',', ';'])
        .flat_map(|part| {
            let part = after(part.trim(), "and").unwrap_or(part);
            match split(part, "and") {
                Some((left, right)) if !left.is_empty() && !right.is_empty() => vec![left, right],
                _ => vec![part],
            }
        })
        .map(bare)
        .filter(|part| !part.is_empty())
        .collect()
}
