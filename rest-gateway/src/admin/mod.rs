//! The console of operators: the files of this folder, as they are, with the colours and controls of the chat page. It
//! uses the REST rows of `admin.*` like any script.
//!
//! The files name each other and the API relative to the page, so a proxy can serve it under a path prefix.

use crate::page_files::PageFiles;
use http::HeaderValue;

/// The page runs only its own files, asks only its own host, and no text can become markup.
pub(crate) const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

/// The page and its files.
pub(crate) const PAGE: PageFiles = PageFiles {
    index: include_str!("index.html"),
    files: &[
        ("agents.js", include_str!("agents.js")),
        ("base.css", include_str!("../chat/base.css")),
        ("chart.js", include_str!("chart.js")),
        ("console.css", include_str!("console.css")),
        ("console.js", include_str!("console.js")),
        ("dom.js", include_str!("../chat/dom.js")),
        ("fields.js", include_str!("fields.js")),
        ("format.js", include_str!("format.js")),
        ("http.js", include_str!("../chat/http.js")),
        ("people.js", include_str!("people.js")),
        ("server.js", include_str!("server.js")),
        ("sign-in.js", include_str!("../chat/sign-in.js")),
        ("tables.js", include_str!("tables.js")),
        ("tabs.js", include_str!("tabs.js")),
        ("usage.js", include_str!("usage.js")),
    ],
    compressed: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served_and_used() {
        PAGE.check_files("admin");
    }

    #[test]
    fn nothing_parses_markup_or_loads_from_other_hosts() {
        PAGE.check_safety(&[]);
    }
}
