//! Codes that a person or a program is given once, and that are stored as a hash: invitations, keys of services.
//!
//! They are random, so a fast hash is enough: there is nothing to guess.

use argon2::password_hash::rand_core::{OsRng, RngCore};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// Random bytes of a code.
const BYTES: usize = 32;

/// Returns a new code: the prefix, which says what the code is for, and 43 random characters.
pub(crate) fn generate(prefix: &str) -> SecretString {
    let mut bytes = [0; BYTES];
    OsRng.fill_bytes(&mut bytes);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)).into()
}

/// Returns a new password: 22 random characters.
pub fn generate_password() -> SecretString {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes).into()
}

/// Returns the SHA-256 of a code, in hex.
pub(crate) fn hash(code: &str) -> String {
    Sha256::digest(code).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn codes_are_random_and_hashes_are_not() {
        let (one, two) = (generate("x_"), generate("x_"));
        assert!(one.expose_secret() != two.expose_secret() && one.expose_secret().starts_with("x_"));
        assert_eq!(one.expose_secret().len(), 45);
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
