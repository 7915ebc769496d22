//! Separate gateway and core: outages of either.

use super::proxy::{Proxy, free_port};
use crate::support::{Gate, Script, Setup, Upstream, eventually};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_survives_its_core() {
    let setup = Setup::new().await.split().with("RPC_LISTEN", format!("127.0.0.1:{}", free_port()));
    let mut app = setup.start().await;
    let user = app.user().await;
    user.post("/api/v1/tasks", &json!({"title": "Stay"})).await.data();
    app.core().kill();
    for _ in 0..3 {
        let away = user.get("/api/v1/tasks").await;
        away.fails(503, "SERVICE_UNAVAILABLE");
        assert!(away.header("retry-after").parse::<u64>().is_ok());
    }
    let session = uuid::Uuid::now_v7();
    user.say_in_vain(session, "Hello").await.fails(503, "SERVICE_UNAVAILABLE");
    assert_eq!(user.get("/health").await.status, 200, "the gateway itself is alive");
    assert_eq!(user.get("/health/db").await.status, 503);

    app.start_core().await;
    let tasks = eventually("the gateway finds its core again", || async {
        let reply = user.get("/api/v1/tasks").await;
        (reply.status == 200).then_some(reply)
    })
    .await;
    assert_eq!(tasks.data()[0]["title"], "Stay");
    let session = user.session().await;
    assert!(user.say(session, "Hello").await.done);
    super::nobody_panicked(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_continues_over_the_next_socket() {
    let (upstream, gates) = (Upstream::start().await, [Gate::closed(), Gate::closed()]);
    let script = Script::stream().words(&["one"]).stop(&gates[0]).words(&[" two"]).stop(&gates[1]);
    upstream.queue(script.words(&[" three"]).done("stop"));
    let core = format!("127.0.0.1:{}", free_port());
    let proxy = Proxy::to(core.clone()).await;
    let setup = Setup::new().await.split().with("RPC_LISTEN", core).with("CORE_URL", format!("ws://{}", proxy.address));
    let app = setup.upstream(&upstream).start().await;
    // The sockets are made in the background.
    eventually("the gateway finds its core", || async {
        (app.anonymous().get("/health/db").await.status == 200).then_some(())
    })
    .await;
    let user = app.user().await;
    let session = user.session().await;
    let mut stream = user.start(session, "Count").await.expect("a stream");
    for (gate, word) in gates.iter().zip(["one", " two"]) {
        while stream.deltas().last() != Some(&word) {
            stream.next().await.expect("the stream goes on");
        }
        assert!(proxy.cut() > 0);
        gate.open();
    }
    let stream = stream.finish().await;
    assert_eq!(stream.text(), "one two three");
    assert_eq!(stream.terminal()["type"], "run.completed");
    assert_eq!(
        stream.seqs(),
        (1..=stream.events.len() as u64).collect::<Vec<_>>(),
        "no event is missing or comes twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_when_its_core_has_died() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["one", " two"]).hang());
    upstream.queue(Script::says(&["one", " two", " three"]));
    let setup = Setup::new().await.split().with("RPC_LISTEN", format!("127.0.0.1:{}", free_port()));
    let mut app = setup.upstream(&upstream).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let mut stream = user.start(session, "Count").await.expect("a stream");
    while stream.deltas().last() != Some(&" two") {
        stream.next().await.expect("the stream goes on");
    }
    app.core().kill();
    app.start_core().await;
    let stream = stream.finish().await;
    assert_eq!(stream.terminal()["type"], "run.completed", "{:?}", stream.types());
    assert_eq!(stream.types().iter().filter(|kind| **kind == "run.resync").count(), 1);
    assert!(stream.text().ends_with("one two three"), "{}", stream.text());
    assert!(stream.seqs().is_sorted_by(|before, after| before < after), "{:?}", stream.seqs());
    // The thread is free again.
    assert_eq!(user.say(session, "Again").await.terminal()["type"], "run.completed");
}
