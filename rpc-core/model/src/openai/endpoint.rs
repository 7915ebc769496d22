//! HTTP client, URLs and headers of one server.

use super::body_drains::BodyDrains;
use super::healing::LearnedDialects;
use super::outgoing::ToolForms;
use crate::config::OpenAiConfig;
use crate::dialect::{Authentication, Dialect, DialectOverrides, ModelDialect};
use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::multipart::Form;
use reqwest::{Client, Method, Request, Url, redirect};
use secrecy::ExposeSecret;
use std::time::Duration;
use threadline_trace::Span;

/// Idle connections are closed earlier than most servers and load balancers close them (60 s and more). A request on a
/// connection that the server is closing costs an attempt.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// Upper bound of the configured timeouts, so that no deadline overflows.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// One server, with everything that its requests have in common.
pub(super) struct Endpoint {
    pub(super) client: Client,
    pub(super) config: OpenAiConfig,
    pub(super) learned: LearnedDialects,
    pub(super) tool_forms: ToolForms,
    pub(super) models_url: Url,
    /// OpenRouter's description of the key. OpenRouter lists its models without a key, so that list does not prove the
    /// key valid.
    pub(super) key_url: Option<Url>,
    chat_completions_url: Url,
    transcriptions_url: Url,
    headers: HeaderMap,
    pub(super) drains: BodyDrains,
    /// `HOST` or `HOST:PORT`.
    host: String,
}

impl Endpoint {
    pub(super) fn new(mut config: OpenAiConfig) -> Result<Self, reqwest::Error> {
        config.token_timeout = config.token_timeout.min(MAX_TIMEOUT);
        config.connect_timeout = config.connect_timeout.min(MAX_TIMEOUT);
        let client = Client::builder()
            .user_agent(concat!("threadline/", env!("CARGO_PKG_VERSION")))
            // One connection per response: dropping a response closes its connection, which every server understands,
            // and a stalled response does not block another one.
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            // A redirect would turn the POST into a GET, or send the prompt to a host that is not configured.
            .redirect(redirect::Policy::none())
            .build()?;
        let host = host_of(config.base_url.expose_secret());
        let key = config.api_key.expose_secret();
        // Building one request lets reqwest validate the URL and the headers once, here.
        let template = client.post(config.base_url.expose_secret());
        let mut template = match Dialect::resolve(&host, &config.model, config.dialect.as_deref()).auth {
            Authentication::Bearer => template.bearer_auth(key),
            Authentication::ApiKey => template.header("api-key", key),
        };
        if let Some(site) = &config.site_url {
            template = template.header("HTTP-Referer", site);
        }
        if let Some(name) = &config.app_name {
            template = template.header("X-Title", name);
        }
        let mut template = template.build().map_err(reqwest::Error::without_url)?;
        // Without it, a server may compress. Tokens would then wait for each other.
        template.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(key) = template.headers_mut().get_mut("api-key") {
            // As reqwest marks its own, so that no log shows it.
            key.set_sensitive(true);
        }
        let base = template.url();
        Ok(Self {
            chat_completions_url: append_path(base, &["chat", "completions"]),
            models_url: append_path(base, &["models"]),
            transcriptions_url: append_path(base, &["audio", "transcriptions"]),
            key_url: (base.host_str() == Some("openrouter.ai")).then(|| append_path(base, &["key"])),
            headers: template.headers().clone(),
            drains: BodyDrains::default(),
            learned: LearnedDialects::default(),
            tool_forms: ToolForms::default(),
            host,
            client,
            config,
        })
    }

    /// Returns the dialect of a model: what the table and the operator define, and what was learned since.
    pub(super) fn model_dialect(&self, model: &str, overrides: Option<&DialectOverrides>) -> ModelDialect {
        let of_environment = self.config.dialect.as_deref().filter(|_| model == self.config.model);
        let overrides = overrides.or(of_environment);
        ModelDialect {
            entries: Dialect::entries(&self.host, model, overrides),
            configured: Dialect::resolve(&self.host, model, overrides),
            learned: self.learned.of(model),
            host: self.host.clone(),
        }
    }

    /// Sets the address of the server in the span of a request.
    pub(super) fn describe_server(&self, span: &Span) {
        let url = &self.chat_completions_url;
        if let Some(host) = url.host_str().filter(|_| span.is_recording()) {
            span.set("server.address", host.to_owned());
            span.set("server.port", i64::from(url.port_or_known_default().unwrap_or_default()));
        }
    }

    /// Creates a request with the common headers.
    pub(super) fn request(&self, method: Method, url: &Url) -> Request {
        let mut request = Request::new(method, url.clone());
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Creates `POST /chat/completions`.
    pub(super) fn chat_completion_request(&self, body: Bytes, request_id: &str) -> Request {
        let mut request = self.request(Method::POST, &self.chat_completions_url);
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        request.headers_mut().insert("accept", HeaderValue::from_static("text/event-stream"));
        set_request_id(&mut request, request_id);
        *request.body_mut() = Some(body.into());
        request
    }

    /// Creates `POST /audio/transcriptions`.
    pub(super) fn transcription_request(&self, form: Form, request_id: &str) -> Result<Request, reqwest::Error> {
        let request = self.client.post(self.transcriptions_url.clone()).headers(self.headers.clone()).multipart(form);
        let mut request = request.build().map_err(reqwest::Error::without_url)?;
        set_request_id(&mut request, request_id);
        Ok(request)
    }
}

/// Returns `HOST`, or `HOST:PORT` if the URL names a port; nothing for an invalid URL.
fn host_of(url: &str) -> String {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| Some((url.host_str()?.to_owned(), url.port())));
    match host {
        Some((host, Some(port))) => format!("{host}:{port}"),
        Some((host, None)) => host,
        None => String::new(),
    }
}

/// Sets `X-Request-Id`. An id that is not a valid header value is left out, because it must not fail the request.
fn set_request_id(request: &mut Request, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        request.headers_mut().insert("x-request-id", id);
    }
}

/// Appends a path to the base URL and keeps its query, for example Azure's `api-version`.
fn append_path(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base_url: &str) -> Endpoint {
        Endpoint::new(OpenAiConfig {
            base_url: base_url.into(),
            api_key: "key".into(),
            model: "m".to_owned(),
            site_url: None,
            app_name: None,
            connect_timeout: Duration::MAX,
            token_timeout: Duration::MAX,
            max_attempts: 1,
            transcription_model: None,
            dialect: None,
        })
        .unwrap()
    }

    #[test]
    fn urls_are_below_the_base_url() {
        for base in ["https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1/"] {
            let endpoint = endpoint(base);
            assert_eq!(endpoint.chat_completions_url.as_str(), "https://openrouter.ai/api/v1/chat/completions");
            assert_eq!(endpoint.models_url.as_str(), "https://openrouter.ai/api/v1/models");
            assert_eq!(endpoint.key_url.map(String::from).as_deref(), Some("https://openrouter.ai/api/v1/key"));
        }
        let endpoint = endpoint("http://localhost:1/v1?api-version=2");
        assert_eq!(endpoint.chat_completions_url.as_str(), "http://localhost:1/v1/chat/completions?api-version=2");
        assert!(endpoint.key_url.is_none());
    }
}
