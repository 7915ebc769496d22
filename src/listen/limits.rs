//! The limits of a listener and of its connections.

use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;

/// Limits of a listener and of each of its connections.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Maximum number of open connections. Further ones are answered 503 and closed. They do not wait in the backlog: a
    /// client or load balancer that gets a 503 can use another replica, one that gets nothing waits here.
    pub connections: usize,
    /// Maximum number of open connections of one address, or of one /64 network with IPv6.
    pub per_address: usize,
    /// Proxies, whose connections are those of many clients and are not limited per address.
    pub proxies: Arc<[IpNet]>,
    /// Maximum time from the first byte of a request to the end of its head, and from connecting to the first head.
    pub head_timeout: Duration,
    /// Maximum time without a byte between two requests.
    pub idle_timeout: Duration,
    /// Maximum time in which the peer reads no byte of what is waiting for it.
    pub stall_timeout: Duration,
    /// Maximum size of a request's head in bytes. A larger one is answered 431.
    pub head_bytes: usize,
    /// Maximum time for open connections to finish after the signal to stop. It must be longer than the time that runs
    /// get, since their streams end after them.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    /// Returns the limits that the manual names: 10 s for a head, 75 s between requests (nginx's keep-alive), 30 s for
    /// a stalled reader, 32 KiB for a head.
    fn default() -> Self {
        Self {
            connections: 10_000,
            per_address: usize::MAX,
            proxies: Arc::default(),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(30),
            head_bytes: 32 * 1024,
            drain: Duration::from_secs(15),
        }
    }
}
