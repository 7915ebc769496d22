//! A process that is stopped for longer than its lease, and then continues.

use crate::model::{self, AnswerPlan};
use crate::reader::{Reader, Transport};
use crate::service::{begin, items, pair, pair_that_interrupts, text, whole};
use crate::support::{App, Client};
use crate::trial::Trial;
use std::time::{Duration, Instant};

const PAUSE_MS: u64 = 100;
const RUNS: usize = 4;

/// Returns the run as all clients see it.
async fn snapshot(user: &Client, reader: &Reader) -> String {
    let anew = whole(Transport::RunSse, user, reader.session, reader.run).await;
    format!("{:?} {:?} {}", anew.numbered(), items(user, reader.session).await, user.run(reader.run).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_frozen_longer_than_its_lease_writes_nothing() {
    const TEST: &str = "frozen, two processes on PostgreSQL, runs that end";
    let upstream = model::start().await;
    let Some(pair) = pair_that_interrupts(&upstream).await else { return };
    // The frozen process would still emit words when it continues.
    freeze(TEST, pair, 400, "run.interrupted").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runs_of_a_frozen_process_continue_in_another_one() {
    const TEST: &str = "frozen, two processes on PostgreSQL, runs that continue";
    let upstream = model::start().await;
    let Some(pair) = pair(&upstream, &[]).await else { return };
    freeze(TEST, pair, 80, "run.completed").await;
}

/// Freezes one of two processes until the other has taken over its runs, whose answers have this many words.
async fn freeze(test: &'static str, [zombie, other]: [App; 2], words: usize, end: &str) {
    let trial = Trial::begin(test);
    let user = zombie.user().await;
    let there = user.at(&other);
    // Each run is read at both processes, through different transports.
    let mut followers = Vec::new();
    let mut runs = Vec::new();
    for number in 0..RUNS {
        let session = user.session().await;
        let run = begin(&user, session, &AnswerPlan::talk(words, PAUSE_MS, format!("f{number}"))).await;
        runs.push(Reader::new(session, run));
        for (at, transport) in [(&user, Transport::ALL[number]), (&there, Transport::ALL[(number + 1) % 4])] {
            let mut reader = Reader::new(session, run);
            let mut stream = transport.open(at, session, run, 0).await.expect("the service is there");
            while reader.events.len() < 10 {
                reader.take(stream.next(run).await.expect("the stream goes on"));
            }
            followers.push((reader, stream));
        }
    }
    let stop = |app: &App, name: &str| app.processes[0].signal(name);
    stop(&zombie, "STOP");
    let frozen = Instant::now();
    let mut closed = Vec::new();
    for run in &runs {
        let mut reader = run.clone();
        while !reader.follow(Transport::RunSse, &there).await {}
        assert_eq!(reader.end().unwrap()["type"], end);
        closed.push(snapshot(&there, run).await);
    }
    let taken_over = frozen.elapsed();
    // The threads are free while it is stopped.
    for (number, run) in runs.iter().enumerate() {
        let next = begin(&there, run.session, &AnswerPlan::talk(1, 0, format!("meanwhile{number}"))).await;
        assert_eq!(whole(Transport::RunSse, &there, run.session, next).await.end().unwrap()["type"], "run.completed");
    }
    let mut after = Vec::new();
    for run in &runs {
        after.push(snapshot(&there, run).await);
    }
    stop(&zombie, "CONT");
    let thawed = Instant::now();
    let mut lost = 0;
    for (mut reader, mut stream) in followers {
        assert!(reader.finish(&mut stream).await, "the stream broke off");
        let kinds: Vec<_> = reader.events.iter().map(|seen| seen.event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == "run.resync").count(), 1, "{kinds:?}");
        assert_eq!(kinds.last(), Some(&end), "{kinds:?}");
        if end == "run.interrupted" {
            assert_eq!(kinds[kinds.len() - 2], "run.resync", "{kinds:?}");
        }
        let stored = items(&there, reader.session).await;
        reader.check_items(&stored);
        let kept =
            stored.iter().filter(|item| item["type"] == "assistant_message").map(text).next().unwrap_or_default();
        lost = lost.max(reader.heard().len().saturating_sub(kept.len()));
    }
    let told = thawed.elapsed();
    // Long enough for all writes that it might try.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (run, before) in runs.iter().zip(after) {
        assert_eq!(snapshot(&there, run).await, before, "the zombie has written");
        // Its memory has words that it emitted after the end, and after them the resync event that replaces them.
        let at_zombie = whole(Transport::RunSse, &user, run.session, run.run).await;
        let elsewhere = whole(Transport::RunSse, &there, run.session, run.run).await;
        assert_eq!(at_zombie.items(), elsewhere.items(), "the zombie shows something else");
        assert_eq!((at_zombie.at(), at_zombie.end()), (elsewhere.at(), elsewhere.end()));
    }
    for (number, run) in runs.iter().enumerate() {
        let next = begin(&user, run.session, &AnswerPlan::talk(1, 0, format!("afterwards{number}"))).await;
        assert_eq!(whole(Transport::RunSse, &user, run.session, next).await.end().unwrap()["type"], "run.completed");
    }
    assert!(closed.iter().all(|closed| closed.contains("run.resync")));
    trial.report(format!(
        "{RUNS} runs ended by the other process {:.1} s after the freeze; all readers of the zombie told {} ms after its \
         thaw; up to {lost} characters heard and not kept",
        taken_over.as_secs_f64(),
        told.as_millis()
    ));
}
