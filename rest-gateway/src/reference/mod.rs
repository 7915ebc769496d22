//! The API reference as an interactive page: OpenAPI Explorer shows `/openapi.json`. See
//! `rest-gateway/reference-bundle`.
//!
//! The files name each other and the document relative to the page, so a proxy can serve it under a path prefix.

use crate::page_files::PageFiles;
use http::HeaderValue;

/// The page runs only its own files, and asks only its own host. The viewer makes its elements from templates, through
/// the one policy of trusted types that is named here, with styles inside of them: so inline styles are allowed, and no
/// scripts.
pub(crate) const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types lit-html",
);

/// The page and its files.
pub(crate) const PAGE: PageFiles = PageFiles {
    index: include_str!("index.html"),
    files: &[("reference.css", include_str!("reference.css")), ("reference.js", include_str!("reference.js"))],
    compressed: &[("explorer.js", include_bytes!("explorer.js.gz"))],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Content;
    use http::header::CONTENT_ENCODING;

    #[test]
    fn every_file_of_the_page_is_served_and_used() {
        PAGE.check_files("reference");
    }

    #[test]
    fn nothing_parses_markup_or_loads_from_other_hosts() {
        PAGE.check_safety(&[]);
    }

    #[test]
    fn the_viewer_is_compressed_for_those_who_accept_that() {
        let bytes = |accepts_gzip| {
            let response = PAGE.file("explorer.js", accepts_gzip).unwrap();
            assert_eq!(response.headers.contains_key(CONTENT_ENCODING), accepts_gzip);
            let Content::Bytes(bytes) = response.content else { panic!("a file is no stream") };
            bytes
        };
        let (compressed, text) = (bytes(true), bytes(false));
        assert!(compressed.starts_with(&[0x1f, 0x8b]) && compressed.len() < 250_000);
        assert!(text.starts_with(b"/* Made by rest-gateway/reference-bundle") && text.len() > compressed.len());
    }
}
