//! Under which names this installation keeps things in Redis.

use crate::config::CoreConfig;
use crate::store;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use threadline_signals::{Redis, RedisUrlError};

/// Opens Redis under the names of this installation; `None` where none is configured.
///
/// # Errors
/// When the URL cannot be used. A server that is away is no error.
pub(crate) fn open(config: &CoreConfig) -> Result<Option<Redis>, RedisUrlError> {
    config.redis.as_ref().map(|redis| Redis::open(redis, namespace(config))).transpose()
}

/// What the replicas of one installation have in common and no other has: the key they sign with, and the name of their
/// database. Not its address, which may look different from each machine.
fn namespace(config: &CoreConfig) -> Arc<str> {
    let mut hash = Sha256::new();
    hash.update(b"threadline installation\0");
    hash.update(config.auth.secret.expose_secret().as_bytes());
    hash.update([0]);
    // A URL that cannot be used stops the start elsewhere.
    hash.update(store::database_name(&config.database).unwrap_or_default());
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h])).into()
}
