//! `threadline bench`: measures an installation over its REST API, as its users see it, and compares it with the
//! targets.
//!
//! It registers a user of its own, or uses a token, and deletes the sessions that it creates. The answers come from the
//! model of the installation: with the demo model (no key) the figures are those of Threadline alone.

mod report;
mod user;
mod work;

use crate::cli::BenchOptions;
use crate::stdout::print;
use report::{Measured, Report};
use secrecy::SecretString;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use user::User;

/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_millis(500);

/// Measures an installation and prints a table. Returns whether all targets are met.
///
/// # Errors
/// When the installation cannot be reached, or refuses a request.
pub async fn bench(options: BenchOptions) -> anyhow::Result<bool> {
    // Other users of the machine can see the flags of a process.
    let token = options.token.or_else(|| std::env::var("BENCH_TOKEN").ok()).filter(|token| !token.is_empty());
    let user = User::connect(&options.url, token.map(SecretString::from)).await?;
    let measured = Arc::new(Measured::default());
    let length = Duration::from_secs(u64::from(options.seconds));

    let mut calls = JoinSet::new();
    let until = Instant::now() + length;
    for _ in 0..options.connections {
        calls.spawn(work::calls(user.clone(), measured.clone(), until));
    }
    finish("calls", calls, &measured, until).await?;

    let mut streams = JoinSet::new();
    let until = Instant::now() + length;
    for _ in 0..options.streams {
        streams.spawn(work::streams(user.clone(), measured.clone(), options.message.clone(), until));
    }
    finish("answers", streams, &measured, until).await?;

    let report = Report::of(&measured);
    print(&report)?;
    Ok(report.meets_targets())
}

/// Waits for the workers of one part, and shows their progress.
async fn finish(
    part: &str,
    mut workers: JoinSet<anyhow::Result<()>>,
    measured: &Measured,
    until: Instant,
) -> anyhow::Result<()> {
    let mut progress = tokio::time::interval(PROGRESS);
    loop {
        tokio::select! {
            done = workers.join_next() => match done {
                Some(done) => done??,
                None => break,
            },
            _ = progress.tick() => {
                let left = until.saturating_duration_since(Instant::now()).as_secs();
                show(format_args!("{part}: {} calls, {} answers, {left} s left", measured.calls(), measured.answers()));
            }
        }
    }
    show(format_args!(""));
    Ok(())
}

/// Replaces the line of progress, if stderr is a terminal.
fn show(line: std::fmt::Arguments<'_>) {
    let mut terminal = std::io::stderr().lock();
    if terminal.is_terminal() {
        // Progress that cannot be shown is no reason to end.
        let _ = write!(terminal, "\r\x1b[2K{line}").and_then(|()| terminal.flush());
    }
}
