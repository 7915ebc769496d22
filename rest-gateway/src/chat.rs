//! The chat page: what is in `chat/`, as it is. It speaks to `/chatkit` like any other front end.
//!
//! Its files name each other and the API relative to the page, so that a proxy may serve it under a prefix.

use crate::answer::Answer;
use crate::pages::{FIVE_MINUTES, HTML};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};

/// The page runs its own files and nothing else, and no text can become markup. `https:` is where uploads to a bucket go,
/// and where images come from that widgets and sources name.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' https:; img-src 'self' https: blob: \
     data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'",
);

const INDEX: &str = include_str!("chat/index.html");

macro_rules! files {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_str!(concat!("chat/", $name)))),+] };
}

/// What the page is made of, by name.
const FILES: &[(&str, &str)] = files![
    "base.css",
    "chat.js",
    "composer.js",
    "conversation.js",
    "dom.js",
    "fold.js",
    "format.js",
    "frame.css",
    "icons.js",
    "items.css",
    "items.js",
    "log.js",
    "questions.js",
    "runs.js",
    "server.js",
    "sidebar.js",
    "widgets.js",
];

/// The page.
pub(crate) fn page() -> Answer {
    let mut answer = cached(HTML, INDEX);
    answer.headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    answer
}

/// One of the page's files; `None` when there is none of this name.
pub(crate) fn file(name: &str) -> Option<Answer> {
    let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
    let kind = if name.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
    Some(cached(HeaderValue::from_static(kind), text))
}

fn cached(kind: HeaderValue, text: &'static str) -> Answer {
    let mut answer = Answer::bytes(200, kind, text);
    answer.headers.insert(CACHE_CONTROL, FIVE_MINUTES);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_page_is_served_and_used() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/chat");
        let there = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let there: BTreeSet<_> = there.filter(|name| name != "index.html").collect();
        assert_eq!(FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), there);
        let text: String = FILES.iter().map(|(_, text)| *text).chain([INDEX]).collect();
        for (name, _) in FILES {
            assert!(text.contains(&format!("\"./{name}\"")) || INDEX.contains(&format!("\"chat/{name}\"")), "{name}");
            assert!(file(name).is_some());
        }
        assert!(file("index.html").is_none(), "the page itself has one address");
    }

    #[test]
    fn nothing_reads_markup_or_loads_from_elsewhere() {
        for (name, text) in FILES.iter().chain([&("index.html", INDEX)]) {
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}
