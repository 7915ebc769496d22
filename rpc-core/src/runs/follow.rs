//! Following a thread: where its reader begins.

use super::feed::RunFeed;
use super::thread_feed::shown::Shown;
use super::thread_feed::{Place, ThreadFeed};
use crate::core::Core;
use crate::error::Error;
use crate::store::ItemPage;
use crate::store::rows::RunRow;
use crate::wire;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::event::ThreadLifecycleEvent;
use threadline_schema::page::Order;
use threadline_schema::runs::After;
use threadline_schema::threads::{Since, Thread, ThreadsSubscribeParams};
use uuid::Uuid;

/// Items of a snapshot at most: a whole conversation, for all but the longest.
const SNAPSHOT_ITEMS: u32 = 1_000;

/// Opens a reader of a thread's events, and says behind which event it begins.
pub(crate) async fn follow(
    core: &Arc<Core>,
    user_id: Uuid,
    params: ThreadsSubscribeParams,
    token_lifetime: Duration,
) -> Result<(ThreadFeed, Since), Error> {
    let ThreadsSubscribeParams { thread_id, after, snapshot } = params;
    if core.hub.wakes.is_over() {
        return Err(Error::stopping());
    }
    let wake = core.hub.wakes.of(thread_id);
    // Where to begin is decided before the items are read: what happens between the two is in both, and comes again under
    // the same ids. The other way round it could be in neither.
    let (thread, last) =
        core.store.thread_last_run(user_id.into(), thread_id.into()).await.map_err(Error::of_thread)?;
    let (at, feed) = match after.as_deref() {
        None => (from_now(last), None),
        Some(after) => behind(core, user_id, thread_id, after, token_lifetime).await?,
    };
    let first = if snapshot { Some(take_snapshot(core, user_id, thread_id).await?) } else { None };
    let since = match at.run_id {
        None => Since::Beginning,
        Some(run_id) => Since::Event { run_id, seq: at.seq },
    };
    // What has changed outside of runs before now is in a snapshot: who goes on behind a cursor gets what is behind it, and
    // nothing beside.
    let showing = (Shown::of(&wire::thread(&thread)?), first);
    let feed = ThreadFeed::new(core.clone(), (user_id, thread_id), wake, token_lifetime, (at, feed), showing);
    Ok((feed, since))
}

/// How often it is looked for runs that other processes have begun: their wake-ups can be lost.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How far back it is looked each time: what clocks differ by, and what a transaction takes, is allowed for.
const LOOK_BACK: Duration = Duration::from_secs(20);

/// Wakes those who follow threads in which a run has begun lately: one question for all of them.
pub(super) async fn wake_followers(core: &Core) {
    if core.hub.wakes.is_empty() {
        return;
    }
    let since = chrono::Utc::now() - LOOK_BACK;
    // Ids of runs begin with the time they were made at.
    let millis = u64::try_from(since.timestamp_millis()).unwrap_or_default();
    let since = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid();
    match core.store.threads_begun(since.into()).await {
        Ok(threads) => threads.into_iter().for_each(|thread| core.hub.run_began(thread.0)),
        Err(error) => tracing::warn!(%error, "new runs could not be looked for"),
    }
}

/// Before the run that answers, or behind the last that has.
fn from_now(last: Option<RunRow>) -> Place {
    match last {
        None => Place::BEGINNING,
        Some(run) if run.status.is_final() => Place::in_run(&run, wire::run(&run).last_seq, true),
        Some(run) => Place::in_run(&run, 0, false),
    }
}

/// Behind the event that a cursor names, with a reader of that run's rest if it has one.
async fn behind(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    after: &str,
    token_lifetime: Duration,
) -> Result<(Place, Option<RunFeed>), Error> {
    let wrong = || Error::invalid("`after` must be the cursor `run_id:seq` of an event of this thread, or `0`.");
    let (run_id, seq) = match after.parse().map_err(|_| wrong())? {
        Since::Beginning => return Ok((Place::BEGINNING, None)),
        Since::Event { run_id, seq } => (run_id, seq),
    };
    let run = core.store.run_of_thread(thread_id.into(), run_id.into()).await?.ok_or_else(wrong)?;
    if run.status.is_final() && wire::run(&run).last_seq == seq {
        return Ok((Place::in_run(&run, seq, true), None));
    }
    // The run judges whether it has such an event.
    let feed = super::subscribe(core, user_id, run_id, Some(After::Seq(seq)), token_lifetime).await?;
    Ok((Place::in_run(&run, seq, false), Some(feed)))
}

/// The event that shows the thread with its newest items.
async fn take_snapshot(core: &Core, user_id: Uuid, thread_id: Uuid) -> Result<Arc<str>, Error> {
    let page = ItemPage { limit: SNAPSHOT_ITEMS, order: Order::Desc, after: None, hidden: false };
    let found = core.store.thread_with_items(user_id.into(), thread_id.into(), page).await;
    let (thread, items, has_more) = found.map_err(Error::of_thread)?;
    // Read from the newest on, so that is where the next page begins; shown as a conversation goes.
    let mut items = wire::item_page(items, has_more)?;
    items.data.reverse();
    let thread = Box::new(Thread { items, ..wire::thread(&thread)? });
    Ok(serde_json::to_string(&ThreadLifecycleEvent::Snapshot { thread })?.into())
}
