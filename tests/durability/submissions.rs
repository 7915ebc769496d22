//! One request with one idempotency key, sent a hundred times at once to two processes, by clients many of which do not
//! wait for the response.

use crate::model::{self, AnswerPlan, asked};
use crate::service::{items, pair, submit};
use crate::support::client::{read, try_read};
use crate::support::{Client, Reply, Sse, Upstream};
use crate::trial::{Trial, some};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

const TIMES: usize = 100;

/// The response that one of the clients got.
enum Told {
    Nothing,
    Run {
        run: Uuid,
        replayed: bool,
    },
    /// A session and its run.
    Thread(String, String),
}

fn post(user: &Client, session: Uuid, plan: &AnswerPlan) -> reqwest::RequestBuilder {
    let request = user.request(Method::POST, &Client::runs_path(session)).json(&Client::message(&plan.message()));
    request.header("idempotency-key", &plan.tag)
}

/// Sends the request once, in one of three ways. Gives up after `patience`.
async fn send(user: Client, session: Uuid, plan: AnswerPlan, way: u8, patience: Option<Duration>) -> Told {
    let sending = async {
        match way {
            0 => submit(&user, session, &plan, &plan.tag)
                .await
                .map(|told| Told::Run { run: told.unwrap_or_else(|error| panic!("refused: {error}")), replayed: true }),
            1 => {
                let stream = Sse::open(post(&user, session, &plan)).await;
                let stream = stream.unwrap_or_else(|reply| panic!("refused: {}", reply.text)).finish().await;
                assert_eq!(stream.text(), plan.answer());
                let replayed = stream.headers.get("idempotency-replayed").is_some_and(|value| value == "true");
                Some(Told::Run { run: stream.run_id(), replayed })
            }
            _ => {
                let input = json!({"content": [{"type": "input_text", "text": plan.message()}]});
                let created = user.rpc_ok("threads.create", json!({"input": input, "idempotency_key": plan.tag})).await;
                let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
                Some(Told::Thread(id(&created["thread"]), id(&created["run"])))
            }
        }
    };
    match patience {
        Some(patience) => tokio::time::timeout(patience, sending).await.ok().flatten(),
        None => sending.await,
    }
    .unwrap_or(Told::Nothing)
}

async fn storm(trial: &mut Trial, clients: &[Client], session: Uuid, plan: &AnswerPlan, ways: &[u8]) -> Vec<Told> {
    let sent = (0..TIMES).map(|_| {
        let user = clients[trial.rng.usize(..clients.len())].clone();
        let patience = trial.rng.bool().then(|| some(&mut trial.rng, Duration::from_secs(2)));
        tokio::spawn(send(user, session, plan.clone(), ways[trial.rng.usize(..ways.len())], patience))
    });
    join_all(sent.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sent_a_hundred_times_is_executed_once() {
    const TEST: &str = "submissions, two processes on PostgreSQL";
    let upstream: Upstream = model::start().await;
    let Some(apps) = pair(&upstream, &[]).await else { return };
    let mut trial = Trial::begin(TEST);
    let rounds = trial.rounds(3);
    let user = apps[0].user().await;
    let clients = apps.each_ref().map(|app| user.at(app));
    let (mut answered, mut dropped) = (0, 0);
    for round in 0..rounds {
        // A message to a session.
        let session = user.session().await;
        let plan = AnswerPlan::talk(10, 5, format!("m{round}"));
        let told = storm(&mut trial, &clients, session, &plan, &[0, 1]).await;
        let mut runs = BTreeSet::new();
        let mut first = 0;
        for told in &told {
            match told {
                Told::Run { run, replayed } => {
                    runs.insert(*run);
                    first += usize::from(!replayed);
                    answered += 1;
                }
                _ => dropped += 1,
            }
        }
        assert!(runs.len() == 1 && first <= 1, "runs {runs:?}, {first} of them not replayed");
        let again = Sse::open(post(&clients[1], session, &plan)).await.expect("a stream").finish().await;
        assert_eq!((again.headers["idempotency-replayed"].to_str().unwrap(), again.text()), ("true", plan.answer()));
        assert!(runs.contains(&again.run_id()));
        assert_eq!(asked(&upstream)[&plan.tag], 1, "the model was asked more than once");
        let messages = items(&user, session).await;
        assert_eq!(messages.iter().filter(|item| item["type"] == "user_message").count(), 1);
        let other = AnswerPlan { words: 11, ..plan.clone() };
        for user in &clients {
            read(post(user, session, &other)).await.fails(409, "CONFLICT");
        }

        // A session together with its first message.
        let plan = AnswerPlan::talk(10, 5, format!("t{round}"));
        let told = storm(&mut trial, &clients, session, &plan, &[2]).await;
        let threads = told.iter().filter_map(|told| match told {
            Told::Thread(thread, run) => Some((thread, run)),
            _ => None,
        });
        let threads: BTreeSet<_> = threads.collect();
        answered += told.iter().filter(|told| matches!(told, Told::Thread(..))).count();
        dropped += told.iter().filter(|told| matches!(told, Told::Nothing)).count();
        assert_eq!(threads.len(), 1, "{threads:?}");
        let run: Uuid = threads.iter().next().unwrap().1.parse().unwrap();
        clients[1].follow(run, None).await.expect("a stream").finish().await.terminal();
        assert_eq!(asked(&upstream)[&plan.tag], 1, "the model was asked more than once");
        let sessions: Reply = try_read(user.request(Method::GET, "/api/v1/chatkit/sessions")).await.unwrap();
        assert_eq!(sessions.body["meta"]["total"], 2 * (round + 1), "a session was made twice");
    }
    trial.report(format!(
        "{rounds} messages and {rounds} sessions, each sent {TIMES} times over 2 processes: {answered} answers, {dropped} \
         dropped before theirs; each made once, the model asked once"
    ));
}
