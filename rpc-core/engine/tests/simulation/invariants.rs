//! What must be true at the end of each scenario.

use super::client::{Client, follow};
use super::driver::Executions;
use super::fold::{essence, id_of};
use super::scenario::World;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::chatkit::ThreadItem;
use threadline_schema::event::Event;
use threadline_schema::ids::RunId;
use threadline_schema::page::Order;
use threadline_store::{ItemPage, Store};
use tokio::time::{Instant, sleep, timeout};

/// Waits until no thread is busy.
pub(crate) async fn no_run_is_active(_: &World, store: &Store) {
    while !store.runs_active(1).await.unwrap().is_empty() {
        sleep(Duration::from_millis(500)).await;
    }
}

/// Sends one more message to each thread, and follows it to the end of its run.
pub(crate) async fn every_thread_answers(world: &Arc<World>, mut rng: Rng) {
    let threads = world.record.threads.lock().unwrap().clone();
    for thread_id in threads {
        let mut client = Client { world: world.clone(), thread_id, rng: rng.fork(), sent: 1_000 };
        let sent = timeout(Duration::from_secs(60), client.send(Instant::now() + Duration::from_secs(50))).await;
        let Ok(Some(run_id)) = sent else { panic!("thread {thread_id} takes no message: {sent:?}") };
        let end = timeout(Duration::from_secs(120), follow(world.clone(), run_id, rng.fork())).await;
        assert!(end.is_ok(), "run {run_id} has no end");
    }
}

/// Checks everything that clients were told against the database.
pub(crate) async fn check(world: &World, store: &Store) {
    for (call, count) in world.executions.calls.lock().unwrap().iter() {
        assert!(*count <= Executions::limit_of(call), "tool call {call} was executed {count} times");
    }
    for ((run_id, epoch), owners) in world.executions.owners.lock().unwrap().iter() {
        assert_eq!(owners.len(), 1, "epoch {epoch} of run {run_id} was executed by the processes {owners:?}");
    }
    let acknowledged = world.record.acknowledged.lock().unwrap().clone();
    let mut messages: BTreeMap<String, u32> = BTreeMap::new();
    let threads = world.record.threads.lock().unwrap().clone();
    for thread_id in threads {
        let page = ItemPage { limit: 10_000, order: Order::Asc, after: None, hidden: true };
        let (items, _) = store.items_page(world.user_id, thread_id, page).await.unwrap();
        let ids: BTreeSet<_> = items.iter().map(|item| item.id).collect();
        assert_eq!(ids.len(), items.len(), "an id stands for two items");
        for item in items {
            if let Ok(ThreadItem::UserMessage(message)) = serde_json::from_str(&item.body) {
                *messages.entry(message.content[0].text().to_owned()).or_default() += 1;
            }
        }
    }
    for (text, count) in &messages {
        assert_eq!(*count, 1, "{text:?} is stored {count} times");
    }
    let mut runs: BTreeMap<&str, RunId> = BTreeMap::new();
    for (_, text, run_id) in &acknowledged {
        assert!(messages.contains_key(text.as_str()), "{text:?} was acknowledged and is lost");
        let known = *runs.entry(text).or_insert(*run_id);
        assert_eq!(known, *run_id, "{text:?} was answered twice");
    }
    for run_id in runs.into_values() {
        check_run(world, store, run_id).await;
    }
}

async fn check_run(world: &World, store: &Store, run_id: RunId) {
    let row = store.run_get(world.user_id, run_id).await.unwrap();
    assert!(row.status.is_final(), "run {run_id} has not ended");
    let rows = store.events_after(run_id, 0, 100_000).await.unwrap();
    let mut last = 0;
    for row in &rows {
        assert!(row.first_seq > last, "rows of run {run_id} overlap at {}", row.first_seq);
        last = row.last_seq;
    }
    let terminal = rows.iter().filter(|row| is_terminal(&row.event)).count();
    assert_eq!(terminal, 1, "terminal events of run {run_id}");
    assert!(is_terminal(&rows.last().unwrap().event), "an event follows the end of run {run_id}");
    assert_eq!(row.last_seq, last, "the last event of run {run_id}");

    let stored = store.run_items(run_id).await.unwrap();
    let stored: BTreeMap<_, _> = stored
        .iter()
        .filter(|item| !item.hidden)
        .map(|item| {
            let item: ThreadItem = serde_json::from_str(&item.body).unwrap();
            (id_of(&item), essence(&item))
        })
        .collect();
    let folds = world.record.folds.lock().unwrap();
    let mut end = None;
    for (_, fold) in folds.iter().filter(|(run, _)| *run == run_id) {
        assert_eq!(fold.end["status"], row.status.name(), "a follower of run {run_id} was told another end");
        assert_eq!(*end.get_or_insert(&fold.end), &fold.end, "followers of run {run_id} were told different ends");
        let known: BTreeMap<_, _> = fold.items.iter().map(|(id, item)| (*id, essence(item))).collect();
        assert_eq!(
            known, stored,
            "a follower of run {run_id} knows other items than the database; it ended with {:?}",
            fold.terminal
        );
    }
}

fn is_terminal(event: &str) -> bool {
    Event::from_json(event).kind().is_terminal()
}
