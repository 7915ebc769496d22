//! Databases as they are run: behind a pooler, read-only for a while, and left by a process that was killed.

use crate::support::paused_answer::{PausedAnswer, queue_paused_answer};
use crate::support::process::{self, SECRET};
use crate::support::{Client, Script, Setup, Upstream, eventually};
use serde_json::json;
use std::time::{Duration, Instant};
use threadline_test_requirements::PgBouncer;

/// Ends all other sessions of the database, as a failover does.
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                            WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Sends a message as soon as the conversation is free. Returns how long that took, and how it ended.
async fn say_when_free(user: &Client, session: uuid::Uuid) -> (Duration, String) {
    let asked = Instant::now();
    loop {
        match user.start(session, "Are you there?").await {
            Ok(stream) => {
                let free = asked.elapsed();
                let stream = stream.finish().await;
                return (free, stream.terminal()["type"].as_str().unwrap_or_default().to_owned());
            }
            Err(refused) => {
                assert!(asked.elapsed() < Duration::from_secs(30), "{}", refused.text);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Queues an answer that never ends after its first words, and an answer to the next message.
fn queue_hanging_answer(upstream: &Upstream) {
    upstream.queue(Script::stream().words(&["Some", " words"]).hang());
    upstream.queue(Script::stream().words(&["Hello again"]).done("stop"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_free_soon_after_its_process_was_killed() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    queue_hanging_answer(&upstream);
    let mut one = setup.upstream(&upstream).start().await;
    let other = one.again().start().await;
    let (user, session, run) = PausedAnswer::start(&one).await.logged(&one).await;
    let user = user.at(&other);
    one.core().kill();
    let (free, ended) = say_when_free(&user, session).await;
    assert!(free < Duration::from_secs(3), "it was free after {free:?}");
    assert_eq!(ended, "run.completed");
    assert_eq!(user.run(run).await["status"], "completed");
    assert_eq!(user.history(session).await["messages"][1]["content"][0]["text"], "Hello again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_for_idle_sessions_does_not_end_the_lock_of_a_process() {
    let Some(setup) = Setup::postgres().await else { return };
    // PostgreSQL 14 and newer have this setting.
    setup.database.administrate("ALTER DATABASE {name} SET idle_session_timeout = '1s'").await;
    let upstream = Upstream::start().await;
    queue_hanging_answer(&upstream);
    let mut one = setup.upstream(&upstream).start().await;
    let other = one.again().start().await;
    let (user, session, _) = PausedAnswer::start(&one).await.logged(&one).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    one.core().kill();
    let (free, ended) = say_when_free(&user.at(&other), session).await;
    assert!(free < Duration::from_secs(3), "it was free after {free:?}");
    assert_eq!(ended, "run.completed");
    let log = other.log();
    assert!(!log.iter().any(|line| line.to_string().contains("the lock of this process is lost")), "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_started_again_frees_what_it_left() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    queue_hanging_answer(&upstream);
    let mut app = setup.upstream(&upstream).start().await;
    let (user, session, _) = PausedAnswer::start(&app).await.logged(&app).await;
    app.core().kill();
    let again = app.again().start().await;
    let (free, ended) = say_when_free(&user.at(&again), session).await;
    assert!(free < Duration::from_secs(3), "it was free after {free:?}");
    assert_eq!(ended, "run.completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_connections_are_killed_keeps_its_runs() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    let gate = queue_paused_answer(&upstream);
    let one = setup.upstream(&upstream).start().await;
    let _other = one.again().start().await;
    let (user, _, run) = PausedAnswer::start(&one).await.logged(&one).await;
    for _ in 0..3 {
        one.database.batch(END_SESSIONS).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    gate.open();
    let stream = user.follow(run, None).await.unwrap().finish().await;
    assert_eq!(
        (stream.terminal()["type"].as_str(), stream.text().as_str()),
        (Some("run.completed"), "Some words more")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_writes_is_told_to_readers_and_by_health() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    let gate = queue_paused_answer(&upstream);
    upstream.queue(Script::stream().words(&["Hello again"]).done("stop"));
    let app = setup.upstream(&upstream).start().await;
    let PausedAnswer { user, session, stream, .. } = PausedAnswer::start(&app).await;
    let name = app.database.url().rsplit_once('/').unwrap().1.to_owned();
    app.database.batch(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    app.database.batch(END_SESSIONS).await;
    gate.open();
    for path in ["/health/db", "/health/all"] {
        eventually("health says so", || async { (user.get(path).await.status == 503).then_some(()) }).await;
    }
    assert_eq!(user.history(session).await["messages"].as_array().unwrap().len(), 1, "it can be read");
    // The client may give up first. A reader who comes again is told too.
    let run = stream.run_id();
    let stream = stream.finish().await;
    let is_told = match user.follow(run, stream.last_id.as_deref()).await {
        Ok(again) => again.finish().await.types().last() == Some(&"error"),
        Err(refused) => refused.status == 503,
    };
    assert!(is_told, "a reader waits for ever");

    app.database.administrate(&format!("ALTER DATABASE {name} RESET default_transaction_read_only")).await;
    let writable = Instant::now();
    eventually("writes work", || async {
        (user.post("/api/v1/tasks", &json!({"title": "Write"})).await.status == 201).then_some(())
    })
    .await;
    assert!(writable.elapsed() < Duration::from_secs(5), "{:?}", writable.elapsed());
    // A check is reused for a second.
    eventually("health says so", || async { (user.get("/health/db").await.status == 200).then_some(()) }).await;
    let (_, outcome) = say_when_free(&user, session).await;
    assert_eq!(outcome, "run.completed");
}

/// What a command prints.
fn output(arguments: &[&str], settings: &[(&str, String)]) -> String {
    String::from_utf8_lossy(&process::run(arguments, settings).stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_no_call_fails() {
    let Some(setup) = Setup::postgres().await else { return };
    let Some(pooler) = PgBouncer::start(&setup.database.url(), 4) else { return };
    let through = pooler.url(&setup.database.url());
    let settings = [("DATABASE_URL", through.clone()), ("SECRET_KEY", SECRET.to_owned())];
    assert!(output(&["migrate"], &settings).contains("Applied"));
    assert_eq!(output(&["migrate"], &settings), "The database is up to date.\n");
    let told = output(&["doctor"], &settings);
    assert!(told.contains("behind a pooler; statements are sent without names"), "{told}");
    let setup = setup.with("DATABASE_URL", format!("{through}?pgbouncer=true&connection_limit=5"));
    let one = setup.with("DATABASE_PREPARED", "auto").with("MAX_SESSIONS_PER_USER", 0).start().await;
    let other = one.again().start().await;
    let user = one.user().await;
    let clients = (0..40).map(|number| {
        let user = if number % 2 == 0 { user.clone() } else { user.at(&other) };
        tokio::spawn(async move {
            for round in 0..6 {
                let task = user.post("/api/v1/tasks", &json!({"title": format!("task {number} {round}")})).await;
                assert_eq!(task.status, 201, "{}", task.text);
                let id = task.data()["id"].as_str().unwrap().to_owned();
                for path in ["/api/v1/tasks", "/api/v1/chatkit/sessions", &format!("/api/v1/tasks/{id}")] {
                    let reply = user.get(path).await;
                    assert_eq!(reply.status, 200, "{}", reply.text);
                }
            }
            let session = user.session().await;
            let stream = user.say(session, "Add task: Buy milk").await;
            assert_eq!(stream.terminal()["type"], "run.completed");
        })
    });
    for client in futures::future::join_all(clients).await {
        client.unwrap();
    }
    // It says what is not possible here.
    let log = one.log();
    assert!(log.iter().any(|line| line.to_string().contains("LISTEN does not work")), "{log:?}");
}
