//! A page of the gateway that consists of files: its HTML, and the scripts and styles that this names.

use crate::response::Response;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;

/// A page and its files.
pub(crate) struct PageFiles {
    /// The page itself. It names a file as `FOLDER/NAME`.
    pub(crate) index: &'static str,
    /// The files, by name. They name each other as `./NAME`.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

impl PageFiles {
    /// Returns the page, with its content security policy.
    pub(crate) fn page(&self, policy: HeaderValue) -> Response {
        Response::asset(HeaderValue::from_static("text/html; charset=utf-8"), self.index)
            .with_header(CONTENT_SECURITY_POLICY, policy)
    }

    /// Returns a file of the page; `None` if it has no file of this name.
    pub(crate) fn file(&self, name: &str) -> Option<Response> {
        let (_, text) = self.files.iter().find(|(known, _)| *known == name)?;
        let is_css = name.ends_with(".css");
        let content_type = if is_css { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
        Some(Response::asset(HeaderValue::from_static(content_type), *text))
    }
}

#[cfg(test)]
impl PageFiles {
    /// Checks that the page has each file of its folder below `src`, and that the page or another file names each of its
    /// files. The folder can lack files that the page has from another one.
    pub(crate) fn check_files(&self, folder: &str) {
        let directory = format!("{}/src/{folder}", env!("CARGO_MANIFEST_DIR"));
        for file in std::fs::read_dir(directory).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let is_served = ["index.html", "mod.rs"].contains(&name.as_str()) || self.file(&name).is_some();
            assert!(is_served, "{name} is not served");
        }
        let text: String = self.files.iter().map(|(_, text)| *text).chain([self.index]).collect();
        for (name, _) in self.files {
            let is_named =
                text.contains(&format!("\"./{name}\"")) || self.index.contains(&format!("\"{folder}/{name}\""));
            assert!(is_named, "{name} is not used");
        }
        assert!(self.file("index.html").is_none(), "the page itself has one path");
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
