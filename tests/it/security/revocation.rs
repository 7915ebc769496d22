//! Access that is taken back while a hundred streams are open, at two replicas: each stream ends at once, and each new
//! call is refused at both. With signals over Redis, and without.

use crate::in_variants;
use crate::rest::admin::with_roles;
use crate::rest::registration::command;
use crate::support::{App, Client, Gate, Script, Setup, Socket, Sse, Upstream};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use threadline_test_requirements::Requirement;
use uuid::Uuid;

const ME: &str = "/api/v1/auth/me";
const USER: &str = "x-threadline-user";
/// Streams of each kind at each replica: of a run and of a session, over SSE and over a WebSocket. 104 in all.
const STREAMS: usize = 13;
/// How soon each has ended: within a second, with room for a machine that runs other tests meanwhile.
const SOON: Duration = Duration::from_millis(1_500);

/// A token, and for whom it is used if it is a service key.
#[derive(Clone)]
struct Access {
    client: Client,
    acts_for: Option<String>,
}

impl Access {
    fn at(&self, app: &App) -> Self {
        Self { client: self.client.at(app), acts_for: self.acts_for.clone() }
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(Method::GET, path);
        match &self.acts_for {
            Some(user) => request.header(USER, user),
            None => request,
        }
    }

    fn params(&self, mut params: Value) -> Value {
        if let Some(user) = &self.acts_for {
            params["_meta"] = json!({"user": user});
        }
        params
    }

    /// Checks that it is refused, over each transport.
    async fn is_refused(&self) {
        crate::support::client::read(self.request(ME)).await.fails(401, "UNAUTHORIZED");
        let answer = self.client.rpc("auth.me", self.params(json!({}))).await;
        assert_eq!(answer["error"]["data"]["code"], "UNAUTHORIZED", "{answer}");
    }
}

/// A socket, and its subscriptions.
struct Subscribed {
    socket: Socket,
    subscriptions: Vec<Value>,
}

struct Streams {
    access: Access,
    sse: Vec<Sse>,
    subscribed: Subscribed,
}

impl Streams {
    async fn open(access: Access, session: Uuid, run: Uuid) -> Self {
        let mut sse = Vec::new();
        let mut subscribed = Subscribed { socket: access.client.socket().await, subscriptions: Vec::new() };
        for _ in 0..STREAMS {
            let of_run = access.request(&format!("/api/v1/chatkit/runs/{run}/events"));
            let mut of_run = Sse::open(of_run).await.expect("a stream");
            of_run.until_said("one").await;
            let of_session = access.request(&format!("/api/v1/chatkit/sessions/{session}/events"));
            sse.extend([of_run, Sse::open(of_session).await.expect("a stream")]);
            let calls =
                [("runs.subscribe", json!({"run_id": run})), ("threads.subscribe", json!({"thread_id": session}))];
            for (method, params) in calls {
                let subscription = subscribed.socket.ok(method, access.params(params)).await;
                subscribed.subscriptions.push(subscription);
            }
        }
        Self { access, sse, subscribed }
    }

    /// Waits for the end of each stream, which says why. Returns when the last one has ended.
    async fn end(self) -> Instant {
        let Self { access, sse, subscribed: Subscribed { mut socket, mut subscriptions } } = self;
        let of_sse = join_all(sse.into_iter().map(|stream| async move {
            let stream = stream.finish().await;
            let (_, last) = stream.events.last().expect("an event");
            assert_eq!(last["type"], "error", "{:?}", stream.types());
            assert!(last["message"].as_str().unwrap().contains("not accepted any more"), "{last}");
        }));
        let of_socket = async {
            while !subscriptions.is_empty() {
                let message = socket.receive().await.expect("the socket itself stays open");
                if message["params"].get("error").is_some() {
                    let ended = message["params"]["subscription"].clone();
                    subscriptions.retain(|subscription| *subscription != ended);
                }
            }
        };
        futures::join!(of_sse, of_socket);
        let ended = Instant::now();
        let answer = socket.call("auth.me", access.params(json!({}))).await;
        assert_eq!(answer["error"]["data"]["code"], "UNAUTHORIZED", "{answer}");
        access.is_refused().await;
        ended
    }
}

/// A user whose answer is under way.
struct Answered {
    user: Client,
    session: Uuid,
    run: Uuid,
    /// The user's own stream.
    stream: Sse,
}

impl Answered {
    async fn start(app: &App) -> Self {
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, "hello").await.expect("a stream");
        stream.until_said("one").await;
        Self { run: stream.run_id(), user, session, stream }
    }

    fn id(&self) -> String {
        self.user.user_id.unwrap().to_string()
    }
}

/// Opens a hundred streams at both replicas, takes the access back, and checks that all end.
async fn ends(apps: [&App; 2], access: Access, answered: &Answered, what: &str, take_back: impl Future<Output = ()>) {
    let streams = apps.map(|app| Streams::open(access.at(app), answered.session, answered.run));
    let streams = join_all(streams).await;
    take_back.await;
    let began = Instant::now();
    let ended = join_all(streams.into_iter().map(Streams::end)).await;
    let last = ended.into_iter().max().unwrap().saturating_duration_since(began);
    assert!(last < SOON, "{what}: the streams went on for {last:?}");
}

in_variants! {
    [
        without_redis { Setup::postgres().await }
        with_redis {
            match Requirement::Redis.find() {
                Some(url) => Setup::postgres().await.map(|setup| setup.with("REDIS_URL", url)),
                None => None,
            }
        }
    ]
    async fn a_hundred_streams_at_two_replicas_end_at_once(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        let script = Script::stream().words(&["one"]).stop(&gate).words(&[" two"]).done("stop");
        upstream.answer_with(move |_| script.clone());
        let setup = setup.upstream(&upstream).with("MAX_STREAMS_PER_USER", 0).with("DATABASE_POOL_SIZE", 10);
        let one = setup.with("AGENT_TIMEOUT_SECONDS", 120).start().await;
        let other = one.again().start().await;
        let apps = [&one, &other];
        let bystander = Answered::start(&one).await;
        let own = |answered: &Answered| Access { client: answered.user.clone(), acts_for: None };

        let ada = Answered::start(&one).await;
        ends(apps, own(&ada), &ada, "log out everywhere", async {
            let logout = ada.user.post("/api/v1/auth/logout-everywhere", &json!({})).await;
            assert_eq!(logout.status, 200, "{}", logout.text);
        })
        .await;

        let admin = with_roles(&one, &["admin"]).await;
        let bob = Answered::start(&other).await;
        ends(apps, own(&bob), &bob, "disable", async {
            let disabled = admin.post(&format!("/api/v1/admin/users/{}/disable", bob.id()), &json!({})).await;
            assert_eq!(disabled.status, 200, "{}", disabled.text);
        })
        .await;

        // The user's own stream is not of the key or of the client token, and goes on.
        let cat = Answered::start(&one).await;
        let printed = command(&one, &["key", "create", "shop", "--methods", "*", "--users", &cat.id()]).await;
        let key = one.anonymous().with_token(printed.lines().next().unwrap());
        let key = Access { client: key, acts_for: Some(cat.id()) };
        let revoke = ["key", "revoke", "shop"];
        ends(apps, key, &cat, "revoke the key", async { drop(command(&one, &revoke).await) }).await;

        let dan = Answered::start(&other).await;
        let created = dan.user.rpc_ok("auth.create_client_token", json!({})).await;
        let token = created["token"].as_str().unwrap().to_owned();
        let page = Access { client: dan.user.with_token(token.as_str()), acts_for: None };
        ends(apps, page, &dan, "cancel the client token", async {
            dan.user.rpc_ok("auth.cancel_client_token", json!({"client_token": token})).await;
        })
        .await;

        gate.open();
        for answered in [bystander, cat, dan] {
            assert_eq!(answered.user.get(ME).await.status, 200);
            assert_eq!(answered.stream.finish().await.terminal()["type"], "run.completed");
        }
        for app in apps {
            crate::rpc::nobody_panicked(app);
        }
    }
}

in_variants! {
    [
        serve { Some(Setup::new().await) }
        split { Some(Setup::new().await.split()) }
    ]
    /// A client that waits for the status of its answer gets 401 when its access is taken back: the service is not at
    /// fault.
    async fn an_answer_that_is_waited_for_ends_as_unauthorized(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        let script = Script::stream().stop(&gate).words(&["one"]).done("stop");
        upstream.answer_with(move |_| script.clone());
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let mut waiting = Vec::new();
        for accept in ["application/json", "text/event-stream"] {
            let request = user.request(Method::POST, &Client::runs_path(user.session().await)).header("accept", accept);
            waiting.push(tokio::spawn(crate::support::client::read(request.json(&Client::message("hello")))));
        }
        while upstream.requests().len() < waiting.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let logout = user.post("/api/v1/auth/logout-everywhere", &json!({})).await;
        assert_eq!(logout.status, 200, "{}", logout.text);
        for reply in join_all(waiting).await {
            reply.unwrap().fails(401, "UNAUTHORIZED");
        }
        gate.open();
        crate::rpc::nobody_panicked(&app);
    }
}
