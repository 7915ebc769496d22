//! What the workers do, each over and over until its time is up.

use super::client::Client;
use super::report::{Kind, Measured};
use anyhow::bail;
use futures::TryStreamExt;
use memchr::memmem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

/// Part of each event with a piece of the answer. In a text, its quotes would be escaped.
const TOKEN: &[u8] = br#""type":"thread.item.content.part.delta""#;
/// Part of the event of a run that failed.
const FAILED: &[u8] = br#""type":"run.failed""#;
/// The last line of a stream.
const DONE: &[u8] = b"data: [DONE]";

/// Makes sessions and reads them. One session lives as long as the worker, so that there is something to list.
pub(super) async fn calls(client: Client, measured: Arc<Measured>, until: Instant) -> anyhow::Result<()> {
    let kept = client.create_session().await?;
    while Instant::now() < until {
        let session = measured.time(Kind::Session, client.create_session()).await?;
        measured.time(Kind::Thread, client.create_thread(&session)).await?;
        measured.time(Kind::List, client.list()).await?;
        measured.time(Kind::History, client.history(&kept)).await?;
        measured.time(Kind::Delete, client.delete(&session)).await?;
    }
    client.delete(&kept).await
}

/// Says something in a session of its own, and reads the answer.
pub(super) async fn streams(
    client: Client,
    measured: Arc<Measured>,
    message: String,
    until: Instant,
) -> anyhow::Result<()> {
    while Instant::now() < until {
        let session = client.create_session().await?;
        let answered = answer(&client, &measured, &session, &message).await;
        client.delete(&session).await?;
        answered?;
    }
    Ok(())
}

async fn answer(client: &Client, measured: &Measured, session: &str, message: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut last = None;
    let mut stream = pin!(client.say(session, message).await?);
    // The end of the last piece: what is looked for may be in two.
    let mut seen = Vec::new();
    let mut is_done = false;
    while let Some(piece) = stream.try_next().await? {
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
