//! Fallback models.

use super::file::AgentsFile;
use crate::everywhere;
use crate::serve_and_split;
use crate::support::{Script, Upstream};
use serde_json::{Value, json};

const FALLBACKS: &str = r#"
[agents.helper]
model = "m/first"
fallback_models = ["m/second", "m/third"]
"#;

fn models(upstream: &Upstream) -> Vec<String> {
    upstream.requests().iter().map(|request| request["model"].as_str().unwrap().to_owned()).collect()
}

everywhere! {
    async fn a_fallback_before_the_first_token_is_invisible(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(FALLBACKS));
        upstream
            .queue(Script::fails(429, &json!({"error": {"message": "busy"}})))
            .queue(Script::fails(400, &json!({"error": {"message": "no such model"}})))
            .queue(Script::calls(&[("list_tasks", json!({}))]))
            .queue(Script::says(&["Done"]));
        let app = file.of(setup).upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let answer = user.say(session, "Hello").await;
        assert_eq!((&answer.terminal()["type"], answer.text().as_str()), (&json!("run.completed"), "Done"));
        assert!(!answer.types().contains(&"thread.item.removed"), "{:?}", answer.types());
        // The fallback model stays for the rest of the run.
        assert_eq!(models(&upstream), ["m/first", "m/second", "m/third", "m/third"]);
        assert!(app.metrics().await.contains("threadline_model_fallbacks_total{code=\"SERVICE_UNAVAILABLE\"} 1"));
    }

    async fn an_answer_of_nothing_or_of_thoughts_is_given_by_the_next_model(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(FALLBACKS));
        let nothing = || Script::stream().done("stop");
        let thoughts = || Script::stream().event(json!({"reasoning_content": "Hm."}), None).done("stop");
        let app = file.of(setup).upstream(&upstream).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0).start().await;
        let user = app.user().await;
        for (empty, how) in [(&nothing as &dyn Fn() -> Script, "nothing"), (&thoughts as &dyn Fn() -> Script, "thoughts")] {
            let session = user.session().await;
            let before = upstream.requests().len();
            // The first model is asked once more, then the next one answers.
            upstream.queue(empty()).queue(empty()).queue(Script::says(&["Here"]));
            let answer = user.say(session, "Hello").await;
            assert_eq!((&answer.terminal()["type"], answer.text().as_str()), (&json!("run.completed"), "Here"), "{how}");
            assert_eq!(models(&upstream)[before..], ["m/first", "m/first", "m/second"], "{how}");
            let history = user.history(session).await;
            assert_eq!(history["messages"].as_array().unwrap().len(), 2, "{how}");
            // After calls, too: the results are not lost, and the answer is not left out.
            let before = upstream.requests().len();
            upstream
                .queue(Script::calls(&[("list_tasks", json!({}))]))
                .queue(empty())
                .queue(empty())
                .queue(Script::says(&["No tasks"]));
            let answer = user.say(session, "List them").await;
            assert_eq!((&answer.terminal()["type"], answer.text().as_str()), (&json!("run.completed"), "No tasks"), "{how}");
            assert_eq!(models(&upstream)[before..], ["m/first", "m/first", "m/first", "m/second"], "{how}");
            // No model answers.
            for _ in 0..6 {
                upstream.queue(empty());
            }
            match user.start(session, "Speak").await {
                Ok(stream) => assert_eq!(stream.finish().await.terminal()["type"], "run.failed", "{how}"),
                Err(reply) => drop(reply.fails(502, "UPSTREAM_ERROR")),
            }
            let json = user.request(reqwest::Method::POST, &crate::support::Client::runs_path(session));
            for _ in 0..6 {
                upstream.queue(empty());
            }
            let json = json.json(&crate::support::Client::message("Speak")).header("accept", "application/json");
            let reply = crate::support::client::read(json).await;
            assert!(reply.fails(502, "UPSTREAM_ERROR").contains("no answer"), "{how}: {}", reply.text);
        }
    }

    async fn a_fallback_in_mid_stream_removes_the_partial_message(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(FALLBACKS));
        // The body ends without saying so.
        upstream.queue(Script::stream().words(&["Half", " a"])).queue(Script::says(&["A", " whole"]));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let answer = user.say(session, "Hello").await;
        assert_eq!(answer.terminal()["type"], "run.completed");
        assert_eq!(models(&upstream), ["m/first", "m/second"]);
        let events: Vec<&Value> = answer.events.iter().map(|(_, event)| event).collect();
        let added: Vec<&Value> = events
            .iter()
            .filter(|event| event["type"] == "thread.item.added")
            .map(|event| &event["item"]["id"])
            .collect();
        let removed = events.iter().position(|event| event["type"] == "thread.item.removed").expect("it is taken back");
        assert_eq!((added.len(), &events[removed]["item_id"]), (2, added[0]));
        assert_eq!((&events[removed + 1]["type"], &events[removed + 1]["level"]), (&json!("notice"), &json!("info")));
        let after: String =
            events[removed..].iter().filter_map(|event| event["delta"].as_str()).collect();
        assert_eq!(after, "A whole");
        let history = user.history(session).await;
        let kept: Vec<&Value> = history["messages"].as_array().unwrap().iter().map(|message| &message["content"][0]["text"]).collect();
        assert_eq!(kept, ["Hello", "A whole"]);
        assert_eq!(history["messages"][1]["id"], *added[1]);
        // The next prompt knows nothing of the half one.
        user.say(session, "Again").await.terminal();
        assert!(!upstream.requests()[2].to_string().contains("Half"));
    }
}

serve_and_split! {
    async fn each_model_has_its_own_thoughts(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(FALLBACKS));
        let thinks = |thought: &str| Script::stream().event(json!({"reasoning": thought}), None);
        upstream.queue(thinks("First, then nothing.")).queue(thinks("Second.").words(&["Here"]).done("stop"));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let answer = user.say(session, "Hello").await;
        assert_eq!((&answer.terminal()["type"], answer.text().as_str()), (&json!("run.completed"), "Here"));
        assert_eq!(models(&upstream), ["m/first", "m/second"]);
        let done = answer.events.iter().filter(|(_, event)| event["type"] == "thread.item.done");
        let thoughts: Vec<&Value> = done
            .map(|(_, event)| &event["item"]["workflow"]["tasks"][0]["content"])
            .filter(|thought| thought.is_string())
            .collect();
        assert_eq!(thoughts, ["First, then nothing.", "Second."]);
        assert!(!answer.types().contains(&"notice"), "no words were taken back");
    }

    async fn an_answer_that_breaks_off_for_its_length_is_taken_back(setup: Setup) {
        let upstream = Upstream::start().await;
        let error = json!({"error": {"message": "The context is exceeded.", "code": "context_length_exceeded"}});
        let app = setup.upstream(&upstream).with("MAX_MESSAGE_CHARS", 0).start().await;
        let user = app.user().await;
        let session = user.session().await;
        upstream.queue(Script::says(&["Noted."]));
        user.say(session, &"word ".repeat(2_000)).await.terminal();
        upstream
            .queue(Script::stream().words(&["Hello", " wor"]).raw(format!("data: {error}\n\n")))
            .queue(Script::says(&["The", " second", " answer."]));
        let answer = user.say(session, "Again").await;
        assert_eq!(answer.terminal()["type"], "run.completed");
        assert!(answer.types().contains(&"thread.item.removed"), "{:?}", answer.types());
        let history = user.history(session).await;
        assert_eq!(history["messages"][3]["content"][0]["text"], "The second answer.", "{history}");
    }

    async fn when_all_models_fail_the_text_of_the_last_is_kept(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(FALLBACKS));
        for word in ["One", "Two", "Three"] {
            upstream.queue(Script::stream().words(&[word]));
        }
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let answer = user.say(session, "Hello").await;
        assert_eq!(answer.terminal()["type"], "run.failed");
        let history = user.history(session).await;
        assert_eq!(history["messages"].as_array().unwrap().len(), 2, "{history}");
        assert_eq!(history["messages"][1]["content"][0]["text"], "Three");
    }

    async fn a_run_that_continues_after_a_fallback_and_a_crash_has_one_message(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(FALLBACKS));
        upstream.queue(Script::stream().words(&["Half"])).queue(Script::stream().words(&["New"]).hang());
        let mut app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut answer = user.start(session, "Hello").await.expect("a stream");
        let said = answer.until_said("HalfNew").await;
        let run = answer.run_id();
        app.database.logged(run, said).await;
        upstream.queue(Script::says(&["Whole"]));
        app = app.crash_and_restart().await;
        let user = user.at(&app);
        let told = user.follow(run, None).await.unwrap().finish().await;
        assert_eq!(told.terminal()["type"], "run.completed");
        let history = user.history(session).await;
        let kept: Vec<&Value> = history["messages"].as_array().unwrap().iter().map(|message| &message["content"][0]["text"]).collect();
        assert_eq!(kept, ["Hello", "Whole"]);
        // The first model is asked again.
        assert_eq!(models(&upstream), ["m/first", "m/second", "m/first"]);
    }
}
