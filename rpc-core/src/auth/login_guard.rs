//! Slows down attempts to guess the password of one account, from any number of addresses.
//!
//! Failures are counted per email, in the database, so that all replicas count together. An attacker who knows an email
//! could lock its account by guessing wrongly. So an address from which the user has logged in before is not slowed
//! down: there the limit of the address is enough.

use crate::error::Error;
use crate::store::{Clock, Store};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use threadline_schema::head::network_of;
use threadline_schema::{ErrorCode, RpcError};

/// Maximum number of pairs of email and address that are remembered after a login; about 100 bytes each.
const MAX_KNOWN: usize = 10_000;
/// Digits of the hash of an email in a log line: enough to tell emails apart, and not enough to search for one.
const LOGGED_DIGITS: usize = 12;

/// Counts failed logins.
pub(crate) struct LoginGuard {
    store: Store,
    clock: Arc<Clock>,
    /// Emails, and the networks from which they have logged in to this process.
    known: quick_cache::sync::Cache<(String, IpAddr), ()>,
}

/// One attempt to log in.
pub(crate) struct LoginAttempt<'g> {
    guard: &'g LoginGuard,
    email_hash: String,
    ip: IpAddr,
    is_counted: bool,
}

impl LoginGuard {
    pub(crate) fn new(store: Store, clock: Arc<Clock>) -> Self {
        Self { store, clock, known: quick_cache::sync::Cache::new(MAX_KNOWN) }
    }

    /// Begins an attempt. It counts as a failure until it succeeds.
    ///
    /// # Errors
    /// `RATE_LIMITED` after too many failures, `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn begin(&self, email: &str, ip: IpAddr) -> Result<LoginAttempt<'_>, Error> {
        let email_hash = hash_of(email);
        let ip = network_of(ip);
        let is_counted = self.known.get(&(email_hash.clone(), ip)).is_none();
        let now = self.clock.now();
        let attempt = LoginAttempt { guard: self, email_hash, ip, is_counted };
        if !is_counted {
            return Ok(attempt);
        }
        match self.store.login_begin(attempt.email_hash.clone(), now).await? {
            None => Ok(attempt),
            Some(until) => {
                attempt.log("blocked");
                let wait = (until.utc() - now.utc()).num_seconds().max(0) + 1;
                let message =
                    format!("There were too many failed logins to this account. Please wait {wait} s, then try again.");
                Err(RpcError::new(ErrorCode::RateLimited, message).with("retry_after", wait).into())
            }
        }
    }
}

impl LoginAttempt<'_> {
    /// Records that the password was right.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn succeed(self) -> Result<(), Error> {
        let Self { guard, email_hash, ip, is_counted } = self;
        if is_counted {
            guard.store.login_succeeded(email_hash.clone()).await?;
            guard.known.insert((email_hash, ip), ());
        }
        Ok(())
    }

    /// Records that email or password was wrong.
    pub(crate) fn fail(self) {
        self.log("wrong");
    }

    fn log(&self, outcome: &'static str) {
        metrics::counter!("threadline_login_failures_total", "outcome" => outcome).increment(1);
        let email = self.email_hash.get(..LOGGED_DIGITS);
        tracing::warn!(target: "threadline::security", ip = %self.ip, email_hash = email, outcome, "login failed");
    }
}

/// Returns the hash under which the failures of an email are counted.
///
/// All spellings of the email of one account have one hash: another spelling must not give an attacker more attempts.
pub(crate) fn hash_of(email: &str) -> String {
    let email = super::email::normalize(email).unwrap_or_else(|_| super::email::legacy(email));
    let digest: [u8; 32] = Sha256::digest(email).into();
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
