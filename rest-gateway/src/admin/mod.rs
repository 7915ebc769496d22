//! The console of operators: the files of this folder, as they are, with the colours and controls of the chat page. It uses
//! the REST rows of `admin.*` like any script.
//!
//! The files name each other and the API relative to the page, so a proxy can serve it under a path prefix.

use crate::response::Response;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;

/// The page runs only its own files, asks only its own host, and no text can become markup.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

const INDEX: &str = include_str!("index.html");

/// The files of the page, by name.
const FILES: &[(&str, &str)] = &[
    ("base.css", include_str!("../chat/base.css")),
    ("chart.js", include_str!("chart.js")),
    ("console.css", include_str!("console.css")),
    ("console.js", include_str!("console.js")),
    ("dom.js", include_str!("../chat/dom.js")),
    ("format.js", include_str!("format.js")),
    ("server.js", include_str!("server.js")),
    ("tables.js", include_str!("tables.js")),
    ("tabs.js", include_str!("tabs.js")),
];

/// Returns the page.
pub(crate) fn page() -> Response {
    Response::asset(HeaderValue::from_static("text/html; charset=utf-8"), INDEX)
        .with_header(CONTENT_SECURITY_POLICY, POLICY)
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

    #[test]
    fn every_file_of_the_page_is_served_and_used() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin");
        for file in std::fs::read_dir(directory).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let is_page = ["index.html", "mod.rs"].contains(&name.as_str());
            assert!(is_page || FILES.iter().any(|(known, _)| *known == name), "{name} is not served");
        }
        let text: String = FILES.iter().map(|(_, text)| *text).collect();
        for (name, _) in FILES {
            assert!(text.contains(&format!("\"./{name}\"")) || INDEX.contains(&format!("\"admin/{name}\"")), "{name}");
            assert!(file(name).is_some());
        }
    }

    #[test]
    fn nothing_parses_markup_or_loads_from_other_hosts() {
        for (name, text) in FILES.iter().chain([&("index.html", INDEX)]) {
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}
