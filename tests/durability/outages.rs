//! Outages of Redis and PostgreSQL during runs.

use crate::model::{self, AnswerPlan};
use crate::reader::{Reader, Transport};
use crate::service::{begin, items, pair, submit, unlimited, whole};
use crate::support::relay::Relay;
use crate::support::{App, Client, Setup, eventually};
use crate::trial::{Trial, spread};
use futures::future::join_all;
use std::time::{Duration, Instant};
use uuid::Uuid;

const PAUSE_MS: u64 = 25;

/// Reads a run through each transport at each process.
fn follow_everywhere(clients: &[Client], session: Uuid, run: Uuid) -> Vec<tokio::task::JoinHandle<Reader>> {
    let each = clients.iter().flat_map(|user| Transport::ALL.map(|transport| (user.clone(), transport)));
    let each = each.map(|(user, transport)| {
        tokio::spawn(async move {
            let mut reader = Reader::new(session, run);
            // A server that cannot read its database may break a stream. The reader reconnects.
            while !reader.follow(transport, &user).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            reader
        })
    });
    each.collect()
}

/// Checks that all readers got all events, and returns the readers, those at the first process first.
async fn all_alike(user: &Client, plan: &AnswerPlan, readers: Vec<tokio::task::JoinHandle<Reader>>) -> Vec<Reader> {
    let readers: Vec<Reader> = join_all(readers).await.into_iter().map(Result::unwrap).collect();
    let stored = items(user, readers[0].session).await;
    for reader in &readers {
        assert_eq!(reader.numbered(), readers[0].numbered(), "two clients were told different things");
        assert_eq!(reader.end().unwrap()["type"], "run.completed");
        assert_eq!(reader.heard(), plan.answer());
        reader.check_items(&stored);
    }
    readers
}

/// Returns by how much words arrived later at the second process than at the first.
fn delays(readers: &[Reader]) -> Vec<Duration> {
    let (here, there) = (&readers[0].events, &readers[readers.len() / 2].events);
    let words = here.iter().zip(there).filter(|(here, _)| here.event.get("delta").is_some());
    words.map(|(here, there)| there.at.saturating_duration_since(here.at)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_same_events_arrive_later() {
    const TEST: &str = "redis, two processes on PostgreSQL";
    let upstream = model::start().await;
    let Some(redis) = Relay::start().await else { return };
    let Some(apps) = pair(&upstream, &[("REDIS_URL", redis.url())]).await else { return };
    let mut trial = Trial::begin(TEST);
    let user = apps[0].user().await;
    let clients = apps.each_ref().map(|app| user.at(app));
    let mut found = Vec::new();
    for (number, name) in ["with Redis", "cut and mended", "held up and mended", "without"].into_iter().enumerate() {
        let session = user.session().await;
        let plan = AnswerPlan::talk(120, PAUSE_MS, format!("r{number}"));
        if name == "without" {
            redis.cut();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let run = begin(&user, session, &plan).await;
        let readers = follow_everywhere(&clients, session, run);
        if name.ends_with("mended") {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(200) + trial.some(Duration::from_millis(400))).await;
                if name.starts_with("cut") {
                    redis.cut()
                } else {
                    redis.hold()
                }
                tokio::time::sleep(Duration::from_millis(200) + trial.some(Duration::from_millis(600))).await;
                redis.mend();
            }
        }
        let readers = all_alike(&user, &plan, readers).await;
        found.push(format!("{name} {}", spread(&mut delays(&readers))));
    }
    redis.mend();
    trial.report(format!("words at the other process, later than here: {}", found.join("; ")));
}

/// Starts two processes behind a relay to PostgreSQL. The server stays available for other tests.
async fn behind_relay(upstream: &crate::support::Upstream) -> Option<([App; 2], Relay)> {
    let setup = unlimited(Setup::postgres().await?, upstream);
    let url = setup.database.url();
    let rest = url.split_once("://").expect("a URL").1;
    let (server, database) = rest.split_once('/').expect("a database");
    let (login, host) =
        server.rsplit_once('@').map_or((String::new(), server), |(login, host)| (format!("{login}@"), host));
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
    let relay = Relay::before(host).await;
    let url = format!("postgres://{login}{}/{database}", relay.address());
    let one = setup.with("DATABASE_URL", url).with("DATABASE_POOL_TIMEOUT_SECONDS", 1).start().await;
    let other = one.again().start().await;
    Some(([one, other], relay))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_survive_a_restart_of_the_database() {
    const TEST: &str = "postgres, two processes";
    let upstream = model::start().await;
    let Some((apps, relay)) = behind_relay(&upstream).await else { return };
    let mut trial = Trial::begin(TEST);
    let user = apps[0].user().await;
    let clients = apps.each_ref().map(|app| user.at(app));
    let mut refused = 0;
    let mut back = Vec::new();
    let rounds = trial.rounds(2);
    for round in 0..rounds {
        let (spare, session) = (user.session().await, user.session().await);
        let plan = AnswerPlan::talk(160, PAUSE_MS, format!("p{round}"));
        let run = begin(&clients[round % 2], session, &plan).await;
        let readers = follow_everywhere(&clients, session, run);
        tokio::time::sleep(Duration::from_millis(300) + trial.some(Duration::from_millis(500))).await;
        relay.cut();
        let until = Instant::now() + Duration::from_secs(2) + trial.some(Duration::from_secs(1));
        let meanwhile = AnswerPlan::talk(2, 0, format!("meanwhile{round}"));
        while Instant::now() < until {
            let asked = Instant::now();
            let told = submit(&clients[refused % 2], spare, &meanwhile, &meanwhile.tag).await.expect("an answer");
            assert_eq!(told.expect_err("there is no database")["data"]["code"], "SERVICE_UNAVAILABLE");
            assert!(asked.elapsed() < Duration::from_secs(5), "refused after {:?}", asked.elapsed());
            refused += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        relay.mend();
        let mended = Instant::now();
        for user in &clients {
            let again = eventually("it is taken now", || async {
                submit(user, spare, &meanwhile, &meanwhile.tag).await.expect("an answer").ok()
            })
            .await;
            assert_eq!(whole(Transport::RunSse, user, spare, again).await.heard(), meanwhile.answer());
        }
        back.push(mended.elapsed());
        all_alike(&user, &plan, readers).await;
        assert_eq!(items(&user, spare).await.len(), 2, "what was refused was stored");
    }
    // All connections are terminated by the server, as by a short restart.
    let session = user.session().await;
    let plan = AnswerPlan::talk(120, PAUSE_MS, "ended");
    let run = begin(&user, session, &plan).await;
    let readers = follow_everywhere(&clients, session, run);
    for _ in 0..3 {
        tokio::time::sleep(trial.some(Duration::from_millis(900))).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'";
        apps[0].database.administrate(end).await;
    }
    all_alike(&user, &plan, readers).await;
    trial.report(format!(
        "{rounds} absences of 2 to 3 s and 3 ends of all connections: every answer whole at both processes; {refused} new \
         messages refused meanwhile; taken again after {}",
        spread(&mut back)
    ));
}
