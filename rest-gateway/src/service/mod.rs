//! The gateway as an HTTP service: one request, from its head to its response.

#[cfg(test)]
mod tests;

use crate::dispatch::{Dispatcher, MatchedRequest};
use crate::http::{
    HeaderPolicy, Observation, REQUEST_ID, accepts_gzip, acts_for, add_response_meta, bearer_token, client_hints,
    client_ip, request_id, verb_label,
};
use crate::operation::{Operation, operations};
use crate::page_files::PageFiles;
use crate::response::{Body, Content, ErrorResponse, Response, ResponseResult};
use crate::router::{PathItem, Router};
use crate::rule::{Page, Rule, Target, Verb};
use crate::upstream::Upstream;
use crate::{admin, chat, pages, reference};
use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_LENGTH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use ipnet::IpNet;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::ByteBudget;
use threadline_schema::call::{Caller, TraceHeaders};
use threadline_schema::{ErrorCode, RpcError};
use threadline_trace::{InSpan, Span, SpanKind};

/// The configuration of a [`Gateway`].
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Origins whose pages may call the API, as browsers write them: `https://app.example`. `*` allows all; that is
    /// safe because the API uses no cookies.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Largest body of a request, in bytes.
    pub body_bytes: usize,
    /// Longest time that a body may take to arrive.
    pub body_timeout: Duration,
    /// Time without events after which a stream sends a comment.
    pub heartbeat: Duration,
    /// Whether to send `Strict-Transport-Security`, so that browsers only use TLS from then on.
    pub hsts: bool,
    /// Whether to serve the chat page.
    pub chat_page: bool,
    /// Origins whose images the chat page shows.
    pub chat_images: Vec<String>,
    /// Which operations are served.
    pub pages: Pages,
    /// Whether to serve the console of operators.
    pub console: bool,
    /// Memory for bodies that are not answered yet.
    pub input: ByteBudget,
}

/// Which operations a gateway serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// All.
    All,
    /// All but those for operators, who have a listener of their own.
    Public,
    /// Those for operators.
    Operators,
}

impl Pages {
    fn contains(self, rule: &Rule) -> bool {
        match self {
            Self::All => true,
            Self::Public => !rule.is_for_operators(),
            Self::Operators => rule.is_for_operators() || rule.serves_operators(),
        }
    }
}

/// The REST API over an [`Upstream`]. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    config: GatewayConfig,
    headers: HeaderPolicy,
    chat_policy: HeaderValue,
    router: Router,
    dispatcher: Dispatcher,
    render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Gateway {
    /// Creates a gateway to a core. `render_metrics` returns the page `/metrics`.
    pub fn new(
        config: GatewayConfig,
        upstream: Arc<dyn Upstream>,
        render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    ) -> Self {
        let headers = HeaderPolicy::new(&config.cors_origins, config.hsts);
        let chat_policy = chat::policy(&config.chat_images);
        let is_served = |operation: &&Operation| {
            config.pages.contains(operation.rule)
                && (config.chat_page || !operation.rule.is_chat_page())
                && (config.console || !operation.rule.is_console())
        };
        let router = Router::new(operations().iter().filter(is_served));
        let (max_body_bytes, body_timeout) = (config.body_bytes, config.body_timeout);
        let dispatcher = Dispatcher { upstream, max_body_bytes, body_timeout, input: config.input.clone() };
        Self { inner: Arc::new(Inner { config, headers, chat_policy, router, dispatcher, render_metrics }) }
    }

    /// Handles one request. Errors of the request and of the core become error responses.
    ///
    /// hyper drops the future when the client disconnects. That drops the response, and cancels no run.
    pub async fn handle<B>(&self, peer: IpAddr, request: Request<B>) -> http::Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let request_id = request_id(&head.headers);
        let ip = client_ip(peer, &head.headers, &self.inner.config.trusted_proxies);
        let trace = threadline_trace::headers_of(&head.headers);
        let span = match trace.is_none() && pages::is_for_probes(head.uri.path()) {
            true => Span::default(),
            false => Span::root(SpanKind::Server, trace.as_deref(), || verb_label(&head.method)),
        };
        let mut observation = Observation::start(request_id.clone(), ip, &head.method, span.clone());
        let caller = caller(ip, &head, &request_id, trace);
        let result = self.inner.route(&head, body, caller, &mut observation).in_span(span).await;
        let response = result.unwrap_or_else(ErrorResponse::into_response);
        observation.set_response(response.status, response.error.as_ref().map(|error| error.code), &response.meta);
        self.inner.finish(&head, &request_id, response, observation)
    }

    /// Adds the headers of every response to one that another service of this listener has made.
    pub fn apply_headers<B>(&self, request: &HeaderMap, response: &mut http::Response<B>) {
        self.inner.headers.apply(request, response.headers_mut());
    }

    /// Returns the response to a CORS preflight for a path that another service of this listener serves.
    pub fn preflight(&self, request: &HeaderMap) -> http::Response<Body> {
        let mut response = http::Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        self.inner.headers.preflight(request, response.headers_mut());
        self.inner.headers.apply(request, response.headers_mut());
        response
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Inner {
    /// Finds the operation of a request, and lets its target handle it.
    async fn route<B>(&self, head: &Parts, body: B, caller: Caller, observation: &mut Observation) -> ResponseResult
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Some((path, variables)) = self.router.find(head.uri.path()) else {
            return self.unknown_path(head, caller).await;
        };
        observation.set_route(path.template());
        if head.method == Method::OPTIONS {
            return Ok(self.options(head, path));
        }
        let Some(operation) = Verb::serving(&head.method).and_then(|verb| path.operation(verb)) else {
            let error = RpcError::new(ErrorCode::MethodNotAllowed, "This path does not have this HTTP method.");
            let response = self.dispatcher.reject_unknown(error, caller).await.into_response();
            return Ok(response.with_header(ALLOW, path.allow.clone()));
        };
        let variables = variables.iter().collect();
        let request = MatchedRequest { operation, variables, head, body, caller };
        match &operation.rule.target {
            Target::Page(page) => match self.page(*page, &request.variables, &head.headers) {
                Some(response) => Ok(response),
                None => Err(self.dispatcher.reject_unknown(not_found(), request.caller).await),
            },
            Target::Method { method, mode } => self.dispatcher.call_method(request, method, mode).await,
            Target::ChatKit => {
                let result = self.dispatcher.call_chatkit(request).await;
                Ok(result.unwrap_or_else(ErrorResponse::into_response).with_chatkit_error())
            }
        }
    }

    /// Returns a page of the gateway; `None` if the path names a file that its page does not have.
    fn page(&self, page: Page, variables: &[(&str, &str)], headers: &HeaderMap) -> Option<Response> {
        let file_of = |files: &PageFiles| {
            let accepts_gzip = accepts_gzip(headers);
            variables.iter().find_map(|(_, name)| files.file(name, accepts_gzip))
        };
        match page {
            Page::Root => Some(pages::root(self.config.chat_page)),
            Page::Health => Some(pages::health()),
            Page::Metrics => Some(pages::metrics((self.render_metrics)())),
            Page::OpenApi => Some(pages::openapi()),
            Page::Docs => Some(pages::docs()),
            Page::Chat => Some(chat::PAGE.page(self.chat_policy.clone())),
            Page::ChatFile => file_of(&chat::PAGE),
            Page::Console => Some(admin::PAGE.page(admin::POLICY)),
            Page::ConsoleFile => file_of(&admin::PAGE),
            Page::Reference => Some(reference::PAGE.page(reference::POLICY)),
            Page::ReferenceFile => file_of(&reference::PAGE),
        }
    }

    /// Refuses a path that does not exist. A preflight from an allowed origin succeeds nevertheless: if it failed, the
    /// page would see a network error instead of the 404.
    async fn unknown_path(&self, head: &Parts, caller: Caller) -> ResponseResult {
        let is_preflight = head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !(is_preflight && self.headers.allows(&head.headers)) {
            return Err(self.dispatcher.reject_unknown(not_found(), caller).await);
        }
        let mut response = Response::empty(204);
        self.headers.preflight(&head.headers, &mut response.headers);
        Ok(response)
    }

    fn options(&self, head: &Parts, path: &PathItem) -> Response {
        let mut response = Response::empty(204).with_header(ALLOW, path.allow.clone());
        if head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            self.headers.preflight(&head.headers, &mut response.headers);
        }
        response
    }

    /// Adds the headers of every response, and makes the body.
    fn finish(
        &self,
        head: &Parts,
        request_id: &str,
        response: Response,
        observation: Observation,
    ) -> http::Response<Body> {
        let Response { status, mut headers, content, meta, error: _ } = response;
        self.headers.apply(&head.headers, &mut headers);
        if let Ok(value) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, value);
        }
        add_response_meta(&mut headers, &meta);
        let body = if head.method == Method::HEAD {
            if let Content::Bytes(bytes) = &content {
                headers.insert(CONTENT_LENGTH, bytes.len().into());
            }
            Body::empty()
        } else {
            content.into_body(self.config.heartbeat, observation)
        };
        let mut response = http::Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = headers;
        response
    }
}

/// Returns the caller as the head of the request describes it. Only the core verifies it.
fn caller(ip: IpAddr, head: &Parts, request_id: &Arc<str>, trace: Option<Arc<TraceHeaders>>) -> Caller {
    Caller {
        token: bearer_token(&head.headers),
        acts_for: acts_for(&head.headers),
        ip,
        request_id: request_id.clone(),
        hints: client_hints(&head.headers),
        trace,
    }
}

fn not_found() -> RpcError {
    RpcError::new(ErrorCode::NotFound, "Nothing is served under this path; /docs lists the paths.")
}
