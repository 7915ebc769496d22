//! Why a token of the identity provider is not accepted.

use crate::error::Error;
use threadline_schema::ErrorCode;

/// Why a token is not accepted. Nothing about its claims is revealed before its signature was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    /// It is not an access token, or its signature is not by the identity provider.
    Invalid,
    /// The provider has no such key.
    UnknownKey,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// Another issuer than that of the provider.
    OtherIssuer,
    /// It is for other applications.
    OtherAudience,
    /// Its subject cannot be a user.
    Subject,
    /// It is from before its user's account was erased.
    Erased,
}

impl TokenRefusal {
    /// Returns the error of a call that needs a user.
    pub(crate) fn error(self) -> Error {
        let message = match self {
            Self::Invalid => return Error::unauthorized(),
            Self::UnknownKey => {
                "The token is signed with a key (`kid`) that the identity provider does not publish for its `alg`. Get a new token."
            }
            Self::Expired => "The token has expired (`exp`). Get a new token.",
            Self::NotYetValid => "The token is not valid yet (`nbf`), or is issued in the future (`iat`).",
            Self::OtherIssuer => "The token is of another issuer (`iss`) than this service accepts.",
            Self::OtherAudience => "The token is not for this service: get one with its audience (`aud`).",
            Self::Subject => "The token's subject (`sub`) must have 1 to 255 bytes and no NUL.",
            Self::Erased => "The token is from before its user's account was erased. Get a new token.",
        };
        Error::new(ErrorCode::Unauthorized, message)
    }
}
