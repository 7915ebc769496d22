//! Pages the gateway answers by itself, but for the chat page.

use crate::answer::Answer;
use crate::docs::docs_html;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use serde_json::json;
use std::sync::LazyLock;

/// Version of the service, which all its crates share.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The content type of a page for people.
pub(crate) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// How long what only changes with the binary is kept by browsers.
pub(crate) const FIVE_MINUTES: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The page styles itself and loads nothing.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Where to find what.
pub(crate) fn root(chat_page: bool) -> Answer {
    let mut root = json!({"name": "threadline", "version": VERSION, "docs": "/docs", "openapi": "/openapi.json"});
    if let Some(root) = root.as_object_mut().filter(|_| chat_page) {
        root.insert("chat".to_owned(), "/chat".into());
    }
    Answer::json(200, root.to_string())
}

/// That the process is alive.
pub(crate) fn health() -> Answer {
    Answer::json(200, json!({"status": "healthy", "version": VERSION}).to_string())
}

/// Metrics as Prometheus reads them.
pub(crate) fn metrics(text: String) -> Answer {
    Answer::bytes(200, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"), text)
}

/// The OpenAPI document.
pub(crate) fn openapi() -> Answer {
    static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| crate::openapi().to_string().into());
    let mut answer = Answer::json(200, OPENAPI.clone());
    answer.headers.insert(CACHE_CONTROL, FIVE_MINUTES);
    answer
}

/// This API for people.
pub(crate) fn docs() -> Answer {
    static DOCS: LazyLock<Bytes> = LazyLock::new(|| docs_html().into());
    let mut answer = Answer::bytes(200, HTML, DOCS.clone());
    answer.headers.insert(CACHE_CONTROL, FIVE_MINUTES);
    answer.headers.insert(CONTENT_SECURITY_POLICY, DOCS_POLICY);
    answer
}
