//! The chat page: the files of this folder, as they are. It uses `/chatkit` like any other front end.
//!
//! The files name each other and the API relative to the page, so a proxy can serve it under a path prefix.

use crate::response::Response;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;

/// Returns the content security policy of the page: it runs only its own files, and no text can become markup. `https:`
/// allows uploads to a bucket. Images come from the own host and from these origins: text that a model has read, such as a
/// web page, could otherwise name an image whose host learns who looks at it.
pub(crate) fn policy(image_origins: &[String]) -> HeaderValue {
    let images = image_origins.join(" ");
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' https:; \
         img-src 'self' {images} blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    // Without the origins if one of them is none.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

const INDEX: &str = include_str!("index.html");

macro_rules! files {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_str!($name))),+] };
}

/// The files of the page, by name.
const FILES: &[(&str, &str)] = files![
    "approvals.js",
    "base.css",
    "chat.js",
    "composer.js",
    "conversation.js",
    "dom.js",
    "fold.js",
    "follow.js",
    "format.js",
    "frame.css",
    "icons.js",
    "items.css",
    "items.js",
    "log.js",
    "markdown-bundle.js",
    "questions.js",
    "server.js",
    "sidebar.js",
    "widgets.js",
];

/// Returns the page.
pub(crate) fn page(policy: HeaderValue) -> Response {
    Response::asset(HeaderValue::from_static("text/html; charset=utf-8"), INDEX)
        .with_header(CONTENT_SECURITY_POLICY, policy)
}

/// Returns a file of the page; `None` if it has no file of this name.
pub(crate) fn file(name: &str) -> Option<Response> {
    let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
    let is_css = name.ends_with(".css");
    let content_type = if is_css { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
    Some(Response::asset(HeaderValue::from_static(content_type), *text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_page_is_served_and_used() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/chat");
        let names = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let names: BTreeSet<_> = names.filter(|name| !["index.html", "mod.rs"].contains(&name.as_str())).collect();
        assert_eq!(FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), names);
        let text: String = FILES.iter().map(|(_, text)| *text).chain([INDEX]).collect();
        for (name, _) in FILES {
            assert!(text.contains(&format!("\"./{name}\"")) || INDEX.contains(&format!("\"chat/{name}\"")), "{name}");
            assert!(file(name).is_some());
        }
        assert!(file("index.html").is_none(), "the page itself has one path");
    }

    #[test]
    fn nothing_parses_markup_or_loads_from_other_hosts() {
        // The bundle has a function that would, which is not called, and the policy of the page would stop it.
        let own = FILES.iter().filter(|(name, _)| *name != "markdown-bundle.js");
        for (name, text) in own.chain([&("index.html", INDEX)]) {
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}
