//! Access to an account: its password, the end of its tokens, and the operator's commands. What ends must end
//! everywhere: on each transport, in each entry of a batch, on each open stream, on each replica.

use super::registration::command;
use crate::everywhere;
use crate::support::client::PASSWORD;
use crate::support::{App, Client, Gate, Script, Setup, Socket, Sse, Upstream};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

const CHANGE_PASSWORD: &str = "/api/v1/auth/change-password";
const LOGOUT: &str = "/api/v1/auth/logout-everywhere";
const LOGIN: &str = "/api/v1/auth/login";
const ME: &str = "/api/v1/auth/me";

/// How soon a stream has ended after its token was cancelled, with room for a busy machine.
const SOON: Duration = Duration::from_secs(2);

async fn log_in(anybody: &Client, email: &str, password: &str) -> Client {
    let login = anybody.post(LOGIN, &json!({"email": email, "password": password})).await;
    anybody.with_token(login.data()["token"].as_str().unwrap())
}

/// Checks that the token of a client is refused over each transport.
async fn is_refused(client: &Client) {
    client.get(ME).await.fails(401, "UNAUTHORIZED");
    let answer = client.rpc("auth.me", json!({})).await;
    assert_eq!(answer["error"]["data"]["code"], "UNAUTHORIZED", "{answer}");
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "auth.me"});
    let batch = client.rpc_raw(json!([call, call]).to_string()).await.body;
    for entry in batch.as_array().unwrap() {
        assert_eq!(entry["error"]["data"]["code"], "UNAUTHORIZED", "{batch}");
    }
}

/// Checks that the token of a client is accepted over each transport.
async fn is_accepted(client: &Client) {
    assert_eq!(client.get(ME).await.status, 200);
    client.rpc_ok("auth.me", json!({})).await;
}

/// The open streams of one client: of a run and of a session, over SSE and over a WebSocket.
struct Streams {
    sse: Vec<Sse>,
    socket: Socket,
    subscriptions: Vec<Value>,
    run: Uuid,
}

impl Streams {
    /// Starts a run that waits for the gate of its script, and opens `count` streams of each kind.
    async fn open(client: &Client, count: usize) -> Self {
        let session = client.session().await;
        let mut started = client.start(session, "hello").await.expect("a stream");
        started.until_said("one").await;
        let run = started.run_id();
        let mut sse = vec![started];
        let mut socket = client.socket().await;
        let mut subscriptions = Vec::new();
        for _ in 0..count {
            let mut follow = client.follow(run, None).await.expect("a stream");
            follow.until_said("one").await;
            sse.push(follow);
            sse.push(client.follow_session(session, "", None).await.expect("a stream"));
            subscriptions.push(socket.subscribe(&run.to_string(), None).await);
            subscriptions.push(socket.ok("threads.subscribe", json!({"thread_id": session})).await);
        }
        Self { sse, socket, subscriptions, run }
    }

    /// Checks that each stream ends soon, with an `error` event that says why.
    async fn end(mut self) {
        let started = Instant::now();
        for stream in self.sse {
            let stream = stream.finish().await;
            let (_, last) = stream.events.last().expect("an event");
            assert_eq!(last["type"], "error", "{:?}", stream.types());
            assert!(last["message"].as_str().unwrap().contains("not accepted any more"), "{last}");
        }
        let mut open = self.subscriptions.clone();
        while !open.is_empty() {
            let message = self.socket.receive().await.expect("the socket itself stays open");
            if message["params"].get("error").is_some() {
                let ended = message["params"]["subscription"].clone();
                open.retain(|subscription| *subscription != ended);
            }
        }
        assert!(started.elapsed() < SOON, "the streams went on for {:?}", started.elapsed());
        // The token of the socket's head is refused too, call by call.
        let answer = self.socket.call("runs.get", json!({"run_id": self.run})).await;
        assert_eq!(answer["error"]["data"]["code"], "UNAUTHORIZED", "{answer}");
    }
}

/// Starts a service whose answers stop after the first word until the gate opens.
async fn start(setup: Setup, answers: usize) -> (App, Gate) {
    let (upstream, gate) = (Upstream::start().await, Gate::closed());
    for _ in 0..answers {
        upstream.queue(Script::stream().words(&["one"]).stop(&gate).words(&[" two"]).done("stop"));
    }
    (setup.upstream(&upstream).start().await, gate)
}

everywhere! {
    async fn a_changed_password_ends_all_other_tokens_and_their_streams(setup: Setup) {
        let (app, gate) = start(setup, 1).await;
        let anybody = app.anonymous();
        let user = app.user().await;
        let other = log_in(&anybody, &user.email, PASSWORD).await;
        let streams = Streams::open(&other, 1).await;

        let change = |current: &str, new: &str| json!({"current_password": current, "new_password": new});
        user.post(CHANGE_PASSWORD, &change("not the password", "a new password")).await.fails(401, "INVALID_CREDENTIALS");
        user.post(CHANGE_PASSWORD, &change(PASSWORD, "short")).await.fails(400, "INVALID_REQUEST");
        anybody.post(CHANGE_PASSWORD, &change(PASSWORD, "a new password")).await.fails(401, "UNAUTHORIZED");
        is_accepted(&other).await;

        let changed = user.post(CHANGE_PASSWORD, &change(PASSWORD, "a new password")).await;
        let fresh = anybody.with_token(changed.data()["token"].as_str().unwrap());
        streams.end().await;
        is_refused(&user).await;
        is_refused(&other).await;
        is_accepted(&fresh).await;
        let old = json!({"email": user.email, "password": PASSWORD});
        anybody.post(LOGIN, &old).await.fails(401, "INVALID_CREDENTIALS");
        is_accepted(&log_in(&anybody, &user.email, "a new password").await).await;
        gate.open();
    }

    async fn who_logs_out_everywhere_is_out_everywhere(setup: Setup) {
        let (app, gate) = start(setup, 2).await;
        let anybody = app.anonymous();
        let user = app.user().await;
        let bystander = app.user().await;
        let one = log_in(&anybody, &user.email, PASSWORD).await;
        let streams = Streams::open(&one, 3).await;
        let others = Streams::open(&bystander, 1).await;

        let two = log_in(&anybody, &user.email, PASSWORD).await;
        assert!(two.post(LOGOUT, &json!({})).await.data()["at"].is_string());
        streams.end().await;
        for client in [&one, &two, &user] {
            is_refused(client).await;
        }
        let again = log_in(&anybody, &user.email, PASSWORD).await;
        is_accepted(&again).await;

        // The streams of somebody else continued, and the run did too.
        gate.open();
        let mut sse = others.sse;
        assert_eq!(sse.remove(0).finish().await.terminal()["type"], "run.completed");
        let run = run_of(&again).await;
        assert_eq!(run["status"], "completed", "{run}");
    }

    async fn a_disabled_user_is_out_within_a_second(setup: Setup) {
        let (app, gate) = start(setup, 1).await;
        let anybody = app.anonymous();
        let user = app.user().await;
        let streams = Streams::open(&user, 1).await;
        let printed = command(&app, &["user", "disable", &user.email]).await;
        assert!(printed.contains("disabled"), "{printed}");
        streams.end().await;
        is_refused(&user).await;
        let login = json!({"email": user.email, "password": PASSWORD});
        anybody.post(LOGIN, &login).await.fails(403, "ACCOUNT_DISABLED");
        anybody.post(LOGIN, &json!({"email": user.email, "password": "wrong password"})).await.fails(401, "INVALID_CREDENTIALS");

        command(&app, &["user", "enable", &user.user_id.unwrap().to_string()]).await;
        crate::support::eventually("the user is enabled", || async {
            (user.get(ME).await.status == 200).then_some(())
        })
        .await;
        gate.open();
    }

    async fn the_commands_list_show_and_reset(setup: Setup) {
        let app = setup.start().await;
        let anybody = app.anonymous();
        let user = app.user().await;
        let listed = command(&app, &["user", "list"]).await;
        assert!(listed.contains(&user.email) && listed.contains("enabled"), "{listed}");
        let shown = command(&app, &["user", "show", "--user", &user.email.to_uppercase()]).await;
        assert!(shown.contains(&user.user_id.unwrap().to_string()), "{shown}");

        let printed = command(&app, &["user", "reset-password", &user.email]).await;
        let password = printed.lines().find_map(|line| line.strip_prefix("password: ")).expect("a new password");
        crate::support::eventually("the tokens have ended", || async {
            (user.get(ME).await.status == 401).then_some(())
        })
        .await;
        let again = log_in(&anybody, &user.email, password).await;
        is_accepted(&again).await;
        command(&app, &["user", "logout", &user.email]).await;
        crate::support::eventually("the tokens have ended", || async {
            (again.get(ME).await.status == 401).then_some(())
        })
        .await;
    }
}

/// Returns the newest run of a client's newest session, after it has ended.
async fn run_of(client: &Client) -> Value {
    let sessions = client.get("/api/v1/chatkit/sessions").await;
    let session = sessions.data()[0]["id"].as_str().unwrap().to_owned();
    crate::support::eventually("the run ends", || async {
        let history = client.get(&format!("/api/v1/chatkit/sessions/{session}")).await;
        let said = history.text.contains("one two");
        said.then(|| json!({"status": "completed"}))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_streams_of_another_replica_end_too_with_and_without_signals() {
    let Some(setup) = Setup::postgres().await else { return };
    let (one, gate) = start(setup, 2).await;
    let other = one.again().start().await;
    for is_command in [false, true] {
        let user = one.user().await;
        let there = user.at(&other);
        is_accepted(&there).await;
        let streams = Streams::open(&user, 1).await;
        let mut sse = Vec::new();
        for _ in 0..5 {
            let mut stream = there.follow(streams.run, None).await.expect("a stream");
            stream.until_said("one").await;
            sse.push(stream);
        }
        if is_command {
            // A command sends no signal: each replica finds the change in the database.
            command(&one, &["user", "logout", &user.email]).await;
        } else {
            assert_eq!(user.post(LOGOUT, &json!({})).await.status, 200);
        }
        let ended = Instant::now();
        for stream in sse {
            let stream = stream.finish().await;
            assert_eq!(stream.events.last().unwrap().1["type"], "error", "{:?}", stream.types());
        }
        assert!(ended.elapsed() < SOON, "{:?}", ended.elapsed());
        streams.end().await;
        is_refused(&there).await;
    }
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_streams_end_at_once() {
    let (app, gate) = start(Setup::new().await.with("MAX_STREAMS_PER_USER", 0), 1).await;
    let user = app.user().await;
    let streams = Streams::open(&user, 25).await;
    assert_eq!(user.post(LOGOUT, &json!({})).await.status, 200);
    streams.end().await;
    gate.open();
}
