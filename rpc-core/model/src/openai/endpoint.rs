//! The server: its client, addresses and headers.

use crate::config::OpenAiConfig;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::multipart::Form;
use reqwest::{Client, Method, Request, Url, redirect};
use secrecy::ExposeSecret;
use std::time::Duration;

/// Idle connections are closed before most servers and load balancers (60 s and up) do so themselves; a request on a
/// connection that is just being closed costs an attempt.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// No wait is longer than this, so that no deadline overflows.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The server and what every request to it has in common.
pub(super) struct Endpoint {
    pub(super) client: Client,
    pub(super) config: OpenAiConfig,
    pub(super) chat: Url,
    pub(super) models: Url,
    transcriptions: Url,
    /// Where OpenRouter tells of a key. Its list of models is public, so that listing it proves nothing of the key.
    pub(super) key: Option<Url>,
    headers: HeaderMap,
}

impl Endpoint {
    pub(super) fn new(mut config: OpenAiConfig) -> Result<Self, reqwest::Error> {
        config.token_timeout = config.token_timeout.min(LONGEST_WAIT);
        config.connect_timeout = config.connect_timeout.min(LONGEST_WAIT);
        let client = Client::builder()
            .user_agent(concat!("threadline/", env!("CARGO_PKG_VERSION")))
            // One connection per answer: dropping an answer then closes its socket, which every server understands,
            // and a stalled one holds up no other.
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            // A redirect would turn the POST into a GET, or carry the prompt to a host nobody configured.
            .redirect(redirect::Policy::none())
            .build()?;
        // Built as a request, so that reqwest checks the address and the headers once, here.
        let mut template = client.post(config.base_url.expose_secret()).bearer_auth(config.api_key.expose_secret());
        if let Some(site) = &config.site_url {
            template = template.header("HTTP-Referer", site);
        }
        if let Some(name) = &config.app_name {
            template = template.header("X-Title", name);
        }
        let template = template.build().map_err(reqwest::Error::without_url)?;
        let base = template.url();
        Ok(Self {
            chat: below(base, &["chat", "completions"]),
            models: below(base, &["models"]),
            transcriptions: below(base, &["audio", "transcriptions"]),
            key: (base.host_str() == Some("openrouter.ai")).then(|| below(base, &["key"])),
            headers: template.headers().clone(),
            client,
            config,
        })
    }

    /// A request with the headers all of them have.
    pub(super) fn request(&self, method: Method, url: &Url) -> Request {
        let mut request = Request::new(method, url.clone());
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// The request for an answer.
    pub(super) fn chat(&self, body: bytes::Bytes, request_id: &str) -> Request {
        let mut request = self.request(Method::POST, &self.chat);
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        request.headers_mut().insert("accept", HeaderValue::from_static("text/event-stream"));
        name(&mut request, request_id);
        *request.body_mut() = Some(body.into());
        request
    }

    /// The request for a transcription.
    pub(super) fn transcription(&self, form: Form, request_id: &str) -> Result<Request, reqwest::Error> {
        let request = self.client.post(self.transcriptions.clone()).headers(self.headers.clone()).multipart(form);
        let mut request = request.build().map_err(reqwest::Error::without_url)?;
        name(&mut request, request_id);
        Ok(request)
    }
}

/// Names a request. An id that cannot stand in a header is no reason to fail an answer.
fn name(request: &mut Request, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        request.headers_mut().insert("x-request-id", id);
    }
}

/// A path below the base URL, whose query, such as Azure's `api-version`, stays.
fn below(base: &Url, path: &[&str]) -> Url {
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
        })
        .unwrap()
    }

    #[test]
    fn addresses_stand_below_the_base_url() {
        for base in ["https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1/"] {
            let endpoint = endpoint(base);
            assert_eq!(endpoint.chat.as_str(), "https://openrouter.ai/api/v1/chat/completions");
            assert_eq!(endpoint.models.as_str(), "https://openrouter.ai/api/v1/models");
            assert_eq!(endpoint.key.map(String::from).as_deref(), Some("https://openrouter.ai/api/v1/key"));
        }
        let endpoint = endpoint("http://localhost:1/v1?api-version=2");
        assert_eq!(endpoint.chat.as_str(), "http://localhost:1/v1/chat/completions?api-version=2");
        assert!(endpoint.key.is_none());
    }
}
