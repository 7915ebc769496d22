//! Outages of the database, and a full disk.

use crate::support::paused_answer::{PausedAnswer, queue_paused_answer};
use crate::support::process::{DISK_SIZE, FILE_BLOCKS};
use crate::support::{Client, Gate, Reply, Script, Setup, Upstream, eventually};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use threadline_test_requirements::Requirement;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_unavailable_without_its_database_and_recovers() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    let app = setup.upstream(&upstream).with("DATABASE_POOL_TIMEOUT_SECONDS", 1).start().await;
    let user = app.user().await;
    let session = user.session().await;
    user.say(session, "Hello").await.terminal();

    app.database.take_away().await;
    for path in ["/api/v1/chatkit/sessions", "/api/v1/tasks", "/api/v1/auth/me"] {
        let asked = Instant::now();
        let reply = user.get(path).await;
        reply.fails(503, "SERVICE_UNAVAILABLE");
        assert!(reply.header("retry-after").parse::<u64>().unwrap() > 0, "{path}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{path}: {:?}", asked.elapsed());
    }
    let reply = user.say_in_vain(session, "Is anybody there?").await;
    reply.fails(503, "SERVICE_UNAVAILABLE");
    let credentials = json!({"email": user.email, "password": crate::support::client::PASSWORD});
    app.anonymous().post("/api/v1/auth/login", &credentials).await.fails(503, "SERVICE_UNAVAILABLE");
    let health = user.get("/health/db").await;
    assert_eq!((health.status, &health.body["status"]), (503, &json!("unhealthy")), "{}", health.text);
    assert_eq!(user.get("/health/all").await.status, 503);
    assert_eq!(user.get("/health").await.status, 200, "the process itself is alive");
    assert!(!reply.text.contains("threadline_test_"), "the database's name is nobody's business: {}", reply.text);

    app.database.give_back().await;
    eventually("the service is back by itself", || async {
        (user.get("/health/db").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(user.say(session, "Hello again").await.terminal()["type"], "run.completed");
    assert_eq!(user.history(session).await["messages"].as_array().unwrap().len(), 4, "what was refused was not stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_survives_a_short_outage_of_the_database() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    upstream.queue(Script::stream().words(&["Kept"]).stop(&gate).words(&[" after all"]).done("stop"));
    let app = setup.upstream(&upstream).with("DATABASE_POOL_TIMEOUT_SECONDS", 1).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let mut stream = user.start(session, "Hello").await.unwrap();
    stream.until("thread.item.content.part.delta").await;
    app.database.take_away().await;
    gate.open();
    stream.until("thread.item.content.part.delta").await;
    // The end of the run is tried again until the database is back.
    eventually("the first try to store the end has failed", || async {
        app.log()
            .iter()
            .any(|line| line["message"].as_str().is_some_and(|told| told.contains("trying again")))
            .then_some(())
    })
    .await;
    app.database.give_back().await;
    let stream = stream.finish().await;
    assert_eq!(stream.terminal()["type"], "run.completed");
    assert_eq!(user.history(session).await["messages"][1]["content"][0]["text"], "Kept after all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_not_stored_is_reported_as_it_is_read_later() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    upstream.queue(Script::stream().words(&["Kept"]).stop(&gate).words(&[" in part"]).done("stop"));
    let app = setup.upstream(&upstream).with("DATABASE_POOL_TIMEOUT_SECONDS", 1).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let mut stream = user.start(session, "Hello").await.unwrap();
    stream.until("thread.item.content.part.delta").await;
    let run = stream.run_id();
    app.database.take_away().await;
    gate.open();
    stream.until("thread.item.content.part.delta").await;
    let mut tries = 0;
    while !app.log().iter().any(|line| line["level"] == "ERROR") {
        tokio::time::sleep(Duration::from_millis(100)).await;
        tries += 1;
        assert!(tries < 600, "it is tried for ever");
    }
    app.database.give_back().await;
    let stream = user.follow(run, stream.last_id.as_deref()).await.unwrap().finish().await;
    let read = user.follow(run, None).await.unwrap().finish().await;
    assert_eq!(stream.terminal(), read.terminal());
    eventually("the run has ended", || async {
        (user.run(run).await["status"] == stream.terminal()["run"]["status"]).then_some(())
    })
    .await;
    let told = |(id, event): &(Option<String>, serde_json::Value)| (id.clone(), event.clone());
    let read: std::collections::HashMap<_, _> = read.events.iter().map(told).collect();
    for (id, event) in &stream.events {
        assert!(read.get(id).is_none_or(|other| other == event), "{id:?} is two events: {event} and {:?}", read[id]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_used_up_lets_others_wait_and_no_one_fail() {
    let Some(setup) = Setup::postgres().await else { return };
    let app = setup.with("DATABASE_POOL_SIZE", 1).with("MAX_SESSIONS_PER_USER", 0).start().await;
    let user = app.user().await;
    let racing = (0..50).map(|_| {
        let user = user.clone();
        tokio::spawn(async move { user.post("/api/v1/chatkit/sessions", &json!({})).await.status })
    });
    for status in futures::future::join_all(racing).await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(user.get("/api/v1/chatkit/sessions").await.body["meta"]["total"], 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_writes_are_refused_and_acknowledged_data_is_kept() {
    let app = Setup::new().await.with(FILE_BLOCKS, 1000).start().await;
    let user = app.user().await;
    let (kept, refused) = add_tasks(&user).await;
    refused.fails(503, "SERVICE_UNAVAILABLE");
    assert!(refused.headers.contains_key("retry-after"));
    assert!(kept.len() > 10, "only {} tasks fitted", kept.len());
    are_there(&user, &kept).await;
    assert_eq!(user.get("/health").await.status, 200, "the process itself is alive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_the_service_goes_on_when_there_is_space() {
    if Requirement::OwnDisk.find().is_none() {
        return;
    }
    let upstream = Upstream::start().await;
    let gate = queue_paused_answer(&upstream);
    let mut app = Setup::new().await.upstream(&upstream).with(DISK_SIZE, "16m").start().await;
    let PausedAnswer { user, session, stream, .. } = PausedAnswer::start(&app).await;
    let filler = app.disk().join("filler");
    fill(&filler);
    let (mut kept, refused) = add_tasks(&user).await;
    refused.fails(503, "SERVICE_UNAVAILABLE");
    assert!(refused.text.contains("The disk of the database is full"), "{}", refused.text);
    for path in ["/health/db", "/health/all"] {
        let health = eventually("health says so", || async {
            let health = user.get(path).await;
            (health.status == 503).then_some(health)
        })
        .await;
        assert!(health.text.contains("The disk of the database is full"), "{}", health.text);
    }
    are_there(&user, &kept).await;
    gate.open();
    eventually("the first try to store the end of the run has failed", || async {
        app.log().iter().any(|line| line.to_string().contains("trying again")).then_some(())
    })
    .await;

    std::fs::remove_file(&filler).unwrap();
    let stream = stream.finish().await;
    assert_eq!(
        (stream.terminal()["type"].as_str(), stream.text().as_str()),
        (Some("run.completed"), "Some words more")
    );
    eventually("health says so", || async { (user.get("/health/db").await.status == 200).then_some(()) }).await;
    let task = user.post("/api/v1/tasks", &json!({"title": "again"})).await;
    assert_eq!(task.status, 201, "{}", task.text);
    kept.push(task.data()["id"].as_str().unwrap().to_owned());
    are_there(&user, &kept).await;
    assert_eq!(user.history(session).await["messages"][1]["content"][0]["text"], "Some words more");
}

/// Adds tasks until one is refused. Returns the ids of those that were acknowledged, and the refusal.
async fn add_tasks(user: &Client) -> (Vec<String>, Reply) {
    let mut kept = Vec::new();
    loop {
        let task = json!({"title": format!("task {}", kept.len()), "description": "x".repeat(1900)});
        let reply = user.post("/api/v1/tasks", &task).await;
        if reply.status != 201 {
            return (kept, reply);
        }
        kept.push(reply.data()["id"].as_str().unwrap().to_owned());
        assert!(kept.len() < 5000, "the disk does not fill up");
    }
}

/// Checks that these tasks can be read.
async fn are_there(user: &Client, tasks: &[String]) {
    for id in tasks {
        user.get(&format!("/api/v1/tasks/{id}")).await.data();
    }
}

/// Fills a disk with one file.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("a file on the disk");
    while file.write_all(&[0; 4096]).is_ok() {}
}
