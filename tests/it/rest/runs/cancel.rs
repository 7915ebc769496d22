//! Cancelling a run, and deleting its session.

use crate::everywhere;
use crate::support::{Script, Upstream, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

everywhere! {
    async fn text_before_a_cancel_is_kept(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::stream().words(&["Once", " upon"]).hang());
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, "Tell me a story").await.unwrap();
        let run = stream.run_id();
        while stream.text() != "Once upon" {
            stream.next().await.unwrap();
        }
        let cancel = format!("/api/v1/chatkit/runs/{run}/cancel");
        let cancelled = user.post(&cancel, &json!({})).await;
        assert_eq!((cancelled.status, &cancelled.data()["status"]), (200, &json!("cancelled")));
        let stream = stream.finish().await;
        assert_eq!(
            (&stream.terminal()["type"], &stream.terminal()["run"]),
            (&json!("run.cancelled"), cancelled.data())
        );
        assert_eq!(stream.text(), "Once upon");
        eventually("the model is not listened to any more", || async { (upstream.aborted() == 1).then_some(()) }).await;

        let again = user.post(&cancel, &json!({})).await;
        assert_eq!(again.data(), cancelled.data(), "cancelling twice changes nothing");
        let messages = user.history(session).await["messages"].clone();
        assert_eq!(messages.as_array().unwrap().len(), 2, "the note is for the model only");
        assert_eq!(messages[1]["content"], json!([{"type": "text", "text": "Once upon"}]));

        assert_eq!(user.say(session, "Something else, please").await.terminal()["type"], "run.completed");
        let asked: Value = upstream.requests().pop().unwrap();
        let told = asked["messages"].as_array().unwrap();
        assert_eq!(
            told.iter().map(|message| &message["role"]).collect::<Vec<_>>(),
            ["system", "user", "assistant", "user"]
        );
        let partial = told[2]["content"].as_str().unwrap();
        assert!(partial.starts_with("Once upon") && partial.contains("cancelled"), "the model knows: {partial}");
        let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?limit=100")).await;
        assert!(!items.text.contains("cancelled this answer"), "no client does: {}", items.text);
    }

    async fn a_cancel_before_the_first_token_and_one_after_the_end(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::stream().hang());
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        // Over JSON-RPC the id of a run is known before the model has sent anything.
        let input = json!({"content": [{"type": "input_text", "text": "Hello?"}]});
        let run =
            user.rpc_ok("threads.add_user_message", json!({"thread_id": session, "input": input})).await["id"].clone();
        let run: Uuid = run.as_str().unwrap().parse().unwrap();
        let stream = user.follow(run, None).await.unwrap();
        eventually("the model is asked", || async { (upstream.requests().len() == 1).then_some(()) }).await;
        let cancelled = user.post(&format!("/api/v1/chatkit/runs/{run}/cancel"), &json!({})).await;
        assert_eq!(cancelled.data()["status"], "cancelled");
        let stream = stream.finish().await;
        assert_eq!((&stream.terminal()["type"], stream.text().as_str()), (&json!("run.cancelled"), ""));
        assert_eq!(user.history(session).await["messages"].as_array().unwrap().len(), 1, "there is no answer");
        assert_eq!(user.say(session, "Hello!").await.terminal()["type"], "run.completed");

        let session = user.session().await;
        let finished = user.say(session, "Hello").await.terminal()["run"].clone();
        let path = format!("/api/v1/chatkit/runs/{}/cancel", finished["id"].as_str().unwrap());
        assert_eq!(user.post(&path, &json!({})).await.data(), &finished, "what has ended stays as it ended");
    }

    async fn deleting_a_session_cancels_its_run(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::stream().words(&["Once"]).hang());
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, "Tell me a story").await.unwrap();
        stream.until("thread.item.content.part.delta").await;
        let run = stream.run_id();
        assert_eq!(user.delete(&format!("/api/v1/chatkit/sessions/{session}")).await.status, 200);
        assert_eq!(stream.finish().await.terminal()["type"], "run.cancelled");
        eventually("the model is not listened to any more", || async { (upstream.aborted() == 1).then_some(()) }).await;
        user.get(&format!("/api/v1/chatkit/runs/{run}")).await.fails(404, "RUN_NOT_FOUND");
        user.get(&format!("/api/v1/chatkit/sessions/{session}")).await.fails(404, "SESSION_NOT_FOUND");
        let other = user.session().await;
        assert_eq!(user.say(other, "Hello").await.terminal()["type"], "run.completed");
    }
}
