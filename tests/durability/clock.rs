//! Replicas whose clocks are wrong by more than a day: the clock of the database decides, not theirs.
//!
//! 26 hours are more than the periods that matter here: leases (15 s), logs of ended runs (1 h), idempotency keys (24
//! h), unused attachments (24 h), and the idle time after which these tests have sessions archived (24 h).

use crate::model::{self, AnswerPlan, asked};
use crate::reader::{Reader, Transport};
use crate::service::{begin, cancel, items, submit, unlimited, whole};
use crate::support::client::{PASSWORD, read};
use crate::support::{App, Client, ENDS_WITH_ITS_PROCESS, Setup, Upstream, eventually, token};
use crate::trial::Trial;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use threadline_test_requirements::Requirement;
use uuid::Uuid;

/// Each process looks for expired leases twice within it.
const LONGER_THAN_TWO_LEASE_CHECKS: Duration = Duration::from_secs(11);
/// A lease (15 s), the interval of the check (5 s), and time to close runs on a busy machine.
const TAKEOVER: Duration = Duration::from_secs(60);
/// Times of one row come from one clock: they differ by the length of the run, which is shorter than this.
const SAME_CLOCK: TimeDelta = TimeDelta::minutes(5);

/// A service with the right clock, and one user.
struct Service {
    right: App,
    upstream: Upstream,
    user: Client,
}

impl Service {
    /// Starts it; `None` when libfaketime or PostgreSQL is missing.
    async fn start() -> Option<Self> {
        Requirement::FakeTime.find()?;
        let setup = Setup::postgres().await?;
        let upstream = model::start().await;
        let setup = unlimited(setup, &upstream).with("SESSION_MAX_IDLE_DAYS", 1).agents(ENDS_WITH_ITS_PROCESS);
        let right = setup.start().await;
        let user = right.user().await;
        let user = user.with_token(token::mint(user.user_id.unwrap(), 3 * 24 * 3600));
        Some(Self { right, upstream, user })
    }

    /// Starts two replicas, one 26 hours ahead and one 26 hours behind.
    async fn start_wrong_replicas(&self) -> [App; 2] {
        let (ahead, behind) = tokio::join!(self.start_replica("+26h"), self.start_replica("-26h"));
        let hours = [hours_off(&self.user.at(&ahead)).await, hours_off(&self.user.at(&behind)).await];
        assert_eq!(hours, [26, -26], "libfaketime does not shift the clock as it should");
        [ahead, behind]
    }

    async fn start_replica(&self, shift: &str) -> App {
        let library = Requirement::FakeTime.find().expect("libfaketime");
        let setup = self.right.again().with("LD_PRELOAD", library).with("FAKETIME", shift);
        // Monotonic clocks are right on a machine whose time of day is wrong.
        setup.with("FAKETIME_DONT_FAKE_MONOTONIC", 1).start().await
    }

    /// The user as a client of each replica: right, ahead, behind.
    fn at_each(&self, [ahead, behind]: &[App; 2]) -> [Client; 3] {
        [&self.right, ahead, behind].map(|app| self.user.at(app))
    }
}

/// By how many hours the clock of a process is wrong, according to its `Date` header.
async fn hours_off(user: &Client) -> i64 {
    let reply = user.get("/health").await;
    let there = DateTime::parse_from_rfc2822(reply.header("date")).expect("a date");
    let minutes = (there.to_utc() - Utc::now()).num_minutes();
    (minutes + 30).div_euclid(60)
}

#[track_caller]
fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

/// Checks that all times of a run and its items come from the right clock.
async fn check_times(user: &Client, session: Uuid, run: Uuid) {
    let row = user.run(run).await;
    let (created, finished) = (time(&row["created_at"]), time(&row["finished_at"]));
    assert!(created <= finished && finished - created < SAME_CLOCK, "run: {created} to {finished}");
    assert!((Utc::now() - created).abs() < SAME_CLOCK, "run created at {created}, which is not now");
    for item in items(user, session).await {
        let created = time(&item["created_at"]);
        assert!((Utc::now() - created).abs() < SAME_CLOCK, "{}: created at {created}, which is not now", item["type"]);
    }
}

/// Checks that a reader who comes late gets the stored events, and not a resync event.
#[track_caller]
fn check_events(late: &Reader, expected: &Reader, place: &str) {
    let is_resync = |reader: &Reader| reader.events.iter().any(|seen| seen.event["type"] == "run.resync");
    assert!(!is_resync(late), "{place}: run.resync, although the log is kept");
    assert_eq!(late.numbered(), expected.numbered(), "{place}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_replica_completes_its_runs_and_all_read_the_same() {
    let Some(service) = Service::start().await else { return };
    let trial = Trial::begin("clock: runs of three replicas");
    let wrong = service.start_wrong_replicas().await;
    let users = service.at_each(&wrong);

    // Each replica answers for longer than the others need to find it dead by their own clocks.
    let mut runs = Vec::new();
    for (number, user) in users.iter().enumerate() {
        let session = user.session().await;
        let words = usize::try_from(LONGER_THAN_TWO_LEASE_CHECKS.as_millis() / 50).unwrap();
        let plan = AnswerPlan::talk(words, 50, format!("clock{number}"));
        runs.push((session, begin(user, session, &plan).await, plan));
    }
    let reading = runs.iter().flat_map(|(session, run, _)| {
        users.iter().map(move |user| async move { whole(Transport::RunSse, user, *session, *run).await })
    });
    let live = futures::future::join_all(reading).await;
    for (readers, (_, _, plan)) in live.chunks(users.len()).zip(&runs) {
        for reader in readers {
            assert_eq!(reader.end().unwrap()["type"], "run.completed", "{}", plan.tag);
            assert_eq!(reader.heard(), plan.answer());
        }
    }
    // No replica has taken a run from another.
    assert_eq!(service.right.database.count("SELECT COUNT(*) AS rows FROM runs WHERE epoch <> 1").await, 0);

    for (readers, (session, run, _)) in live.chunks(users.len()).zip(&runs) {
        for (number, user) in users.iter().enumerate() {
            check_times(user, *session, *run).await;
            for transport in Transport::ALL {
                let late = whole(transport, user, *session, *run).await;
                check_events(
                    &late,
                    &readers[0],
                    &format!("run of {run}, read at replica {number} through {transport:?}"),
                );
            }
        }
    }
    // The first event of a run on one replica reaches a thread stream that is open on another.
    for reader in &users {
        for writer in &users {
            let session = reader.session().await;
            let mut stream = reader.follow_session(session, "", None).await.expect("a stream");
            begin(writer, session, &AnswerPlan::talk(1, 0, format!("follow{session}"))).await;
            stream.until("run.completed").await;
        }
    }
    trial.report("3 answers complete at each replica, and read again through each transport");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_and_idempotency_keys_are_kept_and_cancels_arrive() {
    let Some(service) = Service::start().await else { return };
    let trial = Trial::begin("clock: what was before");
    let (session, plan) = (service.user.session().await, AnswerPlan::talk(5, 0, "before"));
    let run = begin(&service.user, session, &plan).await;
    let live = whole(Transport::RunSse, &service.user, session, run).await;

    // A process drops old logs and keys at its start.
    let wrong = service.start_wrong_replicas().await;
    let users = service.at_each(&wrong);
    for (number, user) in users.iter().enumerate() {
        assert_eq!(submit(user, session, &plan, &plan.tag).await.unwrap().unwrap(), run, "replica {number}");
        for transport in Transport::ALL {
            let late = whole(transport, user, session, run).await;
            check_events(&late, &live, &format!("replica {number} through {transport:?}"));
        }
        for owner in &users {
            let session = user.session().await;
            let run = begin(owner, session, &AnswerPlan::talk(1_000, 20, format!("long{session}"))).await;
            let ended = cancel(user, run).await.expect("a reply");
            assert_eq!(ended.data()["status"], "cancelled");
            check_times(user, session, run).await;
        }
    }
    assert_eq!(asked(&service.upstream)[&plan.tag], 1);
    trial.report("1 log and 1 key kept at 3 replicas, 9 runs cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_archived_and_no_attachment_deleted_early() {
    let Some(service) = Service::start().await else { return };
    let trial = Trial::begin("clock: retention");
    let session = service.user.session().await;
    begin(&service.user, session, &AnswerPlan::talk(1, 0, "kept")).await;
    // A process archives sessions and deletes unused attachments at its start.
    let wrong = service.start_wrong_replicas().await;
    let users = service.at_each(&wrong);
    let (mut sessions, mut attachments) = (vec![session], Vec::new());
    for (number, user) in users.iter().enumerate() {
        let session = user.session().await;
        begin(user, session, &AnswerPlan::talk(1, 0, format!("kept{number}"))).await;
        sessions.push(session);
        let announced = json!({"name": "a.txt", "mime_type": "text/plain", "size": 3});
        let reply = user.post("/api/v1/chatkit/attachments", &announced).await;
        attachments.push(reply.data().clone());
    }
    let later = [service.start_replica("+0").await, service.start_replica("+26h").await];
    // The first round of the upkeep begins at the start of a process. This is time for it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    for user in users.iter().chain(&later.each_ref().map(|app| service.user.at(app))) {
        let listed = user.get("/api/v1/chatkit/sessions?limit=100").await;
        let listed: Vec<&Value> = listed.data().as_array().unwrap().iter().map(|session| &session["id"]).collect();
        for session in &sessions {
            assert!(listed.contains(&&json!(session)), "a session has been archived: {session}");
        }
    }
    // An upload may go to another replica than the one that announced it.
    for (attachment, user) in attachments.iter().zip(users.iter().cycle().skip(1)) {
        let url: reqwest::Url = attachment["upload_descriptor"]["url"].as_str().unwrap().parse().unwrap();
        let path = format!("{}?{}", url.path(), url.query().unwrap());
        let request = user.request(Method::PUT, &path).header("content-type", "application/octet-stream");
        let reply = read(request.body("abc")).await;
        assert_eq!(reply.data()["ready"], true, "{}", reply.text);
    }
    trial.report(format!("{} sessions and {} attachments kept", sessions.len(), attachments.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runs_of_a_dead_replica_are_closed_when_its_lease_expires() {
    let Some(service) = Service::start().await else { return };
    let trial = Trial::begin("clock: a dead replica");
    let mut wrong = service.start_wrong_replicas().await;
    let mut runs = Vec::new();
    for app in &wrong {
        let user = service.user.at(app);
        let session = user.session().await;
        runs.push((session, begin(&user, session, &AnswerPlan::talk(10_000, 50, format!("dead{session}"))).await));
    }
    for app in &mut wrong {
        app.core().kill();
    }
    let killed = Instant::now();
    let mut closed = Vec::new();
    for (session, run) in runs {
        let reader = tokio::time::timeout(TAKEOVER, whole(Transport::RunSse, &service.user, session, run)).await;
        let reader = reader.expect("the lease of a dead replica expires");
        assert_eq!(reader.end().unwrap()["type"], "run.interrupted");
        closed.push(killed.elapsed());
        check_times(&service.user, session, run).await;
    }
    trial.report(format!("2 runs closed {closed:.1?} after the kill"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_one_replica_works_at_each_and_usage_is_booked_on_the_right_day() {
    let Some(service) = Service::start().await else { return };
    let trial = Trial::begin("clock: tokens and usage");
    let wrong = service.start_wrong_replicas().await;
    let users = service.at_each(&wrong);
    let began = Utc::now().date_naive();
    for (number, issuer) in users.iter().enumerate() {
        let login = json!({"email": issuer.email, "password": PASSWORD});
        let reply = issuer.post("/api/v1/auth/login", &login).await;
        let issued = issuer.with_token(reply.data()["token"].as_str().unwrap());
        for user in &users {
            let there = user.with_token(issued.token.clone().unwrap());
            let me = there.get("/api/v1/auth/me").await;
            assert_eq!(me.status, 200, "a token of replica {number}: {}", me.text);
        }
        let session = issuer.session().await;
        let run = begin(issuer, session, &AnswerPlan::talk(1, 0, format!("usage{number}"))).await;
        whole(Transport::RunSse, issuer, session, run).await;
    }
    let today = Utc::now().date_naive();
    for (number, user) in users.iter().enumerate() {
        eventually("the three runs are booked", || async {
            let usage = user.get("/api/v1/usage").await;
            let days = usage.data()["days"].as_array().unwrap();
            let is_today = |day: &Value| [began, today].map(|date| json!(date)).contains(&day["date"]);
            assert!(days.iter().all(is_today), "replica {number}: {days:?}");
            (usage.data()["total"]["runs"] == 3).then_some(())
        })
        .await;
    }
    trial.report("3 tokens good at 3 replicas, 3 runs booked today");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_tasks_titles_and_feedback_have_the_time_of_the_database() {
    let Some(service) = Service::start().await else { return };
    let trial = Trial::begin("clock: rows beside the runs");
    let wrong = service.start_wrong_replicas().await;
    let check = |value: &Value, row: &str, number: usize| {
        let found = time(value);
        assert!((Utc::now() - found).abs() < SAME_CLOCK, "replica {number}, {row}: {found}, which is not now");
    };
    let mut tasks = Vec::new();
    for (number, user) in service.at_each(&wrong).iter().enumerate() {
        let account = json!({"email": format!("clock{number}@example.com"), "password": PASSWORD});
        let account = user.post("/api/v1/auth/register", &account).await;
        check(&account.data()["created_at"], "account", number);

        let task = user.post("/api/v1/tasks", &json!({"title": "On time"})).await.data().clone();
        let path = format!("/api/v1/tasks/{}", task["id"].as_str().unwrap());
        let updated = user.put(&path, &json!({"title": "Still on time"})).await.data().clone();
        let completed = user.patch(&format!("{path}/complete"), &json!({})).await.data().clone();
        for (row, value) in [
            ("task, created", &task["created_at"]),
            ("task, updated", &updated["updated_at"]),
            ("task, updated as completed", &completed["updated_at"]),
            ("task, completed", &completed["completed_at"]),
        ] {
            check(value, row, number);
        }
        tasks.insert(0, task["id"].clone());

        let session = user.session().await;
        let path = format!("/api/v1/chatkit/sessions/{session}");
        let renamed = user.patch(&path, &json!({"title": "On time"})).await.data().clone();
        check(&renamed["updated_at"], "session, renamed", number);
        let run = begin(user, session, &AnswerPlan::talk(1, 0, format!("rows{number}"))).await;
        whole(Transport::RunSse, user, session, run).await;
        let answer = items(user, session).await.pop().expect("an answer");
        let feedback = json!({"item_ids": [answer["id"]], "kind": "positive"});
        assert_eq!(user.post(&format!("{path}/feedback"), &feedback).await.status, 200);
        let given = user.get(&format!("{path}/feedback")).await;
        check(&given.data()[0]["created_at"], "feedback", number);
    }
    // Pages are in the order of ids: those of a replica that is behind must not sort before the older ones.
    let listed = service.user.get("/api/v1/tasks").await;
    let listed: Vec<&Value> = listed.data().as_array().unwrap().iter().map(|task| &task["id"]).collect();
    assert_eq!(listed, tasks.iter().collect::<Vec<_>>());
    trial.report("7 rows of 3 replicas have the time of the database");
}
