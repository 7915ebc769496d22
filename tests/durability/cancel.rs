//! Cancels at any process and any moment: there is one outcome, and all clients get it.

use crate::model::{self, AnswerPlan};
use crate::reader::{Reader, Transport};
use crate::service::{begin, cancel, items, pair, text, unlimited, whole};
use crate::support::{App, Client, Setup, Upstream, eventually};
use crate::trial::{Trial, spread};
use futures::future::join_all;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Maximum delay after which the model's server notices a disconnect, after the response to the cancel: the connection
/// is closed by then, and the notice has to reach the server.
const NOTICED: Duration = Duration::from_millis(300);

/// Returns how the model's last response to this message ended: with a disconnect, and when,
/// or completely, since the disconnect came too late. `None` while it is active.
fn ended(upstream: &Upstream, tag: &str) -> Option<Option<Instant>> {
    let (answered, hung_up) = (upstream.answered(), upstream.hung_up());
    let requests = upstream.requests();
    let last = requests.iter().rposition(|request| model::plan_of(request).is_some_and(|plan| plan.tag == tag))?;
    if answered.contains(&last) {
        return Some(None);
    }
    hung_up.into_iter().find(|(place, _)| *place == last).map(|(_, at)| Some(at))
}

async fn race(test: &'static str, few: usize, upstream: &Upstream, apps: Vec<App>) {
    let mut trial = Trial::begin(test);
    let rounds = trial.rounds(few);
    let user = apps[0].user().await;
    let clients: Vec<Client> = apps.iter().map(|app| user.at(app)).collect();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    let mut times = Vec::new();
    let mut closed = 0;
    for round in 0..rounds {
        let session = user.session().await;
        let mut plan = AnswerPlan::talk(trial.rng.usize(1..25), trial.rng.u64(0..15), format!("c{round}"));
        plan.task = trial.rng.u8(..4) == 0;
        let run = begin(&clients[trial.rng.usize(..clients.len())], session, &plan).await;
        let readers = clients.iter().flat_map(|user| Transport::ALL.map(|transport| (user.clone(), transport)));
        let readers = readers.map(|(user, transport)| {
            tokio::spawn(async move {
                let mut reader = Reader::new(session, run);
                assert!(reader.follow(transport, &user).await, "the stream broke off");
                reader
            })
        });
        let readers: Vec<_> = readers.collect();
        // Around the time of the run's own end: before, after, and at the same moment.
        let length = Duration::from_millis(40 + (plan.pause_ms + 1) * plan.words as u64);
        let cancels = (0..trial.rng.usize(1..4)).map(|_| {
            let (user, pause) = (clients[trial.rng.usize(..clients.len())].clone(), trial.some(length * 3 / 2));
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                let asked = Instant::now();
                let reply = cancel(&user, run).await.expect("the service is there");
                (reply.data().clone(), asked.elapsed(), Instant::now())
            })
        });
        let cancels = join_all(cancels.collect::<Vec<_>>()).await;
        let readers: Vec<Reader> = join_all(readers).await.into_iter().map(Result::unwrap).collect();

        let told = clients[0].run(run).await;
        let status = told["status"].as_str().unwrap();
        let first_answer = cancels.iter().map(|told| told.as_ref().unwrap().2).min().unwrap();
        for answered in cancels {
            let (answer, time, _) = answered.unwrap();
            assert_eq!(answer, told, "two outcomes of run {run}");
            times.push(time);
        }
        for reader in &readers {
            assert_eq!(reader.numbered(), readers[0].numbered(), "run {run}: two readers were told different things");
            assert_eq!(reader.end().unwrap()["run"], told);
        }
        let shown = items(&user, session).await;
        readers[0].check_items(&shown);
        let kept: String = shown.iter().filter(|item| item["type"] == "assistant_message").map(text).collect();
        assert_eq!(readers[0].heard(), kept, "what was heard is kept");
        assert!(!Value::from(shown).to_string().contains("cancelled this answer"), "the note is for the model");
        match status {
            "completed" => assert_eq!(kept, plan.answer()),
            "cancelled" => {
                assert!(plan.answer().starts_with(&kept));
                if !kept.is_empty() {
                    let ended =
                        eventually("the model is not listened to", || async { ended(upstream, &plan.tag) }).await;
                    let late = ended.map_or(Duration::ZERO, |at| at.saturating_duration_since(first_answer));
                    assert!(late < NOTICED, "the model was listened to for {late:?} after the answer");
                    closed += usize::from(ended.is_some());
                }
            }
            other => panic!("run {run}: {other}"),
        }
        *ends.entry(status.to_owned()).or_default() += 1;
        // The outcome of an ended run does not change, and the thread is free.
        assert_eq!(*cancel(&clients[trial.rng.usize(..clients.len())], run).await.unwrap().data(), told);
        let next = begin(&clients[round % clients.len()], session, &AnswerPlan::talk(1, 0, format!("n{round}"))).await;
        assert_eq!(whole(Transport::RunSse, &user, session, next).await.end().unwrap()["type"], "run.completed");
    }
    trial.report(format!(
        "{rounds} runs cancelled from {} processes; ends {ends:?}; {closed} connections to the model closed in time; cancels took {}",
        apps.len(),
        spread(&mut times)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_has_one_end_at_one_process() {
    let upstream = model::start().await;
    let app = unlimited(Setup::new().await, &upstream).start().await;
    race("cancel, one process on SQLite", 15, &upstream, vec![app]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_has_one_end_at_two_processes() {
    const TEST: &str = "cancel, two processes on PostgreSQL";
    let upstream = model::start().await;
    let Some(apps) = pair(&upstream, &[]).await else { return };
    race(TEST, 25, &upstream, apps.into()).await;
}
