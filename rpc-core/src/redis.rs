//! Opens Redis under a prefix that only this installation uses.

use crate::config::CoreConfig;
use crate::store;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use threadline_signals::{Redis, RedisUrlError};

/// Opens Redis with the prefix of this installation; `None` if it is not configured.
///
/// # Errors
/// When the URL cannot be used. A server that cannot be reached is no error.
pub(crate) fn open(config: &CoreConfig) -> Result<Option<Redis>, RedisUrlError> {
    config.redis.as_ref().map(|redis| Redis::open(redis, namespace(config))).transpose()
}

/// Returns the prefix, from what the replicas of one installation share: the key that signs tokens, and the name of the
/// database. Its address is not used, because it can differ from machine to machine.
fn namespace(config: &CoreConfig) -> Arc<str> {
    let mut hash = Sha256::new();
    hash.update(b"threadline installation\0");
    hash.update(config.auth.secret.expose_secret().as_bytes());
    hash.update([0]);
    // An invalid URL stops the start elsewhere.
    hash.update(store::database_name(&config.database).unwrap_or_default());
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h])).into()
}
