//! Which token is whose: the one place where a token is verified, for calls and for sockets.

use super::foreign::ForeignTokens;
use super::token::{Identity, Tokens};
use crate::error::Error;
use std::sync::Arc;

/// Verifies tokens of this service, and of the identity provider if there is one.
pub(crate) struct TokenVerifier {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) foreign: Option<Arc<ForeignTokens>>,
}

impl TokenVerifier {
    /// Returns the user of a token; `None` if it is invalid for any reason. The algorithms of the two issuers differ, so no
    /// token can pass for one of the other.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the provider or the database would have to be asked and does not answer.
    pub(crate) async fn identify(&self, token: &str) -> Result<Option<Identity>, Error> {
        match (self.tokens.verify(token), &self.foreign) {
            (Some(identity), _) => Ok(Some(identity)),
            (None, Some(foreign)) => Box::pin(foreign.identify(token)).await,
            (None, None) => Ok(None),
        }
    }
}
