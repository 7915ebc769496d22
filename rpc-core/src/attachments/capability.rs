//! Capabilities: signed permissions for one attachment and one purpose, as part of a URL. They need no other token.
//!
//! The key is derived from the key of the user tokens, so that neither kind of token is ever accepted as the other.

use crate::config::AuthConfig;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use threadline_schema::ids::{AttachmentId, UserId};

/// Input of the key derivation. It cannot be the signed part of a JWT, which consists of base64 and dots.
const KEY_CONTEXT: &[u8] = b"threadline: attachments";

/// Time limit of an upload, from the creation of the attachment.
pub(super) const UPLOAD_LIFETIME: Duration = Duration::from_secs(3600);

/// Shortest time for which the URL of a preview is valid. It is signed anew whenever a message is read.
pub(super) const PREVIEW_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What a capability permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CapabilityPurpose {
    /// Upload the file.
    Upload,
    /// Read the preview.
    Preview,
}

/// A verified capability. The members are JWT claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capability {
    #[serde(rename = "sub")]
    pub(crate) attachment_id: AttachmentId,
    /// The user of the attachment. Requests count towards this user's rate limit.
    #[serde(rename = "usr")]
    pub(crate) user_id: UserId,
    #[serde(rename = "use")]
    pub(crate) purpose: CapabilityPurpose,
    /// Unix time in seconds. A capability without it is not valid.
    #[serde(rename = "exp", default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// Signs and verifies capabilities.
pub(super) struct CapabilitySigner {
    encoding: EncodingKey,
    /// The key that signs, and those that signed before it.
    decoding: Vec<DecodingKey>,
    validation: Validation,
}

impl CapabilitySigner {
    /// Derives the keys.
    ///
    /// # Errors
    /// If the cryptographic library fails.
    pub(super) fn new(config: &AuthConfig) -> Result<Self, jsonwebtoken::errors::Error> {
        let derive = |secret: &str| {
            let secret = EncodingKey::from_secret(secret.as_bytes());
            jsonwebtoken::crypto::sign(KEY_CONTEXT, &secret, Algorithm::HS256)
        };
        let decoding = config.all_secrets().map(|secret| Ok(DecodingKey::from_secret(derive(secret)?.as_bytes())));
        let mut validation = Validation::new(Algorithm::HS256);
        // `verify` checks the expiry, by the clock that all processes share.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["sub"]);
        Ok(Self {
            encoding: EncodingKey::from_secret(derive(config.secret.expose_secret())?.as_bytes()),
            decoding: decoding.collect::<Result<_, jsonwebtoken::errors::Error>>()?,
            validation,
        })
    }

    /// Signs a capability.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(super) fn sign(
        &self,
        user_id: UserId,
        attachment_id: AttachmentId,
        purpose: CapabilityPurpose,
        expires_at: DateTime<Utc>,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let expires_at = Some(expires_at.timestamp());
        let capability = Capability { attachment_id, user_id, purpose, expires_at };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &capability, &self.encoding)
    }

    /// Verifies a capability; `None` if it is invalid for any reason.
    pub(super) fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<Capability> {
        let is_valid = |capability: &Capability| capability.expires_at.is_some_and(|at| now.timestamp() < at);
        self.verify_signature(token).filter(is_valid)
    }

    /// Returns what a capability has permitted, also if it has expired.
    pub(super) fn verify_signature(&self, token: &str) -> Option<Capability> {
        let decode = |key| jsonwebtoken::decode::<Capability>(token, key, &self.validation).ok();
        Some(self.decoding.iter().find_map(decode)?.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::token::Tokens;
    use crate::config::TokenAlgorithm;

    fn config(secret: &str) -> AuthConfig {
        let token_lifetime = Duration::from_secs(60);
        AuthConfig { secret: secret.into(), former_secrets: vec![], algorithm: TokenAlgorithm::Hs256, token_lifetime }
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn a_capability_has_one_attachment_and_one_purpose() {
        let signer = CapabilitySigner::new(&config("a secret of the tests")).unwrap();
        let (user, attachment) = (UserId::random(), AttachmentId::random());
        let later = now() + UPLOAD_LIFETIME;
        for (purpose, expires_at) in [(CapabilityPurpose::Upload, later), (CapabilityPurpose::Preview, later)] {
            let token = signer.sign(user, attachment, purpose, expires_at).unwrap();
            let capability = signer.verify(&token, now()).unwrap();
            assert_eq!((capability.user_id, capability.attachment_id), (user, attachment));
            assert_eq!(capability.purpose, purpose);
        }
        let expired = signer.sign(user, attachment, CapabilityPurpose::Upload, now()).unwrap();
        assert_eq!(signer.verify(&expired, now()), None);
        assert_eq!(signer.verify_signature(&expired).map(|capability| capability.attachment_id), Some(attachment));
    }

    #[test]
    fn no_other_token_is_a_capability() {
        let signer = CapabilitySigner::new(&config("a secret of the tests")).unwrap();
        let other = CapabilitySigner::new(&config("another secret")).unwrap();
        let clock = std::sync::Arc::new(crate::store::Clock::for_tests());
        let tokens = Tokens::new(&config("a secret of the tests"), clock);
        let user = UserId::random();
        let expires = now() + UPLOAD_LIFETIME;
        let valid = signer.sign(user, AttachmentId::random(), CapabilityPurpose::Preview, expires).unwrap();
        assert_eq!(other.verify(&valid, now()), None, "signed with another secret");
        assert_eq!(tokens.verify(&valid), None, "a capability is not a user's token");
        assert_eq!(
            signer.verify(&tokens.issue(user, 0, None).unwrap().0, now()),
            None,
            "a user's token is not a capability"
        );
        let (head, _) = valid.rsplit_once('.').unwrap();
        for invalid in [format!("{head}."), format!("{valid}A"), String::new(), "x.y.z".to_owned()] {
            assert_eq!(signer.verify(&invalid, now()), None, "{invalid}");
        }
    }
}
