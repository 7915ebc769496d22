//! Start, stop and crash: the outcome of runs, and what the log must not contain.

use crate::support::process::UNREAD_LOG;
use crate::support::{App, ENDS_WITH_ITS_PROCESS, Gate, Script, Setup, Upstream, eventually};
use serde_json::json;
use uuid::Uuid;

/// Sends SIGTERM to the server, and waits until it accepts no more connections.
async fn terminate(app: &App) {
    app.processes[0].signal("TERM");
    eventually("the port is closed", || async {
        tokio::net::TcpStream::connect(&app.rest).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_may_finish_before_the_server_stops() {
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    upstream.queue(Script::stream().words(&["Almost"]).stop(&gate).words(&[" done"]).done("stop"));
    let mut app = Setup::new().await.upstream(&upstream).with("DRAIN_SECONDS", 20).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let mut stream = user.start(session, "Hello").await.unwrap();
    stream.until("thread.item.content.part.delta").await;
    terminate(&app).await;
    gate.open();
    let stream = stream.finish().await;
    assert_eq!((stream.text().as_str(), &stream.terminal()["type"]), ("Almost done", &json!("run.completed")));
    assert_eq!(app.processes[0].exit_code().await, Some(0));

    let app = app.again().start().await;
    let user = crate::support::Client::new(&app.rest, &app.rpc, user.token);
    assert_eq!(user.history(session).await["messages"][1]["content"][0]["text"], "Almost done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_log_pipe_is_closed_answers_and_stops() {
    let mut app = Setup::new().await.with(UNREAD_LOG, true).start().await;
    assert_eq!(app.anonymous().get("/health").await.status, 200);
    let user = app.user().await;
    user.say(user.session().await, "Hello").await.terminal();
    app.processes[0].signal("TERM");
    assert_eq!(app.processes[0].exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_runs_are_interrupted_and_kept() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["Cut", " off"]).hang()).queue(Script::stream().hang());
    let mut app = Setup::new().await.upstream(&upstream).with("DRAIN_SECONDS", 1).start().await;
    let user = app.user().await;
    let (session, silent) = (user.session().await, user.session().await);
    let mut stream = user.start(session, "Hello").await.unwrap();
    while stream.text() != "Cut off" {
        stream.next().await.unwrap();
    }
    let waiting = {
        let user = user.clone();
        tokio::spawn(async move { user.say_in_vain(silent, "Hello?").await })
    };
    eventually("the model is asked twice", || async { (upstream.requests().len() == 2).then_some(()) }).await;
    app.processes[0].signal("TERM");
    let stream = stream.finish().await;
    assert_eq!((stream.text().as_str(), &stream.terminal()["type"]), ("Cut off", &json!("run.interrupted")));
    // The run without output is an error that can be retried.
    let refused = waiting.await.unwrap();
    refused.fails(503, "SERVICE_UNAVAILABLE");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(app.processes[0].exit_code().await, Some(0));

    let app = app.again().start().await;
    let user = crate::support::Client::new(&app.rest, &app.rpc, user.token.clone());
    let run = user.run(stream.run_id()).await;
    assert_eq!(run["status"], "interrupted");
    assert_eq!(&run, &stream.terminal()["run"]);
    assert_eq!(user.history(session).await["messages"][1]["content"][0]["text"], "Cut off");
    for session in [session, silent] {
        assert_eq!(user.say(session, "And now?").await.terminal()["type"], "run.completed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_during_a_run_blocks_nothing() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["Gone"]).hang());
    let app = Setup::new().await.upstream(&upstream).agents(ENDS_WITH_ITS_PROCESS).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let finished = user.session().await;
    upstream.queue(Script::says(&["Whole"]));
    let mut stream = user.start(session, "Hello").await.unwrap();
    let said = stream.until_said("Gone").await;
    let run = stream.run_id();
    let whole = user.say(finished, "Hello").await;
    app.database.logged(run, said).await;

    let app = app.crash_and_restart().await;
    assert!(!stream.finish().await.done, "a stream that is torn off has no end");
    let user = crate::support::Client::new(&app.rest, &app.rpc, user.token);
    assert_eq!(user.run(run).await["status"], "interrupted");
    let messages = user.history(session).await["messages"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 2, "the message is there, once, and what was said: {messages}");
    assert_eq!(messages[1]["content"][0]["text"], "Gone");
    // The events before the crash, then the stored items, and the terminal event.
    let late = user.follow(run, Some(&format!("{run}:3"))).await.unwrap().finish().await;
    assert_eq!(late.text(), "Gone");
    assert_eq!(late.types()[late.types().len() - 2..], ["run.resync", "run.interrupted"]);
    let (_, resync) = &late.events[late.events.len() - 2];
    let said = resync["items"]["data"].as_array().unwrap().last().unwrap();
    assert_eq!(said["content"][0]["text"], "Gone");
    // All events of an ended run are there, with their numbers.
    let late = user.follow(whole.run_id(), None).await.unwrap().finish().await;
    assert_eq!(late.events, whole.events);
    let cursor = whole.events.last().unwrap().0.clone().unwrap();
    let told = user.follow(whole.run_id(), Some(&cursor)).await.unwrap().finish().await;
    assert_eq!(told.types(), ["run.completed"], "who has everything is only told the end");

    assert_eq!(user.say(session, "Are you back?").await.terminal()["type"], "run.completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_item_blocks_neither_the_start_nor_the_thread() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::calls(&[("list_tasks", json!({}))]));
    upstream.queue(Script::stream().words(&["Gone"]).hang());
    let app = Setup::new().await.upstream(&upstream).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let mut stream = user.start(session, "Hello").await.unwrap();
    let said = stream.until_said("Gone").await;
    let run = stream.run_id();
    app.database.logged(run, said).await;
    app.database.batch("UPDATE items SET body = '{}' WHERE kind = 'tool_call'").await;

    let app = app.crash_and_restart().await;
    let user = crate::support::Client::new(&app.rest, &app.rpc, user.token);
    let busy = user.say_in_vain(session, "Are you back?").await;
    assert_ne!(busy.body["error"]["code"], "THREAD_BUSY", "{}", busy.text);
    let other = user.session().await;
    assert_eq!(user.say(other, "Are you back?").await.terminal()["type"], "run.completed");
    assert!(app.log().iter().any(|line| line.to_string().contains("cannot be read")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_replica_does_not_block_its_threads() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["Gone"]).hang());
    let mut app = setup.upstream(&upstream).start().await;
    // A second process on the same database, like a replica.
    let other = app.again().start().await;
    let user = app.user().await;
    let elsewhere = crate::support::Client::new(&other.rest, &other.rpc, user.token.clone());
    let session = user.session().await;
    let mut stream = user.start(session, "Hello").await.unwrap();
    stream.until("thread.item.content.part.delta").await;
    let run: Uuid = stream.run_id();
    elsewhere.say_in_vain(session, "Are you busy?").await.fails(409, "THREAD_BUSY");
    app.core().kill();
    // Its lease expires fifteen seconds after its last renewal, and is checked every five.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(40);
    while elsewhere.run(run).await["status"] == "running" {
        assert!(std::time::Instant::now() < deadline, "the run of a dead process goes on for ever");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    assert_eq!(elsewhere.run(run).await["status"], "completed");
    assert_eq!(elsewhere.say(session, "And now?").await.terminal()["type"], "run.completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sqlite_file_has_one_server() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let said = refused_start(app.database.url()).await;
    assert!(said.contains("in use"), "{said}");
    #[cfg(unix)]
    {
        let file = app.database.url().strip_prefix("sqlite://").unwrap().to_owned();
        let (link, name) = (format!("{file}.link"), format!("{file}.name"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let said = refused_start(format!("sqlite://{link}")).await;
        assert!(said.contains("in use"), "{said}");
        std::fs::hard_link(&file, &name).unwrap();
        let said = refused_start(format!("sqlite://{name}")).await;
        assert!(said.contains("hard links"), "{said}");
    }
    assert_eq!(user.get("/api/v1/auth/me").await.status, 200, "the first goes on");
}

/// Starts a server on a database that it must not use. Returns what it says.
async fn refused_start(database: String) -> String {
    let settings =
        [("DATABASE_URL", database), ("REST_LISTEN", "127.0.0.1:0".into()), ("RPC_LISTEN", "127.0.0.1:0".into())];
    let output =
        tokio::task::spawn_blocking(move || crate::support::process::run(&["serve"], &settings)).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_symbolic_link_to_a_file_that_does_not_exist_yet_has_one_server() {
    let setup = Setup::new().await;
    let file = setup.database.url().strip_prefix("sqlite://").unwrap().to_owned();
    let link = format!("{file}.link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let app = setup.with("DATABASE_URL", format!("sqlite://{link}")).start().await;
    let said = refused_start(app.database.url()).await;
    assert!(said.contains("in use"), "{said}");
}

crate::everywhere! {
    async fn no_secret_is_ever_logged(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream
            .queue(Script::calls(&[("add_task", json!({"title": "SECRET-TASK"}))]))
            .queue(Script::says(&["SECRET-ANSWER"]));
        upstream.queue(Script::fails(401, &json!({"error": {"message": "bad key sk-test-key"}})));
        let app = setup.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let credentials = json!({"email": user.email, "password": crate::support::client::PASSWORD});
        let login = app.anonymous().post("/api/v1/auth/login", &credentials).await;
        let token = login.data()["token"].as_str().unwrap().to_owned();
        user.say(session, "SECRET-QUESTION").await.terminal();
        user.say_in_vain(session, "SECRET-QUESTION").await.fails(502, "UPSTREAM_ERROR");
        user.patch(&format!("/api/v1/chatkit/sessions/{session}"), &json!({"title": "SECRET-TITLE"})).await.data();
        user.get(&format!("/api/v1/auth/me?token={token}")).await.fails(400, "INVALID_REQUEST");
        user.post("/api/v1/auth/login", &json!({"email": "SECRET-EMAIL", "password": "SECRET-WORD"}))
            .await
            .fails(401, "INVALID_CREDENTIALS");
        user.with_token("SECRET-TOKEN").get("/api/v1/auth/me").await.fails(401, "UNAUTHORIZED");

        let logs: String = app.processes.iter().map(crate::support::process::Process::stderr).collect();
        assert!(logs.contains("run ended") && logs.contains("/api/v1/auth/login"), "the log says what was done");
        let database = app.database.url();
        let secrets = [
            crate::support::process::SECRET,
            crate::support::client::PASSWORD,
            &token,
            user.token.as_deref().unwrap(),
            "sk-test-key",
            "SECRET-",
            &user.email,
            &database,
        ];
        for secret in secrets {
            let line = logs.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "the log holds {secret}");
        }
        for line in logs.lines() {
            assert!(
                line.starts_with('{') && serde_json::from_str::<serde_json::Value>(line).is_ok(),
                "no JSON: {line}"
            );
        }
    }
}
