//! Who makes a call: the user of a token, a service that acts for a user, or the holder of a capability.

use crate::attachments::{self, Attachments, Capability};
use crate::auth::foreign::TokenRefusal;
use crate::auth::grant::{KeyInUse, MethodScope};
use crate::auth::service_keys::{self, NamedUser, NewUser, ServiceKey, ServiceKeys};
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
    /// A service key that may act for a user who has no account yet.
    NewUser(NewUser),
    /// A user for whom the caller may not act.
    Refused {
        error: RpcError,
        key: Option<Arc<ServiceKey>>,
        /// The account of the user, if there is one.
        asked: Option<UserId>,
    },
    /// A valid capability.
    Capability(Capability),
    /// A capability that this service did not sign, or that has expired.
    InvalidCapability,
}

impl Credentials {
    pub(super) fn user_id(&self) -> Option<UserId> {
        match self {
            Self::None | Self::Invalid(_) | Self::InvalidCapability => None,
            Self::Key(_) | Self::NewUser(_) | Self::Refused { .. } => None,
            Self::Token(identity) => Some(identity.user_id),
            Self::Capability(capability) => Some(capability.user_id),
        }
    }

    /// Returns the user whom the call is about, for the audit log: also one for whom the caller may not act.
    pub(super) fn asked_user(&self) -> Option<UserId> {
        match self {
            Self::Refused { asked, .. } => *asked,
            credentials => credentials.user_id(),
        }
    }

    /// Returns the service key of the call.
    pub(super) fn service_key(&self) -> Option<&KeyInUse> {
        match self {
            Self::Key(key) | Self::NewUser(NewUser { key, .. }) | Self::Refused { key: Some(key), .. } => key.in_use(),
            Self::Token(identity) => identity.service_key(),
            _ => None,
        }
    }

    /// Returns the user who has no account yet and gets one for this call: none is made for a call that is refused, or
    /// that needs no user.
    pub(super) fn user_to_create(&self, method: &str, access: Access) -> Option<&NewUser> {
        match (self, access) {
            (Self::NewUser(new), Access::User | Access::Signed) => {
                check_scope(new.key.methods(), method).is_ok().then_some(new)
            }
            _ => None,
        }
    }

    /// Decides whether a method may be called.
    ///
    /// # Errors
    /// `UNAUTHORIZED`, `FORBIDDEN` for a method outside of the scope of a key or token, `INVALID_REQUEST` if a service
    /// does not say for whom it calls.
    pub(super) fn authorize(&self, method: &str, access: Access) -> Result<Principal, Error> {
        match (self, access) {
            (Self::Refused { error, .. }, _) => Err(error.clone().into()),
            (Self::Token(identity), Access::User | Access::Signed | Access::Admin) => {
                if let Some(grant) = &identity.grant {
                    check_scope(&grant.methods, method)?;
                }
                Ok(Principal::User(identity.clone()))
            }
            (Self::NewUser(new), Access::User | Access::Signed | Access::Admin) => {
                check_scope(new.key.methods(), method)?;
                // A new user has no role.
                Err(if access == Access::Admin { no_operator() } else { Error::unauthorized() })
            }
            (Self::Token(identity), Access::Public | Access::Probe) => Ok(Principal::User(identity.clone())),
            (Self::Capability(capability), _) => Ok(Principal::Capability(*capability)),
            (Self::InvalidCapability, _) => Err(attachments::invalid_capability().into()),
            (Self::Key(_), Access::User | Access::Signed | Access::Admin) => Err(Error::invalid(
                "Say for which user you call: the member `user` of `_meta`, or the header `X-Threadline-User`.",
            )),
            (Self::None, Access::User | Access::Signed | Access::Admin) => Err(Error::unauthorized()),
            (Self::Invalid(refusal), Access::User | Access::Signed | Access::Admin) => Err(refusal.error()),
            (Self::None | Self::Invalid(_) | Self::Key(_) | Self::NewUser(_), Access::Public | Access::Probe) => {
                Ok(Principal::Anonymous)
            }
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
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached, `RATE_LIMITED` if the client has tried many keys that
    /// are not known. Invalid credentials are not an error here: they are counted first.
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
            return Ok(credentials_of(Box::pin(self.keys.find_user(&key, &user)).await?, &key));
        }
        match self.verifier.identify(token).await? {
            Ok(identity) if self.standings.admits(&identity).await? => Ok(match acts_for {
                // A page that knows its own user may say so.
                Some(user) if user.parse() != Ok(identity.user_id) => {
                    let message = "Only a service key can act for another user. Leave the user out.";
                    Credentials::Refused { error: RpcError::new(ErrorCode::Forbidden, message), key: None, asked: None }
                }
                _ => Credentials::Token(identity),
            }),
            Ok(_) => Ok(Credentials::None),
            Err(refusal) => Ok(Credentials::Invalid(refusal)),
        }
    }

    /// Creates the account of a user whom a service has named. Returns the credentials of the call with it.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(super) async fn create_user(&self, new: &NewUser) -> Result<Credentials, Error> {
        Ok(credentials_of(self.keys.create_user(new).await?, &new.key))
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

fn credentials_of(user: NamedUser, key: &Arc<ServiceKey>) -> Credentials {
    match user {
        NamedUser::Known(identity) => Credentials::Token(identity),
        NamedUser::New(new) => Credentials::NewUser(new),
        NamedUser::Refused(error, asked) => Credentials::Refused { error, key: Some(key.clone()), asked },
    }
}

/// Checks that the scope of a key or token has a method. Every token may ask who its user is.
fn check_scope(scope: &MethodScope, method: &str) -> Result<(), Error> {
    if method == AuthMe::NAME || scope.allows(method) {
        return Ok(());
    }
    let message = format!("The scope of this key or token does not have `{method}`.");
    Err(Error::new(ErrorCode::Forbidden, message))
}

/// The error of a method of the console for a user without the role.
pub(super) fn no_operator() -> Error {
    let message = "This is for operators: the user needs the role `admin`. `threadline user give-role` gives it.";
    Error::new(ErrorCode::Forbidden, message)
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
