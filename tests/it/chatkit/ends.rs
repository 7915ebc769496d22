//! How an answer ended: stored with the run and its message, and told to clients when the answer is incomplete.

use crate::everywhere;
use crate::support::{Client, Script, Upstream};
use serde_json::{Value, json};

/// Reasons of the model's server, and how the answer ended then.
const ENDS: [(&str, &str); 3] = [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter")];

fn notices(events: &[(Option<String>, Value)]) -> Vec<Value> {
    events.iter().map(|(_, event)| event.clone()).filter(|event| event["type"] == "notice").collect()
}

everywhere! {
    async fn an_incomplete_answer_says_so_everywhere(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        for (sent, reason) in ENDS {
            upstream.queue(Script::stream().words(&["The dose is"]).done(sent));
            let params = json!({"input": Client::chatkit_input("How much?")});
            let stream = user.chatkit_stream("threads.create", params).await.unwrap().finish().await;
            let thread = stream.events[0].1["thread"]["id"].clone();
            let notices = notices(&stream.events);
            if reason == "stop" {
                assert!(notices.is_empty(), "{notices:?}");
            } else {
                let [notice] = notices.try_into().unwrap();
                assert_eq!((&notice["level"], &notice["finish_reason"]), (&json!("warning"), &json!(reason)));
            }
            let done = stream.events.iter().find(|(_, event)| event["type"] == "thread.item.done" && event["item"]["type"] == "assistant_message");
            assert_eq!(done.unwrap().1["item"]["finish_reason"], reason);

            let run = stream.run_id();
            let stored = user.run(run).await;
            assert_eq!((&stored["status"], &stored["finish_reason"]), (&json!("completed"), &json!(reason)));
            assert_eq!(user.rpc_ok("runs.get", json!({"run_id": run})).await["finish_reason"], reason);
            let followed = user.follow(run, None).await.unwrap().finish().await;
            assert_eq!(followed.terminal()["run"]["finish_reason"], reason);
            let history = user.chatkit("items.list", json!({"thread_id": thread, "order": "desc"})).await.body;
            assert_eq!(history["data"][0]["finish_reason"], reason);
        }
    }

    async fn the_limit_of_turns_is_a_reason(setup: Setup) {
        let upstream = Upstream::start().await;
        let call = || Script::calls(&[("list_tasks", json!({}))]);
        upstream.queue(call()).queue(call());
        let app = setup.upstream(&upstream).with("AGENT_MAX_TURNS", 2).start().await;
        let user = app.user().await;
        let params = json!({"input": Client::chatkit_input("List them")});
        let stream = user.chatkit_stream("threads.create", params).await.unwrap().finish().await;
        let [notice] = notices(&stream.events).try_into().unwrap();
        assert_eq!(notice["finish_reason"], "turn_limit");
        let stored = user.run(stream.run_id()).await;
        assert_eq!((&stored["status"], &stored["finish_reason"]), (&json!("failed"), &json!("turn_limit")));
    }

    async fn a_cancelled_answer_has_no_reason(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::stream().words(&["Once"]).hang());
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, "A story").await.unwrap();
        stream.until_said("Once").await;
        let run = stream.run_id();
        user.rpc_ok("runs.cancel", json!({"run_id": run})).await;
        let stream = stream.finish().await;
        assert_eq!(stream.terminal()["run"]["status"], "cancelled");
        assert!(user.run(run).await.get("finish_reason").is_none());
    }
}
