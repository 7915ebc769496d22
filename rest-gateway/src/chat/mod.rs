//! The chat page: the files of this folder, as they are. It uses `/chatkit` like any other front end.
//!
//! The files name each other and the API relative to the page, so a proxy can serve it under a path prefix.

use crate::page_files::PageFiles;
use http::HeaderValue;

/// Returns the content security policy of the page: it runs only its own files, and no text can become markup. `https:`
/// allows uploads to a bucket. Images come from the own host and from these origins: text that a model has read, such
/// as a web page, could otherwise name an image whose host learns who looks at it.
pub(crate) fn policy(image_origins: &[String]) -> HeaderValue {
    let images = image_origins.join(" ");
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' https:; \
         img-src 'self' {images} blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    // Loads nothing if one of the origins is not valid.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_str!($name))),+] };
}

/// The page and its files.
pub(crate) const PAGE: PageFiles = PageFiles {
    index: include_str!("index.html"),
    files: files![
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
        "http.js",
        "icons.js",
        "items.css",
        "items.js",
        "log.js",
        "markdown-bundle.js",
        "math.js",
        "questions.js",
        "server.js",
        "sidebar.js",
        "sign-in.js",
        "widgets.js",
    ],
    compressed: &[("temml.js", include_bytes!("temml.js.gz"))],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served_and_used() {
        PAGE.check_files("chat");
    }

    #[test]
    fn nothing_parses_markup_or_loads_from_other_hosts() {
        // The bundle has a function that would, which is not called, and the policy of the page would stop it.
        PAGE.check_safety(&["markdown-bundle.js"]);
    }
}
