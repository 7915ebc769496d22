//! Who makes a call: the user of a token, a service that acts for a user, or the holder of a capability.

use crate::attachments::{self, Attachments, Capability};
use crate::auth::foreign::TokenRefusal;
use crate::auth::service_keys::{self, ServiceKey, ServiceKeys};
use crate::auth::standings::Standings;
use crate::auth::token::Identity;
use crate::auth::verifier::TokenVerifier;
use crate::error::Error;
use crate::rpc::call::{Call, Principal};
use serde::Deserialize;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use threadline_schema::auth::{AuthCreateClientToken, AuthMe};
use threadline_schema::ids::UserId;
use threadline_schema::{Access, ErrorCode, RpcError, RpcMethod};

/// Verifies tokens, service keys and capabilities.
pub(crate) struct Authenticator {
    verifier: TokenVerifier,
    keys: ServiceKeys,
    attachments: Arc<Attachments>,
    standings: Arc<Standings>,
}

/// What a call shows as proof of who makes it.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    /// No token, or one that is not accepted any more.
    None,
    /// A token that is not accepted.
    Invalid(TokenRefusal),
    /// A valid token of an existing user, or a service key that acts for one.
    Token(Identity),
    /// A service key that acts for no user.
    Key(Arc<ServiceKey>),
    /// A user for whom the caller may not act.
    Refused(RpcError, Option<Arc<ServiceKey>>),
    /// A valid capability.
    Capability(Capability),
    /// A capability that this service did not sign, or that has expired.
    InvalidCapability,
}

impl Credentials {
    pub(super) fn user_id(&self) -> Option<UserId> {
        match self {
            Self::None | Self::Invalid(_) | Self::InvalidCapability | Self::Key(_) | Self::Refused(..) => None,
            Self::Token(identity) => Some(identity.user_id),
            Self::Capability(capability) => Some(capability.user_id),
        }
    }

    /// Decides whether a method may be called.
    ///
    /// # Errors
    /// `UNAUTHORIZED`, `FORBIDDEN` for a method outside of the scope of a key or token, `INVALID_REQUEST` if a service
    /// does not say for whom it calls.
    pub(super) fn authorize(&self, method: &str, access: Access) -> Result<Principal, Error> {
        match (self, access) {
            (Self::Refused(error, _), _) => Err(error.clone().into()),
            (Self::Token(identity), Access::User | Access::Signed | Access::Admin) => {
                let scope = identity.grant.as_ref().map(|grant| &grant.methods);
                // Every token may ask who its user is.
                if method != AuthMe::NAME && scope.is_some_and(|scope| !scope.allows(method)) {
                    let message = format!("The scope of this key or token does not have `{method}`.");
                    return Err(Error::new(ErrorCode::Forbidden, message));
                }
                Ok(Principal::User(identity.clone()))
            }
            (Self::Token(identity), Access::Public | Access::Probe) => Ok(Principal::User(identity.clone())),
            (Self::Capability(capability), _) => Ok(Principal::Capability(*capability)),
            (Self::InvalidCapability, _) => Err(attachments::invalid_capability().into()),
            (Self::Key(_), Access::User | Access::Signed | Access::Admin) => Err(Error::invalid(
                "Say for which user you call: the member `user` of `_meta`, or the header `X-Threadline-User`.",
            )),
            (Self::None, Access::User | Access::Signed | Access::Admin) => Err(Error::unauthorized()),
            (Self::Invalid(refusal), Access::User | Access::Signed | Access::Admin) => Err(refusal.error()),
            (Self::None | Self::Invalid(_) | Self::Key(_), Access::Public | Access::Probe) => Ok(Principal::Anonymous),
        }
    }
}

impl Authenticator {
    pub(crate) fn new(
        verifier: TokenVerifier,
        keys: ServiceKeys,
        attachments: Arc<Attachments>,
        standings: Arc<Standings>,
    ) -> Self {
        Self { verifier, keys, attachments, standings }
    }

    /// Verifies the capability among the params if there is one, else the token or service key, and that its user may
    /// use it now.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached, `RATE_LIMITED` if the client has tried many keys that are
    /// not known. Invalid credentials are not an error here: they are counted first.
    pub(super) async fn authenticate(&self, call: &Call<'_>, signed: &SignedParams<'_>) -> Result<Credentials, Error> {
        if let Some(token) = &signed.token {
            let Some(capability) = self.attachments.verify_capability(token) else {
                return Ok(Credentials::InvalidCapability);
            };
            let standing = self.standings.get(capability.user_id).await?;
            let is_accepted = standing.is_some_and(|standing| !standing.is_disabled());
            return Ok(if is_accepted { Credentials::Capability(capability) } else { Credentials::InvalidCapability });
        }
        let caller = &call.connection.caller;
        let acts_for = named_user(call).or(caller.acts_for.as_deref().map(Cow::Borrowed));
        let Some(token) = caller.token.as_deref() else { return Ok(Credentials::None) };
        if token.starts_with(service_keys::PREFIX) {
            let Some(key) = Box::pin(self.keys.find(token, caller.ip)).await? else { return Ok(Credentials::None) };
            let Some(user) = acts_for else { return Ok(Credentials::Key(key)) };
            return match Box::pin(self.keys.act_for(&key, &user)).await {
                Ok(identity) => Ok(Credentials::Token(identity)),
                Err(error) if error.public().code == ErrorCode::ServiceUnavailable => Err(error),
                Err(error) => Ok(Credentials::Refused(error.into_parts().0, Some(key))),
            };
        }
        match self.verifier.identify(token).await? {
            Ok(identity) if self.standings.admits(&identity).await? => Ok(match acts_for {
                // A page that knows its own user may say so.
                Some(user) if user.parse() != Ok(identity.user_id) => {
                    let message = "Only a service key can act for another user. Leave the user out.";
                    Credentials::Refused(RpcError::new(ErrorCode::Forbidden, message), None)
                }
                _ => Credentials::Token(identity),
            }),
            Ok(_) => Ok(Credentials::None),
            Err(refusal) => Ok(Credentials::Invalid(refusal)),
        }
    }

    /// Returns whether a text is a valid token or service key, of any user. `address` is that of the client.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database or the identity provider is needed and does not answer, `RATE_LIMITED` if
    /// the client has tried many keys that are not known.
    pub(super) async fn is_token(&self, token: &str, address: IpAddr) -> Result<bool, Error> {
        if token.starts_with(service_keys::PREFIX) {
            return Ok(self.keys.find(token, address).await?.is_some());
        }
        Ok(self.verifier.identify(token).await?.is_ok())
    }
}

/// Returns the user whom `auth.create_client_token` names among its params: a service needs to name it only once.
fn named_user<'a>(call: &'a Call<'_>) -> Option<Cow<'a, str>> {
    #[derive(Deserialize)]
    struct NamedUser<'a> {
        #[serde(borrow, default)]
        user: Option<Cow<'a, str>>,
    }
    let params = call.params.as_deref().filter(|_| call.method == AuthCreateClientToken::NAME)?;
    serde_json::from_str::<NamedUser<'_>>(params).ok()?.user
}

/// The params of a method with [`Access::Signed`] that decide how it is authenticated and counted.
#[derive(Deserialize, Default)]
pub(super) struct SignedParams<'a> {
    /// The capability.
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
    /// Where the piece of the file begins, in bytes. From 0 on, a new file counts as a request.
    #[serde(default)]
    pub(super) offset: u64,
}

impl<'a> SignedParams<'a> {
    /// Reads them; the defaults if the params are invalid, because the method reports that.
    pub(super) fn parse(call: &'a Call<'_>) -> Self {
        call.params.as_deref().and_then(|params| serde_json::from_str(params).ok()).unwrap_or_default()
    }
}
