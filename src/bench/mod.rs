//! `threadline bench`: measures an installation over its REST API, as its users see it, and compares it with the
//! targets.
//!
//! It registers a user of its own, or uses a token, and deletes the sessions that it creates, also after a failure and
//! after Ctrl-C. The answers come from the model of the installation: with the demo model (no key) the figures are
//! those of Threadline alone.

mod report;
mod user;
mod work;

use crate::cli::BenchOptions;
use crate::stdout::print;
use anyhow::{Context, anyhow, bail};
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
    let token = options.token.clone().or_else(|| std::env::var("BENCH_TOKEN").ok()).filter(|token| !token.is_empty());
    let user = User::connect(&options.url, token.map(SecretString::from)).await?;
    let measured = Arc::new(Measured::default());
    let mut workers = JoinSet::new();
    let outcome = tokio::select! {
        outcome = Box::pin(measure(&user, &options, &measured, &mut workers)) => outcome,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into).and_then(|()| bail!("interrupted")),
    };
    user.stop();
    let cleaned = tokio::select! {
        cleaned = Box::pin(clean_up(&user, workers)) => cleaned,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted again")),
    };
    match (outcome, cleaned.context("sessions of this measurement are left")) {
        (Ok(()), Ok(())) => {}
        (Err(error), Ok(())) | (Ok(()), Err(error)) => return Err(error),
        (Err(first), Err(second)) => bail!("{first:#}; {second:#}"),
    }
    let report = Report::of(&measured);
    print(&report)?;
    Ok(report.meets_targets())
}

/// Runs both parts.
///
/// # Errors
/// The first error of a worker. The others still run.
async fn measure(
    user: &User,
    options: &BenchOptions,
    measured: &Arc<Measured>,
    workers: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let length = Duration::from_secs(u64::from(options.seconds));
    let until = Instant::now() + length;
    for _ in 0..options.connections {
        workers.spawn(work::calls(user.clone(), measured.clone(), until));
    }
    finish("calls", workers, measured, until).await?;

    let until = Instant::now() + length;
    for _ in 0..options.streams {
        workers.spawn(work::streams(user.clone(), measured.clone(), options.message.clone(), until));
    }
    finish("answers", workers, measured, until).await
}

/// Waits until all workers have ended, so that no session is created any more, and deletes the sessions that are left.
///
/// # Errors
/// The first error of a deletion.
async fn clean_up(user: &User, mut workers: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while workers.join_next().await.is_some() {}
    let left = user.sessions_left();
    let mut first_error = None;
    for (index, session) in left.iter().enumerate() {
        show(format_args!("deleting {} sessions; a limit may ask for a minute", left.len() - index));
        if let Err(error) = user.delete_left(session).await {
            first_error.get_or_insert(error);
        }
    }
    show(format_args!(""));
    first_error.map_or(Ok(()), Err)
}

/// Waits for the workers of one part, and shows their progress.
async fn finish(
    part: &str,
    workers: &mut JoinSet<anyhow::Result<()>>,
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
