//! What `threadline smoke` prints: one line for each step.

use crate::stdout::print;
use std::time::{Duration, Instant};

/// The lines so far.
#[derive(Debug)]
pub(super) struct Report {
    started: Instant,
    worked: usize,
    broken: Vec<&'static str>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), worked: 0, broken: Vec::new() }
    }

    /// Runs a step, and prints its result and its duration. Returns `None` when it failed.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub(super) async fn step<T>(
        &mut self,
        name: &'static str,
        limit: Duration,
        step: impl Future<Output = anyhow::Result<(T, String)>>,
    ) -> anyhow::Result<Option<T>> {
        let started = Instant::now();
        // Boxed: a step holds a connection and its buffers, which are too large for the stack of the caller.
        let outcome = tokio::time::timeout(limit, Box::pin(step)).await;
        let ms = started.elapsed().as_millis();
        let error = match outcome {
            Ok(Ok((value, words))) => {
                self.worked += 1;
                print(format_args!("ok    {name:<9} {ms:>6} ms  {words}\n"))?;
                return Ok(Some(value));
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("not done within {} s (--timeout-seconds)", limit.as_secs()),
        };
        self.broken.push(name);
        print(format_args!("FAIL  {name:<9} {ms:>6} ms  {error}\n"))?;
        Ok(None)
    }

    /// Prints that a step was left out.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub(super) fn skip(&self, name: &str, why: &str) -> anyhow::Result<()> {
        print(format_args!("skip  {name:<9}            {why}\n"))
    }

    /// Prints the last line. Returns whether all steps worked.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub(super) fn end(&self) -> anyhow::Result<bool> {
        let seconds = self.started.elapsed().as_secs_f64();
        if self.broken.is_empty() {
            print(format_args!("The deployment works: {} steps in {seconds:.1} s.\n", self.worked))?;
        } else {
            print(format_args!("The deployment is broken: {}.\n", self.broken.join(", ")))?;
        }
        Ok(self.broken.is_empty())
    }
}
