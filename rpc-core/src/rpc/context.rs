//! What is known about one call while it is on its way.

use crate::attachments::{Capability, CapabilityPurpose};
use crate::auth::token::Identity;
use crate::core::Core;
use crate::error::Error;
use crate::rpc::Feed;
use jsonrpsee::types::{ErrorObject, ErrorObjectOwned};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_schema::{ErrorCode, RpcError};
use uuid::Uuid;

/// How a call reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// From the same process: the gateway in `serve` mode.
    Local,
    /// One HTTP POST.
    Http,
    /// A WebSocket.
    WebSocket,
}

/// What is known about a connection; each of its calls begins with it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) caller: Caller,
    pub(crate) transport: Transport,
    /// Whether the peer is a proxy whose word about its clients' addresses is taken.
    pub(crate) trusted: bool,
}

/// One call: who makes it, and what has been found out so far.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) transport: Transport,
    /// Whether the response must carry the response metadata. A gateway in another process asks for it.
    pub(crate) wants_meta: bool,
    identity: OnceLock<Identity>,
    /// What it may do because the service has signed it, whoever makes it.
    grant: OnceLock<Capability>,
    /// The error it was refused with.
    refusal: OnceLock<ErrorCode>,
    facts: Mutex<ResponseMeta>,
    /// Where a caller in the same process finds the answer, without an envelope to take apart.
    outcome: Mutex<Option<Outcome>>,
}

/// How a call ended.
pub(crate) enum Outcome {
    Result(Box<RawValue>),
    Feed(Feed),
    Error(RpcError),
}

impl Call {
    pub(crate) fn new(caller: Caller, transport: Transport, wants_meta: bool) -> Self {
        Self {
            caller,
            transport,
            wants_meta,
            identity: OnceLock::new(),
            grant: OnceLock::new(),
            refusal: OnceLock::new(),
            facts: Mutex::default(),
            outcome: Mutex::default(),
        }
    }

    /// Remembers the verified user. Set once, by the pipeline.
    pub(crate) fn identify(&self, identity: Identity) {
        self.facts().user_id = Some(identity.user_id);
        // Nobody else sets it, so there is nothing to lose.
        let _ = self.identity.set(identity);
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity.get().copied()
    }

    /// Remembers what the call may do. Set once, by the pipeline.
    pub(crate) fn entitle(&self, grant: Capability) {
        self.facts().user_id = Some(grant.user_id.0);
        // Nobody else sets it, so there is nothing to lose.
        let _ = self.grant.set(grant);
    }

    /// The error the call was refused with; none as long as it goes well.
    pub(crate) fn refusal(&self) -> Option<ErrorCode> {
        self.refusal.get().copied()
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, ResponseMeta> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take_outcome(&self) -> Option<Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set_outcome(&self, outcome: Outcome) {
        if self.transport == Transport::Local {
            *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        }
    }

    /// The facts as a peer is told them that has asked for them.
    pub(crate) fn requested_meta(&self) -> Option<serde_json::Value> {
        self.wants_meta.then(|| facts_json(&self.facts()))
    }

    /// Hands a feed to a caller in the same process.
    pub(crate) fn give_feed(&self, feed: Feed) {
        self.set_outcome(Outcome::Feed(feed));
    }

    /// Turns what a handler returned into what the transport sends.
    pub(crate) fn answer(
        &self,
        method: &str,
        answer: Result<Box<RawValue>, Error>,
    ) -> Result<Box<RawValue>, ErrorObjectOwned> {
        match answer {
            Ok(result) if self.transport == Transport::Local => {
                self.set_outcome(Outcome::Result(result));
                Ok(RawValue::NULL.to_owned())
            }
            Ok(result) if self.wants_meta => Ok(self.with_facts(result)),
            Ok(result) => Ok(result),
            Err(error) => Err(self.refuse(method, error)),
        }
    }

    /// Turns an error into what the transport sends, and writes its other text to the log: this is where an error of a
    /// call is consumed.
    pub(crate) fn refuse(&self, method: &str, error: Error) -> ErrorObjectOwned {
        let public = self.log_failure(method, error);
        // A call ends once.
        let _ = self.refusal.set(public.code);
        let mut data = public.data();
        if let (Some(facts), Some(members)) = (self.requested_meta(), data.as_object_mut()) {
            members.insert(threadline_schema::call::META.to_owned(), facts);
        }
        let object = ErrorObject::owned(public.code.rpc_code(), public.message.clone(), Some(data));
        self.set_outcome(Outcome::Error(public));
        object
    }

    /// Writes the internal text of an error to the log, and returns the public part.
    pub(crate) fn log_failure(&self, method: &str, error: Error) -> RpcError {
        let (public, log) = error.into_parts();
        if let Some(log) = log {
            tracing::error!(request_id = %self.caller.request_id, method, code = %public.code, error = %log, "call failed");
        }
        public
    }

    fn with_facts(&self, result: Box<RawValue>) -> Box<RawValue> {
        let Some(rest) = result.get().strip_prefix('{') else { return result };
        let comma = if rest.starts_with('}') { "" } else { "," };
        let facts = facts_json(&self.facts());
        RawValue::from_string(format!(r#"{{"{}":{facts}{comma}{rest}"#, threadline_schema::call::META))
            .unwrap_or(result)
    }
}

fn facts_json(facts: &ResponseMeta) -> serde_json::Value {
    serde_json::json!({
        "rate": facts.rate_limit.map(|rate| (u64::from(rate.limit), u64::from(rate.remaining), rate.reset)),
        "user_id": facts.user_id,
        "db_us": u64::try_from(facts.db_time.as_micros()).unwrap_or(u64::MAX),
        "replayed": facts.replayed,
    })
}

/// What a handler is given beside its params.
#[derive(Clone)]
pub(crate) struct Cx {
    pub(crate) core: Arc<Core>,
    pub(crate) call: Arc<Call>,
}

impl Cx {
    /// The verified user.
    ///
    /// # Errors
    /// `UNAUTHORIZED`; not in a method that the contract keeps for users, since the pipeline has looked already.
    pub(crate) fn user_id(&self) -> Result<Uuid, Error> {
        self.identity().map(|identity| identity.user_id)
    }

    pub(crate) fn identity(&self) -> Result<Identity, Error> {
        self.call.identity().ok_or_else(Error::unauthorized)
    }

    /// On whose behalf this is done to an attachment: its user, by what was signed for just that, else the verified user.
    ///
    /// # Errors
    /// `FORBIDDEN` when something else was signed, `UNAUTHORIZED` when there is no user either.
    pub(crate) fn user_for(&self, attachment_id: Uuid, purpose: CapabilityPurpose) -> Result<Uuid, Error> {
        match self.call.grant.get() {
            None => self.user_id(),
            Some(grant) if grant.attachment_id.0 == attachment_id && grant.purpose == purpose => Ok(grant.user_id.0),
            Some(_) => Err(Error::new(ErrorCode::Forbidden, "This `token` was made for something else.")),
        }
    }
}
