//! Passwords: hashed with argon2id, on blocking threads.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString, rand_core::OsRng};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::{Arc, LazyLock};
use tokio::sync::{AcquireError, Semaphore};
use tokio::task::JoinError;

/// Allowed length of a password in characters, as the API documents it.
pub(crate) const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Memory and passes of one hash: the first parameter set that OWASP recommends for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Hashes and verifies passwords, a few at a time. Clones share the bound.
#[derive(Clone)]
pub(crate) struct Passwords {
    /// One hash uses a core for about 20 ms. Without a bound, many logins at once would use all cores.
    permits: Arc<Semaphore>,
}

/// A password could not be hashed. No password causes this.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// The hasher.
    #[error("hashing a password failed: {0}")]
    Hash(#[from] argon2::password_hash::Error),
    /// The hasher panicked, or the runtime is shutting down.
    #[error("a password was not hashed: {0}")]
    Task(#[from] JoinError),
    /// The semaphore is closed, which never happens.
    #[error("a password was not hashed: {0}")]
    Permit(#[from] AcquireError),
}

impl Passwords {
    /// Allows as many hashes at a time as half of the cores, but at least one.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Arc::new(Semaphore::new((cores / 2).max(1))) }
    }

    /// Hashes a password. Returns a PHC string.
    ///
    /// # Errors
    /// Not for any password; see [`PasswordError`].
    pub(crate) async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(move || {
            let salt = SaltString::generate(&mut OsRng);
            Ok(hasher().hash_password(password.as_bytes(), &salt)?.to_string())
        })
        .await?
    }

    /// Verifies a password against a hash. Without a hash it returns `false` after the same work, so that the response
    /// time does not tell whether an account exists.
    ///
    /// # Errors
    /// Not for any password; see [`PasswordError`].
    pub(crate) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        self.run(move || {
            let has_hash = hash.is_some();
            let hash = match hash {
                Some(hash) => hash,
                None => DECOY.clone()?,
            };
            let matches = hasher().verify_password(password.as_bytes(), &PasswordHash::new(&hash)?).is_ok();
            Ok(matches && has_hash)
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let permit = self.permits.clone().acquire_owned().await?;
        let hashed = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        Ok(hashed.await?)
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the hash function of passwords.
pub(crate) fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash that the password for an unknown account is verified against.
static DECOY: LazyLock<Result<String, argon2::password_hash::Error>> = LazyLock::new(|| {
    let salt = SaltString::generate(&mut OsRng);
    hasher().hash_password(b"nobody", &salt).map(|hash| hash.to_string())
});

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_verifies_its_password_only() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("nobody".to_owned(), None).await.unwrap());
    }
}
