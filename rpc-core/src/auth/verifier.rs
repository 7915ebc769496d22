//! Finds the user of a token. This is the one place where tokens are verified, for calls and for sockets.

use super::foreign::{ForeignTokens, TokenRefusal};
use super::token::{Identity, Tokens};
use crate::error::Error;
use std::sync::Arc;

/// Verifies tokens of this service, and of the identity provider if there is one.
pub(crate) struct TokenVerifier {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) foreign: Option<Arc<ForeignTokens>>,
}

impl TokenVerifier {
    /// Returns the user of a token, or why it is not accepted. The algorithms of the two issuers differ, so no token
    /// can pass for one of the other.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the provider or the database is needed and does not answer.
    pub(crate) async fn identify(&self, token: &str) -> Result<Result<Identity, TokenRefusal>, Error> {
        match (self.tokens.verify(token), &self.foreign) {
            (Some(identity), _) => Ok(Ok(identity)),
            (None, Some(foreign)) => Box::pin(foreign.identify(token)).await,
            (None, None) => Ok(Err(TokenRefusal::Invalid)),
        }
    }
}
