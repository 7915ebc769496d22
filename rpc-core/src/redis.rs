//! Opens Redis under a prefix that only this installation uses.

use crate::auth::password;
use crate::config::CoreConfig;
use crate::store;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use threadline_signals::{Redis, RedisUrlError};

/// Bytes of the prefix.
const PREFIX_BYTES: usize = 16;

/// Why Redis cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RedisOpenError {
    /// The URL cannot be used.
    #[error(transparent)]
    Url(#[from] RedisUrlError),
    /// The prefix cannot be derived from the key. No key causes this.
    #[error("the prefix of the names in Redis cannot be derived: {0}")]
    Prefix(#[from] argon2::Error),
}

/// Opens Redis with the prefix of this installation; `None` if it is not configured.
///
/// # Errors
/// When the URL cannot be used. A server that cannot be reached is not an error.
pub(crate) fn open(config: &CoreConfig) -> Result<Option<Redis>, RedisOpenError> {
    let Some(redis) = &config.redis else { return Ok(None) };
    Ok(Some(Redis::open(redis, namespace(config)?)?))
}

/// Returns the prefix, from what the replicas of one installation share: the key that signs tokens, and the name of the
/// database. Its address is not used, because it can differ from machine to machine.
///
/// An attacker who can see the names in Redis could try keys. So the key goes through the hash of passwords, which
/// makes each try expensive.
fn namespace(config: &CoreConfig) -> Result<Arc<str>, RedisOpenError> {
    let mut salt = Sha256::new();
    salt.update(b"threadline installation\0");
    // An invalid URL stops the start elsewhere.
    salt.update(store::database_name(&config.database).unwrap_or_default());
    let salt: [u8; 32] = salt.finalize().into();
    let mut prefix = [0; PREFIX_BYTES];
    let secret = config.auth.secret.expose_secret().as_bytes();
    password::hasher().hash_password_into(secret, &salt, &mut prefix)?;
    Ok(prefix.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}
