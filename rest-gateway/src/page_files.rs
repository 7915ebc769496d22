//! A page of the gateway that consists of files: its HTML, and the scripts and styles that this names.

use crate::response::Response;
use flate2::read::GzDecoder;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_SECURITY_POLICY, VARY};
use std::io::Read;

/// A page and its files.
pub(crate) struct PageFiles {
    /// The page itself. It names a file as `FOLDER/NAME`.
    pub(crate) index: &'static str,
    /// The files, by name. They name each other as `./NAME`.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Large libraries, compressed with gzip. Not with Brotli: without TLS, browsers do not accept it.
    pub(crate) compressed: &'static [(&'static str, &'static [u8])],
}

impl PageFiles {
    /// Returns the page, with its content security policy.
    pub(crate) fn page(&self, policy: HeaderValue) -> Response {
        Response::asset(HeaderValue::from_static("text/html; charset=utf-8"), self.index)
            .with_header(CONTENT_SECURITY_POLICY, policy)
    }

    /// Returns a file of the page; `None` if it has no file of this name.
    pub(crate) fn file(&self, name: &str, accepts_gzip: bool) -> Option<Response> {
        let is_css = name.ends_with(".css");
        let content_type = if is_css { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
        let content_type = HeaderValue::from_static(content_type);
        if let Some((_, text)) = self.files.iter().find(|(known, _)| *known == name) {
            return Some(Response::asset(content_type, *text));
        }
        let (_, compressed) = self.compressed.iter().find(|(known, _)| *known == name)?;
        let response = if accepts_gzip {
            Response::asset(content_type, *compressed).with_header(CONTENT_ENCODING, HeaderValue::from_static("gzip"))
        } else {
            let mut text = Vec::new();
            GzDecoder::new(*compressed).read_to_end(&mut text).ok()?;
            Response::asset(content_type, text)
        };
        Some(response.with_header(VARY, HeaderValue::from_static("accept-encoding")))
    }
}

#[cfg(test)]
impl PageFiles {
    /// Checks that the page has each file of its folder below `src`, and that the page or another file names each of
    /// its files. The folder can lack files that the page has from another one.
    pub(crate) fn check_files(&self, folder: &str) {
        let directory = format!("{}/src/{folder}", env!("CARGO_MANIFEST_DIR"));
        for file in std::fs::read_dir(directory).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let served_as = name.strip_suffix(".gz").unwrap_or(&name);
            let is_served = ["index.html", "mod.rs"].contains(&name.as_str()) || self.file(served_as, false).is_some();
            assert!(is_served, "{name} is not served");
        }
        let text: String = self.files.iter().map(|(_, text)| *text).chain([self.index]).collect();
        for name in self.files.iter().map(|(name, _)| name).chain(self.compressed.iter().map(|(name, _)| name)) {
            assert!(text.contains(&format!("/{name}\"")), "{name} is not used");
        }
        assert!(self.file("index.html", false).is_none(), "the page itself has one path");
    }

    /// Checks that no file parses markup or names another host. `libraries` are not looked at.
    pub(crate) fn check_safety(&self, libraries: &[&str]) {
        let own = self.files.iter().filter(|(name, _)| !libraries.contains(name));
        for (name, text) in own.chain([&("index.html", self.index)]) {
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}
