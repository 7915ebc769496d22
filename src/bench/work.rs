//! What the workers do, again and again until their time is up.

use super::report::{Kind, Measured};
use super::user::{RESPONSE_TIMEOUT, User};
use anyhow::{Context, bail};
use futures::TryStreamExt;
use memchr::memmem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

/// Part of each event that has text of the answer. Text that contains these words has its quotes escaped.
const TOKEN: &[u8] = br#""type":"thread.item.content.part.delta""#;
/// Part of the event of a run that failed.
const FAILED: &[u8] = br#""type":"run.failed""#;
/// The last line of a stream.
const DONE: &[u8] = b"data: [DONE]";

/// Creates sessions and reads them. One session stays until the end, so that there is something to list.
pub(super) async fn calls(user: User, measured: Arc<Measured>, until: Instant) -> anyhow::Result<()> {
    let kept = user.create_session().await?;
    while Instant::now() < until && !user.is_stopped() {
        let session = measured.time(Kind::Session, user.create_session()).await?;
        measured.time(Kind::Thread, user.create_thread(&session)).await?;
        measured.time(Kind::List, user.list_sessions()).await?;
        measured.time(Kind::History, user.read_history(&kept)).await?;
        measured.time(Kind::Delete, user.delete_session(&session)).await?;
    }
    user.delete_session(&kept).await
}

/// Sends a message in a session of its own, and reads the answer.
pub(super) async fn streams(
    user: User,
    measured: Arc<Measured>,
    message: String,
    until: Instant,
) -> anyhow::Result<()> {
    while Instant::now() < until && !user.is_stopped() {
        let session = user.create_session().await?;
        let answered = tokio::select! {
            answered = answer(&user, &measured, &session, &message) => answered,
            // The answer ends with its session.
            () = user.stopped() => Ok(()),
        };
        user.delete_session(&session).await?;
        answered?;
    }
    Ok(())
}

async fn answer(user: &User, measured: &Measured, session: &str, message: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut last = None;
    let mut stream = pin!(user.send_message(session, message).await?);
    // The last line that is not complete yet: a line can arrive in two pieces.
    let mut seen = Vec::new();
    let mut is_done = false;
    loop {
        let next = tokio::time::timeout(RESPONSE_TIMEOUT, stream.try_next()).await;
        let Some(piece) = next.context("a stream was silent for too long")?? else { break };
        let now = Instant::now();
        seen.extend_from_slice(&piece);
        let whole = seen.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let events: Vec<u8> = seen.drain(..whole).collect();
        for _ in memmem::find_iter(&events, TOKEN) {
            match last.replace(now) {
                None => measured.add(Kind::FirstToken, now - began),
                Some(before) => measured.add(Kind::Token, now - before),
            }
        }
        if memmem::find(&events, FAILED).is_some() {
            bail!("a run failed: {}", String::from_utf8_lossy(&events).trim());
        }
        is_done |= memmem::find(&events, DONE).is_some();
    }
    if !is_done {
        bail!("an answer broke off");
    }
    measured.add(Kind::Answer, began.elapsed());
    Ok(())
}
