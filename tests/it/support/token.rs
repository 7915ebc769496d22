//! Tokens, valid and invalid.

use super::process::SECRET;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

/// Returns a valid token, like that of `auth.login`, for a number of seconds from now.
pub fn mint(user_id: Uuid, seconds: i64) -> String {
    sign(&json!({"sub": user_id, "exp": chrono::Utc::now().timestamp() + seconds}), Algorithm::HS256, SECRET)
}

/// Signs any claims with any algorithm and key.
pub fn sign(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .expect("a token")
}

/// Signs what a URL of an attachment permits, with the key that the service derives for that.
pub fn capability(claims: &Value) -> String {
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let key = jsonwebtoken::crypto::sign(b"threadline: attachments", &secret, Algorithm::HS256).expect("a key");
    sign(claims, Algorithm::HS256, &key)
}
