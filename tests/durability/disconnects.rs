//! Streams that break and are resumed, through other transports and at other processes.

use crate::model::{self, AnswerPlan};
use crate::reader::{Reader, Transport};
use crate::service::{begin, items, pair, unlimited, whole};
use crate::support::{App, Client, Setup};
use crate::trial::{Trial, some};
use std::time::Duration;
use uuid::Uuid;

/// Reads a run to its end, and disconnects again and again. Returns the number of connections.
async fn restless(mut rng: fastrand::Rng, clients: Vec<Client>, session: Uuid, run: Uuid) -> (Reader, usize) {
    let mut reader = Reader::new(session, run);
    let mut opened = 0;
    while reader.end().is_none() {
        let (transport, user) =
            (Transport::ALL[rng.usize(..Transport::ALL.len())], &clients[rng.usize(..clients.len())]);
        let mut stream = transport.open(user, session, run, reader.at()).await.expect("the service is there");
        opened += 1;
        // After a number of events, or after a time, which can be in the middle of an event.
        let leave = tokio::time::sleep(some(&mut rng, Duration::from_millis(120)));
        let most = if rng.bool() { rng.usize(1..12) } else { usize::MAX };
        tokio::pin!(leave);
        for _ in 0..most {
            tokio::select! {
                seen = stream.next(run) => reader.take(seen.expect("the stream goes on")),
                () = &mut leave, if most == usize::MAX => break,
            }
            if reader.end().is_some() {
                break;
            }
        }
    }
    (reader, opened)
}

async fn wander(test: &'static str, apps: Vec<App>) {
    let mut trial = Trial::begin(test);
    let rounds = trial.rounds(60);
    let user = apps[0].user().await;
    let clients: Vec<Client> = apps.iter().map(|app| user.at(app)).collect();
    let (mut opened, mut events, mut runs) = (0, 0, 0);
    while opened < rounds {
        let session = user.session().await;
        let mut plan = AnswerPlan::talk(trial.rng.usize(10..60), trial.rng.u64(0..25), format!("d{runs}"));
        plan.task = trial.rng.bool();
        let run = begin(&clients[trial.rng.usize(..clients.len())], session, &plan).await;
        let steady = clients.iter().map(|user| whole(Transport::RunSse, user, session, run));
        let wandering = (0..3).map(|_| tokio::spawn(restless(trial.fork(), clients.clone(), session, run)));
        let (steady, wandering) =
            tokio::join!(futures::future::join_all(steady), futures::future::join_all(wandering.collect::<Vec<_>>()));
        let stored = items(&user, session).await;
        let reference = &steady[0];
        assert_eq!(reference.end().unwrap()["type"], "run.completed");
        assert_eq!(reference.heard(), plan.answer());
        let mut all: Vec<Reader> = steady.clone();
        for read in wandering {
            let (reader, times) = read.unwrap();
            opened += times;
            all.push(reader);
        }
        for user in &clients {
            for transport in Transport::ALL {
                all.push(whole(transport, user, session, run).await);
            }
        }
        for reader in &all {
            assert_eq!(reader.numbered(), reference.numbered(), "run {run}: two clients were told different things");
            reader.check_items(&stored);
        }
        assert_eq!(reference.items(), stored, "run {run}: the screen shows all that is stored");
        events += reference.events.len();
        runs += 1;
    }
    trial.report(format!("{opened} streams opened, {runs} runs of {events} events: no gap, no double, all alike"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_reconnects_misses_nothing_at_one_process() {
    let upstream = model::start().await;
    let app = unlimited(Setup::new().await, &upstream).start().await;
    wander("disconnects, one process on SQLite", vec![app]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_reconnects_misses_nothing_at_two_processes() {
    const TEST: &str = "disconnects, two processes on PostgreSQL";
    let upstream = model::start().await;
    let Some(apps) = pair(&upstream, &[]).await else { return };
    wander(TEST, apps.into()).await;
}
