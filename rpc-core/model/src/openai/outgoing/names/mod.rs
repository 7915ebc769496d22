//! Names of tools that every server accepts.

use std::collections::{HashMap, HashSet};

/// Longest name: the limit of OpenAI.
const MAX_BYTES: usize = 64;

/// The names of the tools and calls of one prompt, or of the arguments of one tool, as they are sent. Two names never
/// become one.
#[derive(Default)]
pub(crate) struct ToolNames {
    /// Names that are sent in another form.
    sent: HashMap<String, String>,
}

impl ToolNames {
    /// Chooses the form of each name. Valid names stay as they are. `leading_letter`: a name begins with a letter or
    /// `_`, as Gemini wants it.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str> + Clone, leading_letter: bool) -> Self {
        Self::choose(names, |name| is_valid(name, leading_letter))
    }

    /// Like [`Self::new`], for names that are valid by another rule. What [`clean`] returns must be valid by it too.
    pub(super) fn choose<'a>(names: impl Iterator<Item = &'a str> + Clone, is_valid: impl Fn(&str) -> bool) -> Self {
        let mut taken: HashSet<String> = names.clone().filter(|name| is_valid(name)).map(ToOwned::to_owned).collect();
        let mut sent: HashMap<String, String> = HashMap::new();
        for name in names.filter(|name| !is_valid(name)) {
            if sent.contains_key(name) {
                continue;
            }
            let cleaned = clean(name);
            let mut candidate = cleaned.clone();
            let mut number = 2_u32;
            while taken.contains(&candidate) {
                let suffix = format!("_{number}");
                candidate = format!("{}{suffix}", cut(&cleaned, MAX_BYTES - suffix.len()));
                number += 1;
            }
            taken.insert(candidate.clone());
            sent.insert(name.to_owned(), candidate);
        }
        Self { sent }
    }

    /// Returns the name as it is sent.
    pub(super) fn to_wire<'a>(&'a self, name: &'a str) -> &'a str {
        self.sent.get(name).map_or(name, String::as_str)
    }

    /// Returns the name that was sent in this form; the form itself if there is none.
    pub(super) fn original(&self, wire: String) -> String {
        let found = self.sent.iter().find(|(_, sent)| **sent == wire);
        found.map_or(wire, |(name, _)| name.clone())
    }
}

fn is_valid(name: &str, leading_letter: bool) -> bool {
    let begins_well = name.starts_with(|c: char| !leading_letter || c.is_ascii_alphabetic() || c == '_');
    begins_well && name.len() <= MAX_BYTES && name.chars().all(is_valid_char)
}

fn is_valid_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Replaces what is not allowed.
fn clean(name: &str) -> String {
    let name: String = name.trim().chars().map(|c| if is_valid_char(c) { c } else { '_' }).collect();
    match name.chars().next() {
        None => "unnamed".to_owned(),
        Some(c) if c.is_ascii_alphabetic() || c == '_' => cut(&name, MAX_BYTES).to_owned(),
        Some(_) => format!("_{}", cut(&name, MAX_BYTES - 1)),
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    // ASCII only.
    text.get(..bytes).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_names_stay_and_others_are_cleaned() {
        let long = "x".repeat(65);
        let names = ["a__b__c", "a<|b|>c", "", "ü", "3d", &long, "files.read", "files read"];
        let of = ToolNames::new(names.iter().copied(), false);
        let sent: Vec<&str> = names.iter().map(|name| of.to_wire(name)).collect();
        let cut = "x".repeat(64);
        assert_eq!(sent, ["a__b__c", "a__b__c_2", "unnamed", "_", "3d", &cut, "files_read", "files_read_2"]);
        for name in names {
            assert_eq!(of.original(of.to_wire(name).to_owned()), name);
        }
        assert_eq!(ToolNames::new(["3d"].into_iter(), true).to_wire("3d"), "_3d");
    }
}
