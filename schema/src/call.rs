//! What travels beside a call, whichever transport carries it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The reserved member of by-name params: the end user's token and the facts of the original request, on a
/// connection that many users share. Every method ignores it.
pub const META: &str = "_meta";

/// Who calls, as far as the transport knows. Nothing in it is believed before the token is verified.
#[derive(Clone)]
pub struct Caller {
    /// The bearer token, without the word `Bearer`.
    pub token: Option<Arc<str>>,
    /// Address of the client, not of a proxy in between.
    pub ip: IpAddr,
    /// Names the request in every log line it causes, here and upstream.
    pub request_id: Arc<str>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token: what is printed for debugging ends up in logs.
        f.debug_struct("Caller").field("ip", &self.ip).field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// What the service found out while it answered; the gateway puts it in headers and its log line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// State of the caller's rate limit; `None` when no limit applied.
    pub rate: Option<Rate>,
    /// The verified user.
    pub user_id: Option<Uuid>,
    /// Time spent in the database.
    pub db: Duration,
    /// Whether the answer is that of an earlier submission under the same idempotency key.
    pub replayed: bool,
}

/// State of one rate limit after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls per minute.
    pub limit: u32,
    /// Calls that would be let through right now.
    pub remaining: u32,
    /// Seconds until the whole allowance is back.
    pub reset: u64,
}

/// One event of a run on its way to a subscriber.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The run.
    pub run_id: Uuid,
    /// Number of the event in its run, from 1; 0 for what is no event of a run and moves no cursor.
    pub seq: u64,
    /// The event's JSON, shared by all who read it.
    pub event: Arc<str>,
}
