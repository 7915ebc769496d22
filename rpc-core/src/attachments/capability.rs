//! What the service signs for one attachment and one purpose, to stand in a URL: whoever has it may do that one thing.
//!
//! The key is derived from the one that signs users' tokens, so that neither is ever taken for the other.

use crate::config::AuthConfig;
use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// What the key is derived for. Nothing a token is signed over can look like it: that is base64 and dots.
const KEY_FOR: &[u8] = b"threadline: attachments";

/// How long an upload may take, from the moment the attachment is announced.
pub(crate) const UPLOAD_LIFETIME: Duration = Duration::from_secs(3600);

/// What one may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Purpose {
    /// Upload the file.
    Upload,
    /// See the preview.
    Preview,
}

/// A capability that was found to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// The attachment.
    #[serde(rename = "sub")]
    pub(crate) attachment_id: Uuid,
    /// Whose it is, and who uses up requests.
    #[serde(rename = "usr")]
    pub(crate) user_id: Uuid,
    /// What for.
    #[serde(rename = "use")]
    pub(crate) purpose: Purpose,
    /// Unix time, in seconds, from which it is worth nothing; absent: as long as the attachment is there.
    #[serde(rename = "exp", default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// Signs and checks capabilities.
pub(crate) struct Capabilities {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Capabilities {
    /// Capabilities under a key of their own.
    ///
    /// # Errors
    /// When signing fails, which takes a broken library.
    pub(crate) fn new(config: &AuthConfig) -> Result<Self, jsonwebtoken::errors::Error> {
        let secret = EncodingKey::from_secret(config.secret.expose_secret().as_bytes());
        let key = jsonwebtoken::crypto::sign(KEY_FOR, &secret, Algorithm::HS256)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        // Checked below: it may be absent.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["sub"]);
        Ok(Self {
            encoding: EncodingKey::from_secret(key.as_bytes()),
            decoding: DecodingKey::from_secret(key.as_bytes()),
            validation,
        })
    }

    /// Signs a capability. `lifetime` is `None` where it is to work as long as the attachment is there.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(crate) fn issue(
        &self,
        user_id: Uuid,
        attachment_id: Uuid,
        purpose: Purpose,
        lifetime: Option<Duration>,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let seconds = lifetime.map(|lifetime| i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
        let expires_at = seconds.map(|seconds| Utc::now().timestamp().saturating_add(seconds));
        let grant = Grant { attachment_id, user_id, purpose, expires_at };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &grant, &self.encoding)
    }

    /// What a capability is for; `None` for any that is not good, whatever is wrong with it.
    pub(crate) fn verify(&self, token: &str) -> Option<Grant> {
        let grant = jsonwebtoken::decode::<Grant>(token, &self.decoding, &self.validation).ok()?.claims;
        let has_expired = grant.expires_at.is_some_and(|at| Utc::now().timestamp() >= at);
        (!has_expired).then_some(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::token::Tokens;
    use crate::config::TokenAlgorithm;

    fn config(secret: &str) -> AuthConfig {
        let token_lifetime = Duration::from_secs(60);
        AuthConfig { secret: secret.into(), algorithm: TokenAlgorithm::Hs256, token_lifetime }
    }

    #[test]
    fn a_capability_says_what_it_is_for() {
        let ours = Capabilities::new(&config("a secret of the tests")).unwrap();
        let (user, attachment) = (Uuid::now_v7(), Uuid::now_v7());
        for (purpose, lifetime) in [(Purpose::Upload, Some(UPLOAD_LIFETIME)), (Purpose::Preview, None)] {
            let grant = ours.verify(&ours.issue(user, attachment, purpose, lifetime).unwrap()).unwrap();
            assert_eq!((grant.user_id, grant.attachment_id, grant.purpose), (user, attachment, purpose));
        }
        assert_eq!(ours.verify(&ours.issue(user, attachment, Purpose::Upload, Some(Duration::ZERO)).unwrap()), None);
    }

    #[test]
    fn no_other_token_is_one() {
        let ours = Capabilities::new(&config("a secret of the tests")).unwrap();
        let theirs = Capabilities::new(&config("another secret")).unwrap();
        let tokens = Tokens::new(&config("a secret of the tests"));
        let user = Uuid::now_v7();
        let good = ours.issue(user, user, Purpose::Preview, None).unwrap();
        assert_eq!(theirs.verify(&good), None, "of another secret");
        assert_eq!(tokens.verify(&good), None, "a capability is no user's token");
        assert_eq!(ours.verify(&tokens.issue(user, None).unwrap().0), None, "a user's token is no capability");
        let (head, _) = good.rsplit_once('.').unwrap();
        for bad in [format!("{head}."), format!("{good}A"), String::new(), "x.y.z".to_owned()] {
            assert_eq!(ours.verify(&bad), None, "{bad}");
        }
    }
}
