//! Tokens of every kind, good and bad.

use super::process::SECRET;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

/// A good token: what `auth.login` would give, for so many seconds from now.
pub fn mint(user_id: Uuid, seconds: i64) -> String {
    sign(&json!({"sub": user_id, "exp": chrono::Utc::now().timestamp() + seconds}), Algorithm::HS256, SECRET)
}

/// Any claims, signed in any way.
pub fn sign(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .expect("a token")
}
