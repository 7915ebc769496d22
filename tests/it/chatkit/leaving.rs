//! Closing the request cancels the run.

use crate::everywhere;
use crate::support::{Client, Gate, Script, Setup, Upstream, eventually};
use serde_json::json;

everywhere! {
    async fn closing_the_request_cancels_the_run(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::stream().words(&["Once", " upon"]).hang());
        let app = setup.upstream(&upstream).with("CHATKIT_CANCEL_GRACE_MS", 50).start().await;
        let user = app.user().await;
        let stream = user.chatkit_stream("threads.create", json!({"input": Client::chatkit_input("A story")})).await;
        let mut stream = stream.unwrap();
        let run = stream.run_id();
        let thread = stream.until("thread.created").await["thread"]["id"].clone();
        while stream.next().await.unwrap()["update"]["delta"] != " upon" {}
        drop(stream);
        eventually("the run is cancelled", || async {
            (user.run(run).await["status"] == "cancelled").then_some(())
        })
        .await;
        eventually("the model is not listened to any more", || async { (upstream.aborted() == 1).then_some(()) }).await;
        let kept = user.chatkit("items.list", json!({"thread_id": thread, "order": "asc"})).await.body;
        assert_eq!(kept["data"][1]["content"][0]["text"], "Once upon");
        assert_eq!(kept["data"].as_array().unwrap().len(), 2, "the note is for the model only");
        let params = json!({"thread_id": thread, "input": Client::chatkit_input("Something else")});
        let stream = user.chatkit_stream("threads.add_user_message", params).await.unwrap().finish().await;
        assert_eq!(user.run(stream.run_id()).await["status"], "completed");
    }

    async fn a_subscriber_keeps_the_run_alive(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["Once"]).stop(&gate).words(&[" more"]).done("stop"));
        upstream.queue(Script::stream().words(&["Twice"]).hang());
        let app = setup.upstream(&upstream).with("CHATKIT_CANCEL_GRACE_MS", 0).start().await;
        let user = app.user().await;
        let stream = user.chatkit_stream("threads.create", json!({"input": Client::chatkit_input("A story")})).await;
        let mut stream = stream.unwrap();
        let run = stream.run_id();
        let mut follower = user.follow(run, None).await.unwrap();
        follower.until_said("Once").await;
        stream.until("thread.item.updated").await;
        drop(stream);
        // A second request, closed later and cancelled, shows that the first has been handled.
        let params = json!({"input": Client::chatkit_input("Another")});
        let mut other = user.chatkit_stream("threads.create", params).await.unwrap();
        let other_run = other.run_id();
        other.until("thread.item.updated").await;
        drop(other);
        eventually("the other run is cancelled", || async {
            (user.run(other_run).await["status"] == "cancelled").then_some(())
        })
        .await;
        gate.open();
        let follower = follower.finish().await;
        assert_eq!((&follower.terminal()["type"], follower.text().as_str()), (&json!("run.completed"), "Once more"));
    }

    async fn a_client_that_reconnects_in_time_continues(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["Once"]).stop(&gate).words(&[" more"]).done("stop"));
        let app = setup.upstream(&upstream).with("CHATKIT_CANCEL_GRACE_MS", 600_000).start().await;
        let user = app.user().await;
        let stream = user.chatkit_stream("threads.create", json!({"input": Client::chatkit_input("A story")})).await;
        let mut stream = stream.unwrap();
        let run = stream.run_id();
        stream.until("thread.item.updated").await;
        drop(stream);
        let follower = user.follow(run, None).await.unwrap();
        gate.open();
        let follower = follower.finish().await;
        assert_eq!((&follower.terminal()["type"], follower.text().as_str()), (&json!("run.completed"), "Once more"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_gateway_counts_as_disconnected() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["Once"]).hang());
    let mut app = Setup::new().await.split().upstream(&upstream).with("CHATKIT_CANCEL_GRACE_MS", 50).start().await;
    let user = app.user().await;
    let stream = user.chatkit_stream("threads.create", json!({"input": Client::chatkit_input("A story")})).await;
    let mut stream = stream.unwrap();
    let run = stream.run_id();
    stream.until("thread.item.updated").await;
    app.processes[0].kill();
    eventually("the run is cancelled", || async {
        (user.rpc_ok("runs.get", json!({"run_id": run})).await["status"] == "cancelled").then_some(())
    })
    .await;
}
