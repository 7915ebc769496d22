//! Passwords: argon2id, off the async threads.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString, rand_core::OsRng};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Fewest and most characters of a password, as the contract has them.
pub(crate) const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Memory and passes of one hash: the first of OWASP's recommended sets for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Hashes and checks passwords, a few at a time.
#[derive(Clone)]
pub(crate) struct Passwords {
    /// A hash takes a core for some 20 ms. Without a bound, a crowd that logs in would take every core from those who
    /// are being answered.
    permits: Arc<Semaphore>,
}

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
#[error("hashing failed: {0}")]
pub(crate) struct PasswordError(String);

impl Passwords {
    /// Uses at most half of the cores, and at least one.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Arc::new(Semaphore::new((cores / 2).max(1))) }
    }

    /// The hash of a password, in PHC string form.
    ///
    /// # Errors
    /// When the hasher fails, which no password brings about.
    pub(crate) async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(move || {
            let salt = SaltString::generate(&mut OsRng);
            let hash =
                hasher().hash_password(password.as_bytes(), &salt).map_err(|error| PasswordError(error.to_string()))?;
            Ok(hash.to_string())
        })
        .await?
    }

    /// Whether the password belongs to the hash. Without a hash the answer is no, after the same work: nobody learns
    /// from the time it takes whether an account exists.
    ///
    /// # Errors
    /// When the hasher fails, which no password brings about.
    pub(crate) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        self.run(move || {
            let known = hash.is_some();
            let hash = match hash {
                Some(hash) => hash,
                None => decoy()?.to_owned(),
            };
            let parsed = PasswordHash::new(&hash).map_err(|error| PasswordError(error.to_string()))?;
            let matches = hasher().verify_password(password.as_bytes(), &parsed).is_ok();
            Ok(matches && known)
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|error| PasswordError(error.to_string()))?;
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        })
        .await
        .map_err(|error| PasswordError(error.to_string()))
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash an unknown account is checked against.
fn decoy() -> Result<&'static str, PasswordError> {
    static DECOY: OnceLock<Result<String, String>> = OnceLock::new();
    DECOY
        .get_or_init(|| {
            let salt = SaltString::generate(&mut OsRng);
            hasher().hash_password(b"nobody", &salt).map(|hash| hash.to_string()).map_err(|error| error.to_string())
        })
        .as_deref()
        .map_err(|error| PasswordError(error.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_knows_its_password() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("nobody".to_owned(), None).await.unwrap());
    }
}
