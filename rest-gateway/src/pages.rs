//! The pages that the gateway serves by itself, without the chat page.

use crate::docs::docs_html;
use crate::openapi::openapi as openapi_document;
use crate::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use serde_json::json;
use std::sync::LazyLock;

/// Version of the service. All its crates have the same.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The content security policy of the API reference, which has inline styles and loads nothing.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Returns whether a path is for probes and scrapers, which ask every few seconds. They make no trace of their own.
pub(crate) fn is_for_probes(path: &str) -> bool {
    path == "/metrics" || path == "/health" || path.starts_with("/health/")
}

/// Returns the version, and links to the documents.
pub(crate) fn root(has_chat_page: bool) -> Response {
    let mut root = json!({"name": "threadline", "version": VERSION, "docs": "/docs", "openapi": "/openapi.json"});
    if let Some(root) = root.as_object_mut().filter(|_| has_chat_page) {
        root.insert("chat".to_owned(), "/chat".into());
    }
    Response::json(200, root.to_string())
}

/// Returns that the process is alive.
pub(crate) fn health() -> Response {
    Response::json(200, json!({"status": "healthy", "version": VERSION}).to_string())
}

/// Returns the metrics in the text format of Prometheus.
pub(crate) fn metrics(text: String) -> Response {
    Response::bytes(200, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"), text)
}

/// Returns the OpenAPI document.
pub(crate) fn openapi() -> Response {
    static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| openapi_document().to_string().into());
    Response::asset(HeaderValue::from_static("application/json"), OPENAPI.clone())
}

/// Returns the API reference.
pub(crate) fn docs() -> Response {
    static DOCS: LazyLock<Bytes> = LazyLock::new(|| docs_html().into());
    Response::asset(HeaderValue::from_static("text/html; charset=utf-8"), DOCS.clone())
        .with_header(CONTENT_SECURITY_POLICY, DOCS_POLICY)
}
