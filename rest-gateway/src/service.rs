//! One request from head to answer.

#[cfg(test)]
mod tests;

use crate::answer::{Answer, Content, Outcome};
use crate::bind::{self, Bound, bind};
use crate::body::Body;
use crate::fields::{Row, table};
use crate::head::{self, REQUEST_ID};
use crate::headers::{self, Policy};
use crate::observe::Observation;
use crate::receive::{Pieces, Unread, receive, require_json};
use crate::router::{Path, Router};
use crate::rule::{Does, Page, Then, Verb};
use crate::upstream::{Call, Upstream};
use crate::{calls, chat, chatkit, files, pages, streams};
use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_LENGTH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use ipnet::IpNet;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::attachments::piece_bytes;
use threadline_schema::auth::AuthMe;
use threadline_schema::call::Caller;
use threadline_schema::rpc::MethodInfo;
use threadline_schema::{ErrorCode, RpcError};

/// What the gateway can be told.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Origins whose pages may call the API, as browsers write them: `https://app.example`. `*` is any: there are no
    /// cookies that a foreign page could ride on.
    pub cors_origins: Vec<String>,
    /// Proxies whose word about a client's address is taken.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Bytes a request's body may have.
    pub body_bytes: usize,
    /// Longest time a whole body may take to arrive.
    pub body_timeout: Duration,
    /// Silence after which a stream sends a comment.
    pub heartbeat: Duration,
    /// Whether to tell browsers to come back over TLS only (`Strict-Transport-Security`).
    pub hsts: bool,
    /// Whether there is a page to chat on.
    pub chat_page: bool,
}

/// The REST API over an [`Upstream`]. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    config: GatewayConfig,
    policy: Policy,
    router: Router,
    upstream: Arc<dyn Upstream>,
    metrics_page: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Gateway {
    /// A gateway to this core. `metrics_page` renders `/metrics`.
    pub fn new(
        config: GatewayConfig,
        upstream: Arc<dyn Upstream>,
        metrics_page: Arc<dyn Fn() -> String + Send + Sync>,
    ) -> Self {
        let policy = Policy::new(&config.cors_origins, config.hsts);
        let is_served = |row: &&Row| config.chat_page || !row.rule.is_chat_page();
        let router = Router::of(table().iter().filter(is_served));
        Self { inner: Arc::new(Inner { config, policy, router, upstream, metrics_page }) }
    }

    /// Answers one request. Never fails: whatever is wrong with the request or the core is told in the answer.
    ///
    /// Dropping the future, as hyper does when the client goes away, abandons the answer and nothing else.
    pub async fn handle<B>(&self, peer: IpAddr, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Display,
    {
        let (head, body) = request.into_parts();
        let request_id = head::request_id(&head.headers);
        let mut seen = Observation::begin(request_id.clone(), &head.method);
        let outcome = self.answer(peer, &head, body, &request_id, &mut seen).await;
        let answer = outcome.unwrap_or_else(|early| *early);
        seen.answered(answer.status, answer.error.as_ref().map(|error| error.code), &answer.facts);
        self.respond(&head, &request_id, answer, seen)
    }

    /// Gives an answer made elsewhere for this listener the headers that every answer of the gateway has.
    pub fn dress<B>(&self, request: &HeaderMap, response: &mut Response<B>) {
        self.inner.policy.apply(request, response.headers_mut());
    }

    /// Answers a browser that asks whether its page may call a path that is served elsewhere on this listener.
    pub fn preflight(&self, request: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        self.inner.policy.preflight(request, response.headers_mut());
        self.inner.policy.apply(request, response.headers_mut());
        response
    }

    async fn answer<B>(
        &self,
        peer: IpAddr,
        head: &Parts,
        body: B,
        request_id: &Arc<str>,
        seen: &mut Observation,
    ) -> Outcome
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Display,
    {
        let inner = &*self.inner;
        let Some((path, variables)) = inner.router.at(head.uri.path()) else {
            return Err(nothing_here().into());
        };
        seen.route(path.template());
        if head.method == Method::OPTIONS {
            return Ok(inner.options(head, path));
        }
        let Some(row) = Verb::answering(&head.method).and_then(|verb| path.row(verb)) else {
            let error = RpcError::new(ErrorCode::MethodNotAllowed, "This path does not answer this verb.");
            return Ok(Answer::error(&error).with("allow", path.allow.clone()));
        };
        let outcome = inner.answer_row(row, variables.iter().collect(), peer, head, body, request_id).await;
        if row.rule.speaks_chatkit() {
            return outcome.map(Answer::in_chatkit).map_err(|early| Box::new(early.in_chatkit()));
        }
        outcome
    }

    /// Adds what every answer carries.
    fn respond(&self, head: &Parts, request_id: &str, answer: Answer, seen: Observation) -> Response<Body> {
        let inner = &*self.inner;
        let Answer { status, mut headers, content, facts, error: _ } = answer;
        inner.policy.apply(&head.headers, &mut headers);
        if let Ok(value) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, value);
        }
        if let Some(rate) = facts.rate_limit {
            headers::rate(&mut headers, rate);
        }
        if facts.replayed {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        let body = if head.method == Method::HEAD {
            if let Content::Bytes(bytes) = &content {
                headers.insert(CONTENT_LENGTH, bytes.len().into());
            }
            Body::empty()
        } else {
            content.into_body(inner.config.heartbeat, seen)
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = headers;
        response
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Inner {
    /// A page of the gateway's own; `None` when its path names none.
    fn page(&self, page: Page, variables: &[(&str, &str)]) -> Option<Answer> {
        match page {
            Page::Root => Some(pages::root(self.config.chat_page)),
            Page::Health => Some(pages::health()),
            Page::Metrics => Some(pages::metrics((self.metrics_page)())),
            Page::OpenApi => Some(pages::openapi()),
            Page::Docs => Some(pages::docs()),
            Page::Chat => Some(chat::page()),
            Page::ChatFile => variables.iter().find_map(|(_, name)| chat::file(name)),
        }
    }

    /// Answers a request by its row.
    async fn answer_row<B>(
        &self,
        row: &Row,
        variables: Vec<(&str, &str)>,
        peer: IpAddr,
        head: &Parts,
        body: B,
        request_id: &Arc<str>,
    ) -> Outcome
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Display,
    {
        let (method, then) = match &row.rule.does {
            Does::Serve(page) => return self.page(*page, &variables).ok_or_else(|| nothing_here().into()),
            Does::ChatKit => (&MethodInfo::of::<AuthMe>(), None),
            Does::Rpc { method, then } => (method, Some(then)),
        };
        let caller = Caller {
            token: head::token(&head.headers),
            ip: head::client_ip(peer, &head.headers, &self.config.trusted_proxies),
            request_id: request_id.clone(),
            hints: head::client(&head.headers),
        };
        let upstream = self.upstream.as_ref();
        if row.rule.needs_token() && caller.token.is_none() {
            return calls::unauthenticated(method, upstream, caller).await;
        }
        if let Some(Then::TakeFile(reply)) = then {
            let bound = bind_all(row, head, variables, &[]).map_err(Unread)?;
            let body = Pieces::new(body, piece_bytes(self.config.body_bytes), self.config.body_timeout);
            return files::take(row.rule, (method, reply), &bound, upstream, caller, body).await;
        }
        let body = receive(body, self.config.body_bytes, self.config.body_timeout).await?;
        let Some(then) = then else {
            if let Err(error) = require_json(&head.headers, &body) {
                return Err(calls::misread(error, upstream, caller).await.into());
            }
            return chatkit::answer(upstream, caller, &head.headers, &body).await;
        };
        let Bound { params, named } = match bind_all(row, head, variables, &body) {
            Ok(bound) => bound,
            Err(error) if row.rule.needs_token() => return Err(calls::misread(error, upstream, caller).await.into()),
            Err(error) => return Err(error.into()),
        };
        let call = Call { method: method.name, params, caller };
        match then {
            Then::Reply(reply) | Then::TakeFile(reply) => calls::call(row.rule, reply, &named, upstream, call).await,
            Then::GiveFile => files::give(row.rule, &self.upstream, call).await,
            Then::StreamRun { follow } => {
                let json = head::wants_json(&head.headers);
                streams::start(row.rule, follow, upstream, call, json).await
            }
            Then::StreamChatKit { follow, run_id } => {
                streams::start_chatkit(row.rule, follow, *run_id, upstream, call).await
            }
            Then::Stream => streams::follow(row.rule, &named, upstream, call).await,
            Then::StreamThread => streams::follow_thread(row.rule, upstream, call).await,
        }
    }

    fn options(&self, head: &Parts, path: &Path) -> Answer {
        let mut answer = Answer::empty(204);
        answer.headers.insert(ALLOW, path.allow.clone());
        if head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            self.policy.preflight(&head.headers, &mut answer.headers);
        }
        answer
    }
}

fn nothing_here() -> RpcError {
    RpcError::new(ErrorCode::NotFound, "Nothing is served under this path; /docs lists what is.")
}

fn bind_all(row: &Row, head: &Parts, variables: Vec<(&str, &str)>, body: &[u8]) -> Result<Bound, RpcError> {
    if row.rule.verb.carries_body() {
        require_json(&head.headers, body)?;
    }
    bind(row, &bind::Request { variables, query: head.uri.query(), headers: &head.headers, body })
}
