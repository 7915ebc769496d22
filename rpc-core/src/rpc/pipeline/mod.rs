//! The steps that every call passes, over every transport, in this order:
//!
//! 1. [`meta`]: take `_meta` out of the params;
//! 2. [`authenticate`]: verify the token or service key, or the capability among the params;
//! 3. [`limit`]: count the call against the rate limit of its service key, then create the user whom a service names
//!    for the first time, and count the call against the rate limit of its user or address;
//! 4. authorize it: scope, and for the console the role; and record it in the audit log if a service acts for a user;
//! 5. check the size of the params;
//! 6. dispatch to the method;
//! 7. [`observe`]: record the metric and write the log line.
//!
//! The order matters: a call is counted only once its user is known, and does nothing before it is counted.

mod authenticate;
mod limit;
mod meta;
mod observe;

pub(crate) use authenticate::Authenticator;
pub(crate) use limit::CallLimiter;

use super::call::{Call, CallContext, CallKind, Principal, Transport};
use super::registry::{Method, Registry};
use super::reply::{CallError, Reply, Response, Success};
use crate::audit::{AuditEntry, AuditLog};
use crate::error::Error;
use crate::store::{Store, timing};
use authenticate::{Credentials, SignedParams, no_operator};
use futures::future::BoxFuture;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use threadline_schema::admin::ADMIN;
use threadline_schema::auth::AuthMe;
use threadline_schema::call::ResponseMeta;
use threadline_schema::{Access, ErrorCode, MethodInfo};
use threadline_trace::InSpan;
use tower::Service;

/// Metric label of a method that does not exist. The label is never the caller's text: the number of time series must
/// not depend on what clients send.
const UNKNOWN_METHOD: &str = "unknown";
/// Metric label of every method that ends a subscription.
const UNSUBSCRIBE: &str = "unsubscribe";

/// The service that every call passes. Clones share it.
#[derive(Clone)]
pub(crate) struct Pipeline {
    steps: Arc<Steps>,
}

/// What the steps use.
pub(crate) struct Steps {
    pub(crate) registry: Registry,
    pub(crate) authenticator: Authenticator,
    pub(crate) limiter: CallLimiter,
    pub(crate) audit: AuditLog,
    /// Has the roles of users.
    pub(crate) store: Store,
    /// Largest params of one call, and of one batch, in bytes.
    pub(crate) max_params_bytes: usize,
}

impl<'a> Service<Call<'a>> for Pipeline {
    type Response = Response<Reply>;
    type Error = CallError;
    type Future = BoxFuture<'a, Result<Response<Reply>, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<'a>) -> Self::Future {
        let steps = self.steps.clone();
        Box::pin(async move { steps.pass(call).await })
    }
}

impl Pipeline {
    pub(crate) fn new(steps: Steps) -> Self {
        Self { steps: Arc::new(steps) }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.steps.registry
    }

    /// Returns the largest params of one call, in bytes.
    pub(crate) fn max_params_bytes(&self) -> usize {
        self.steps.max_params_bytes
    }

    /// Authenticates a caller and counts one call of a user, without a method: for a request that the transport refuses
    /// for another reason.
    ///
    /// # Errors
    /// `UNAUTHORIZED`, `RATE_LIMITED`, or `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn admit(&self, mut call: Call<'_>) -> Result<ResponseMeta, CallError> {
        let any_user_method = MethodInfo::of::<AuthMe>();
        let mut meta = ResponseMeta::default();
        let (admitted, wants_meta) = match meta::extract(&mut call) {
            Ok(wants_meta) => {
                let admission = self.steps.admit(Some(&any_user_method), &call, &mut meta);
                let (admitted, db_time) = timing::timed(admission).await;
                meta.db_time = db_time;
                (admitted, wants_meta)
            }
            Err(error) => (Err(error), false),
        };
        match admitted {
            Ok(_) => Ok(meta),
            Err(error) => Err(CallError { error: observe::log_failure(&call, "admit", error), meta, wants_meta }),
        }
    }

    /// Passes a call that ends a subscription; `parse` reads its params. It is free and needs no token: it affects only
    /// the socket it comes on, and a gateway must be able to end the streams of users whose token has expired.
    ///
    /// # Errors
    /// `PAYLOAD_TOO_LARGE`, and those of `parse`.
    pub(crate) fn unsubscribe<T>(
        &self,
        mut call: Call<'_>,
        parse: impl FnOnce(Option<&str>) -> Result<T, Error>,
    ) -> Result<T, CallError> {
        let started = Instant::now();
        let meta = ResponseMeta::default();
        let (parsed, wants_meta) = match meta::extract(&mut call) {
            Ok(wants_meta) => {
                (self.check_params_size(call.params_bytes()).and_then(|()| parse(call.params.as_deref())), wants_meta)
            }
            Err(error) => (Err(error), false),
        };
        let parsed = parsed.map_err(|error| observe::log_failure(&call, UNSUBSCRIBE, error));
        observe::record(&call, UNSUBSCRIBE, parsed.as_ref().err(), &meta, started.elapsed());
        parsed.map_err(|error| CallError { error, meta, wants_meta })
    }

    /// Returns whether a token or service key is one: for a connection that opens before its first call. `address` is
    /// that of the client.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database or the identity provider is needed and does not answer, `RATE_LIMITED` if
    /// the client has tried many keys that are not known.
    pub(crate) async fn is_token(&self, token: &str, address: IpAddr) -> Result<bool, Error> {
        self.steps.authenticator.is_token(token, address).await
    }

    /// Checks the size of the params of a call, or of all calls of a batch together.
    ///
    /// HTTP checks the body while it reads. A socket reads more than is allowed, so that the call can be answered; what
    /// is larger still closes the socket.
    ///
    /// # Errors
    /// `PAYLOAD_TOO_LARGE`.
    pub(crate) fn check_params_size(&self, bytes: usize) -> Result<(), Error> {
        self.steps.check_params_size(bytes)
    }
}

impl Steps {
    async fn pass(&self, mut call: Call<'_>) -> Result<Response<Reply>, CallError> {
        let started = Instant::now();
        let is_served = |method: &&Method| !call.connection.hidden.contains(&method.info);
        let method = self.registry.find(&call.method).filter(is_served);
        let label = method.map_or(UNKNOWN_METHOD, |method| method.info.name);
        let mut meta = ResponseMeta::default();
        let extracted = meta::extract(&mut call);
        let is_probe = method.is_some_and(|method| method.info.access == Access::Probe);
        let span = observe::start_span(&call, label, is_probe);
        let (reply, wants_meta) = match extracted {
            Ok(wants_meta) => {
                let dispatched = self.dispatch(method, &call, &mut meta).in_span(span.clone());
                let (reply, db_time) = timing::timed(dispatched).await;
                meta.db_time = db_time;
                (reply, wants_meta)
            }
            Err(error) => (Err(error), false),
        };
        let _entered = span.enter();
        let reply = reply.map_err(|error| observe::log_failure(&call, label, error));
        observe::record(&call, label, reply.as_ref().err(), &meta, started.elapsed());
        observe::end_span(&span, reply.as_ref().err());
        hide_from_strangers(&mut meta, &call);
        match reply {
            Ok(result) => Ok(Response { result, meta, wants_meta }),
            Err(error) => Err(CallError { error, meta, wants_meta }),
        }
    }

    async fn dispatch(
        &self,
        method: Option<&Method>,
        call: &Call<'_>,
        meta: &mut ResponseMeta,
    ) -> Result<Reply, Error> {
        let principal = self.admit(method.map(|method| &method.info), call, meta).await?;
        self.check_params_size(call.params_bytes())?;
        let Some(method) = method else {
            return Err(Error::new(ErrorCode::MethodNotFound, "There is no such method; `rpc.discover` lists them."));
        };
        if method.is_subscription() {
            check_can_stream(call)?;
        }
        let context = CallContext::new(call.connection.caller.clone(), principal);
        let Success { result, replayed } = method.call(context, call.params.as_deref()).await?;
        meta.replayed = replayed;
        Ok(result)
    }

    /// Authenticates and counts a call. `method` is `None` if the method does not exist: that call is counted too.
    async fn admit(
        &self,
        method: Option<&MethodInfo>,
        call: &Call<'_>,
        meta: &mut ResponseMeta,
    ) -> Result<Principal, Error> {
        let access = method.map_or(Access::Public, |method| method.access);
        // Monitoring is not limited, but a batch of probes is.
        if access == Access::Probe && call.kind == CallKind::Single {
            return Box::pin(self.limiter.count_probe(call)).await.map(|()| Principal::Anonymous);
        }
        let signed = if access == Access::Signed { SignedParams::parse(call) } else { SignedParams::default() };
        let name = method.map_or(UNKNOWN_METHOD, |method| method.name);
        let mut credentials = self.authenticator.authenticate(call, &signed).await?;
        meta.user_id = credentials.user_id();
        if let Err((error, state)) = self.limiter.count_key(&credentials).await {
            meta.rate_limit = Some(state);
            return Err(error.into());
        }
        if let Some(new) = credentials.user_to_create(name, access) {
            credentials = Box::pin(self.authenticator.create_user(new)).await?;
            meta.user_id = credentials.user_id();
        }
        if meta.user_id.is_some() {
            call.connection.known.set_known();
        }
        let (counted, rate_limit) = self.limiter.count(method, &credentials, call, &signed).await;
        meta.rate_limit = rate_limit;
        counted?;
        let principal = match credentials.authorize(name, access) {
            Ok(principal) if access == Access::Admin => Box::pin(self.check_admin(principal)).await,
            principal => principal,
        };
        self.record_service_call(name, &credentials, &principal, call).await?;
        principal
    }

    /// Checks that a user has the role of the console. It is read for each call, so that a user who loses it has no
    /// access at once.
    async fn check_admin(&self, principal: Principal) -> Result<Principal, Error> {
        let Principal::User(identity) = &principal else { return Err(Error::unauthorized()) };
        let roles = self.store.user_roles(identity.user_id).await?;
        if roles.iter().any(|role| role == ADMIN) {
            return Ok(principal);
        }
        Err(no_operator())
    }

    /// Records a call that a service makes for a user, before it is made, and one that was refused.
    async fn record_service_call(
        &self,
        method: &str,
        credentials: &Credentials,
        principal: &Result<Principal, Error>,
        call: &Call<'_>,
    ) -> Result<(), Error> {
        // Without a user, there is nobody for whom a key could act.
        if matches!(credentials, Credentials::Key(_)) {
            return Ok(());
        }
        let Some(key) = credentials.service_key() else { return Ok(()) };
        let caller = &call.connection.caller;
        let outcome = principal.as_ref().err().map_or("allowed", |error| error.public().code.name());
        let entry = AuditEntry {
            actor: &format!("key:{}", key.name),
            key_id: Some(key.id),
            user_id: credentials.asked_user(),
            action: method,
            outcome,
            request_id: &caller.request_id,
            address: caller.ip,
        };
        Box::pin(self.audit.record(entry)).await
    }

    fn check_params_size(&self, bytes: usize) -> Result<(), Error> {
        let limit = self.max_params_bytes;
        if bytes <= limit {
            return Ok(());
        }
        let message = format!("The params have {bytes} bytes; this server takes {limit}.");
        Err(Error::new(ErrorCode::PayloadTooLarge, message))
    }
}

/// Takes out what a caller without a token must not be told: how long the database took says whether there is an
/// account.
fn hide_from_strangers(meta: &mut ResponseMeta, call: &Call<'_>) {
    let connection = &call.connection;
    let is_gateway = connection.transport == Transport::InProcess || connection.is_gateway;
    if !is_gateway && meta.user_id.is_none() {
        meta.db_time = Duration::ZERO;
    }
}

/// Checks that a feed can reach the caller.
fn check_can_stream(call: &Call<'_>) -> Result<(), Error> {
    if call.kind == CallKind::Batched {
        // A subscription is answered in a message of its own, which cannot be part of another.
        return Err(Error::invalid("Subscribe with a call by itself: not in a batch, and with an `id`."));
    }
    match call.connection.transport {
        Transport::InProcess | Transport::WebSocket => Ok(()),
        Transport::Http => {
            Err(Error::invalid("Subscriptions need a WebSocket; an HTTP request has nowhere to send events to."))
        }
    }
}
