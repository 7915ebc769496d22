//! A call: what the transport gives the pipeline, and what the pipeline gives the method.

use crate::attachments::{Capability, CapabilityPurpose};
use crate::auth::token::Identity;
use crate::error::Error;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use threadline_schema::call::{Caller, RequestContext, new_request_id};
use threadline_schema::ids::{AttachmentId, ServiceKeyId, UserId};
use threadline_schema::rpc::MethodInfo;
use threadline_schema::{Access, ErrorCode};

/// How a call reaches the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A function call: the gateway in `serve` mode.
    InProcess,
    /// An HTTP POST.
    Http,
    /// A message on a WebSocket.
    WebSocket,
}

/// What a transport knows about a peer before it reads a call.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) caller: Caller,
    pub(crate) transport: Transport,
    /// Whether the peer is a gateway that may name the client's address in `_meta`.
    pub(crate) trusts_meta_ip: bool,
    /// Whether the peer is a gateway: it makes the calls of many users.
    pub(crate) is_gateway: bool,
    /// Whether a caller was authenticated on this connection.
    pub(crate) known: KnownPeer,
    /// What the listener does not serve.
    pub(crate) hidden: HiddenMethods,
}

/// Methods for operators that a public listener does not serve: operators have a listener of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HiddenMethods {
    /// Hides the administration: `admin.*`.
    pub admin: bool,
    /// Hides the state of the components: `system.health`.
    pub health: bool,
}

impl HiddenMethods {
    /// Returns whether a method is not served.
    pub(crate) fn contains(self, method: &MethodInfo) -> bool {
        (self.admin && method.access == Access::Admin) || (self.health && method.access == Access::Probe)
    }
}

/// Whether a peer is known: a caller was authenticated on its connection. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownPeer(Arc<AtomicBool>);

impl KnownPeer {
    pub(crate) fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set_known(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connection {
    /// Returns a connection of a peer that is not a gateway and not known.
    pub(crate) fn of(caller: Caller, transport: Transport) -> Self {
        Self {
            caller,
            transport,
            trusts_meta_ip: false,
            is_gateway: false,
            known: KnownPeer::default(),
            hidden: HiddenMethods::default(),
        }
    }

    /// Creates a call on this connection. Each call on a WebSocket gets a request id of its own.
    pub(crate) fn call<'a>(
        &self,
        method: impl Into<Cow<'a, str>>,
        params: Option<impl Into<Cow<'a, str>>>,
        kind: CallKind,
    ) -> Call<'a> {
        let mut connection = self.clone();
        if connection.transport == Transport::WebSocket {
            connection.caller.request_id = new_request_id();
        }
        Call { method: method.into(), params: params.map(Into::into), kind, connection }
    }
}

/// How a call was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// A request in a message of its own; so is its response.
    Single,
    /// An entry of a batch, or a notification.
    Batched,
}

/// One invocation of a method: a request, an entry of a batch, or a notification.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Cow<'a, str>,
    /// The params as JSON text.
    pub(crate) params: Option<Cow<'a, str>>,
    pub(crate) kind: CallKind,
    pub(crate) connection: Connection,
}

impl Call<'_> {
    pub(crate) fn params_bytes(&self) -> usize {
        self.params.as_ref().map_or(0, |params| params.len())
    }
}

/// The verified user of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Principal {
    /// No valid token.
    Anonymous,
    /// The user of a valid token.
    User(Identity),
    /// The holder of a capability: it may do one thing with one attachment of one user.
    Capability(Capability),
}

/// What a method gets besides its params.
#[derive(Debug, Clone)]
pub(crate) struct CallContext {
    caller: Caller,
    principal: Principal,
}

impl CallContext {
    pub(crate) fn new(caller: Caller, principal: Principal) -> Self {
        Self { caller, principal }
    }

    /// Returns the verified user.
    ///
    /// # Errors
    /// `UNAUTHORIZED`. Not in a method with [`Access::User`](threadline_schema::Access::User): the pipeline checks
    /// those.
    pub(crate) fn user_id(&self) -> Result<UserId, Error> {
        match &self.principal {
            Principal::User(identity) => Ok(identity.user_id),
            Principal::Anonymous | Principal::Capability(_) => Err(Error::unauthorized()),
        }
    }

    /// Returns the verified user and when the token expires.
    ///
    /// # Errors
    /// Those of [`user_id`](Self::user_id).
    pub(crate) fn identity(&self) -> Result<Identity, Error> {
        match &self.principal {
            Principal::User(identity) => Ok(identity.clone()),
            Principal::Anonymous | Principal::Capability(_) => Err(Error::unauthorized()),
        }
    }

    /// Returns the service key of the call, or with which its client token was created.
    pub(crate) fn service_key_id(&self) -> Option<ServiceKeyId> {
        match &self.principal {
            Principal::User(identity) => identity.grant.as_ref()?.key_id,
            Principal::Anonymous | Principal::Capability(_) => None,
        }
    }

    /// Returns the agent of a thread that the call creates: the one that the params name, or the only one that its
    /// token may use.
    ///
    /// # Errors
    /// `FORBIDDEN` if the token may use another one only.
    pub(crate) fn agent_for_new_thread(&self, named: Option<String>) -> Result<Option<String>, Error> {
        let Principal::User(Identity { grant: Some(grant), .. }) = &self.principal else { return Ok(named) };
        match (&grant.agent, named) {
            (None, named) => Ok(named),
            (Some(only), None) => Ok(Some(only.to_string())),
            (Some(only), Some(named)) if **only == *named => Ok(Some(named)),
            (Some(only), Some(_)) => {
                Err(Error::new(ErrorCode::Forbidden, format!("This token is for the agent {only:?} only.")))
            }
        }
    }

    /// Returns the user on whose behalf the call uses an attachment: the owner of the capability if there is one, else
    /// the user of the token.
    ///
    /// # Errors
    /// `FORBIDDEN` if the capability is for another attachment or purpose, `UNAUTHORIZED` if there is no user either.
    pub(crate) fn user_for_attachment(
        &self,
        attachment_id: AttachmentId,
        purpose: CapabilityPurpose,
    ) -> Result<UserId, Error> {
        match &self.principal {
            Principal::Capability(capability)
                if capability.attachment_id == attachment_id && capability.purpose == purpose =>
            {
                Ok(capability.user_id)
            }
            Principal::Capability(_) => {
                Err(Error::new(ErrorCode::Forbidden, "This `token` is for another attachment or another purpose."))
            }
            Principal::User(_) | Principal::Anonymous => self.user_id(),
        }
    }

    /// Returns the address of the client.
    pub(crate) fn ip(&self) -> IpAddr {
        self.caller.ip
    }

    pub(crate) fn request_id(&self) -> &Arc<str> {
        &self.caller.request_id
    }

    pub(crate) fn request_context(&self) -> RequestContext {
        self.caller.request_context()
    }
}

#[cfg(test)]
impl Call<'static> {
    /// A call from 192.0.2.1 over HTTP, without a token.
    pub(crate) fn for_tests(method: &'static str, params: &'static str) -> Self {
        let caller = Caller {
            token: None,
            acts_for: None,
            ip: std::net::Ipv4Addr::new(192, 0, 2, 1).into(),
            request_id: "r".into(),
            hints: None,
            trace: None,
        };
        let connection = Connection::of(caller, Transport::Http);
        connection.call(method, Some(params), CallKind::Single)
    }
}
