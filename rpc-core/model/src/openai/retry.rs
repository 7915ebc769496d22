//! Decides whether and when a failed attempt is repeated.

use crate::{ModelError, WaitingFor};
use backon::ExponentialBuilder;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Pause before the second attempt. Each later pause is twice as long, and each gets a random addition of up to its own
/// length, so that runs that failed together do not retry together.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause. If a server asks for more, there is no further attempt: the user gets the error earlier than a
/// response.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Exponential backoff that respects `Retry-After` and the deadline for the first token.
pub(super) struct RetryPolicy {
    max_retries: usize,
    deadline: Instant,
    has_retried_call: AtomicBool,
}

impl RetryPolicy {
    /// `max_attempts` includes the first attempt. 0 means 1.
    pub(super) fn new(max_attempts: u32, deadline: Instant) -> Self {
        Self {
            max_retries: max_attempts.saturating_sub(1) as usize,
            deadline,
            has_retried_call: AtomicBool::new(false),
        }
    }

    /// Returns the pauses between the attempts.
    pub(super) fn backoff(&self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_factor(2.0)
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(MAX_PAUSE)
            .with_max_times(self.max_retries)
            .with_jitter()
    }

    /// Returns whether the same request can succeed a moment later. The statuses are those that OpenAI's own clients
    /// retry, without the 5xx that blame the request, and with those of Cloudflare and of overloaded hosts
    /// (498: Groq).
    pub(super) fn is_retryable(&self, error: &ModelError) -> bool {
        match error {
            ModelError::Connect { .. } | ModelError::InvalidResponse { .. } | ModelError::Overloaded { .. } => true,
            ModelError::Timeout { waiting_for, .. } => *waiting_for == WaitingFor::Connection,
            ModelError::Refused { status, .. } => {
                matches!(status, 408 | 409 | 425 | 429 | 498 | 500 | 502 | 503 | 504 | 520..=525 | 529 | 530)
            }
            // Once: another sample of the model can be valid, and if not, no further one will be.
            ModelError::InvalidCall { .. } => !self.has_retried_call.swap(true, Ordering::Relaxed),
            ModelError::ContextLength { .. } | ModelError::NoAnswer { .. } => false,
        }
    }

    /// Returns the pause before the next attempt, or `None` if there must be none: the backoff is exhausted (`None` in
    /// `backoff`), the server asks for too long a pause, or the deadline would pass.
    pub(super) fn pause(&self, error: &ModelError, backoff: Option<Duration>) -> Option<Duration> {
        let pause = match error {
            ModelError::Overloaded { retry_after: Some(retry_after), .. } => backoff?.max(*retry_after),
            // The jitter can exceed the maximum.
            _ => backoff?.min(MAX_PAUSE),
        };
        (pause <= MAX_PAUSE && Instant::now() + pause < self.deadline).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backon::BackoffBuilder;
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn runs_that_fail_together_do_not_retry_together() {
        let policy = RetryPolicy::new(3, Instant::now());
        let pauses: BTreeSet<Duration> = (0..16).filter_map(|_| policy.backoff().build().next()).collect();
        assert!(pauses.len() > 1, "{pauses:?}");
    }
}
