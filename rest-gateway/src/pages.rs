//! Rows the gateway answers by itself.

use crate::answer::Answer;
use crate::docs::docs_html;
use crate::openapi::openapi;
use crate::rule::Page;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use serde_json::json;
use std::sync::LazyLock;

/// Version of the service, which all its crates share.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The page styles itself and loads nothing.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// Documents only change with the binary.
const FIVE_MINUTES: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Answers with a page.
pub(crate) fn serve(page: Page, metrics_page: &(dyn Fn() -> String + Send + Sync)) -> Answer {
    static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| openapi().to_string().into());
    static DOCS: LazyLock<Bytes> = LazyLock::new(|| docs_html().into());
    match page {
        Page::Root => {
            let root = json!({"name": "threadline", "version": VERSION, "docs": "/docs", "openapi": "/openapi.json"});
            Answer::json(200, root.to_string())
        }
        Page::Health => Answer::json(200, json!({"status": "healthy", "version": VERSION}).to_string()),
        Page::Metrics => {
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            Answer::bytes(200, kind, metrics_page())
        }
        Page::OpenApi => {
            let mut answer = Answer::json(200, OPENAPI.clone());
            answer.headers.insert(CACHE_CONTROL, FIVE_MINUTES);
            answer
        }
        Page::Docs => {
            let mut answer = Answer::bytes(200, HeaderValue::from_static("text/html; charset=utf-8"), DOCS.clone());
            answer.headers.insert(CACHE_CONTROL, FIVE_MINUTES);
            answer.headers.insert(CONTENT_SECURITY_POLICY, DOCS_POLICY);
            answer
        }
    }
}
