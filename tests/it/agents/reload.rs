//! SIGHUP: the file is read again, whole or not at all.

use super::file::AgentsFile;
use crate::serve_and_split;
use crate::support::{Gate, Script, Upstream, eventually};
use serde_json::json;

serve_and_split! {
    async fn new_runs_use_the_new_agents_and_active_ones_theirs(setup: Setup) {
        let (upstream, file) = (Upstream::start().await, AgentsFile::new("[agents.a]\ninstructions = \"Old.\"\n"));
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["On"]).stop(&gate).event(
            json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "list_tasks", "arguments": "{}"}}]}),
            None,
        ).done("tool_calls"));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let (first, second) = (user.session().await, user.session().await);
        let mut running = user.start(first, "Hello").await.expect("a stream");
        running.until_said("On").await;
        let reloads = async |outcome: &str| {
            let count = format!("threadline_agents_reloads_total{{outcome=\"{outcome}\"}} 1");
            eventually("the file is read again", || async { app.metrics().await.contains(&count).then_some(()) }).await;
        };

        file.write("[agents.a]\ninstructions = 7\n");
        app.processes.last().unwrap().signal("HUP");
        reloads("refused").await;
        let told = format!("{}:2:16: ", file.name());
        let refused = |line: &serde_json::Value| line["level"] == "ERROR" && line["error"].as_str().is_some_and(|error| error.contains(&told));
        assert!(app.log().iter().any(refused), "{:?}", app.log());
        user.say(second, "Hello").await.terminal();
        assert_eq!(upstream.requests()[1]["messages"][0]["content"], "Old.");

        file.write("[agents.b]\ninstructions = \"New.\"\n");
        app.processes.last().unwrap().signal("HUP");
        reloads("ok").await;
        gate.open();
        running.finish().await.terminal();
        user.say(second, "Hello").await.terminal();
        let asked: Vec<_> = upstream.requests().iter().map(|request| request["messages"][0]["content"].clone()).collect();
        assert_eq!(asked, ["Old.", "Old.", "Old.", "New."], "the run that had begun went on as it began");
    }

    async fn a_thread_whose_agent_is_gone_gets_the_default(setup: Setup) {
        let text = "default = \"a\"\n[agents.a]\ninstructions = \"A.\"\n[agents.b]\ninstructions = \"B.\"\n";
        let (upstream, file) = (Upstream::start().await, AgentsFile::new(text));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let made = user.rpc_ok("threads.create", json!({"agent": "b"})).await;
        let session = made["thread"]["id"].as_str().unwrap().parse().unwrap();
        user.say(session, "Hello").await.terminal();
        file.write("[agents.a]\ninstructions = \"A.\"\n");
        app.processes.last().unwrap().signal("HUP");
        eventually("the default answers", || async {
            user.say(session, "Hello").await.terminal();
            (upstream.requests().last().unwrap()["messages"][0]["content"] == "A.").then_some(())
        })
        .await;
        assert_eq!(upstream.requests()[0]["messages"][0]["content"], "B.");
    }
}
