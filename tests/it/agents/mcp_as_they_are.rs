//! MCP servers with the faults of real ones: lists without an end, malformed tools, results of unknown forms, noise.

use super::file::AgentsFile;
use super::mcp::{Directory, call, offered, until_offered};
use super::python::{Listening, fixture, python};
use crate::serve_and_split;
use crate::support::process::run;
use crate::support::{App, Client, Script, Setup, Upstream, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

/// A service whose agent has the tools of one server, and a user of it.
struct Stand {
    app: App,
    user: Client,
    session: Uuid,
    upstream: Upstream,
    _file: AgentsFile,
}

impl Stand {
    async fn new(setup: Setup, servers: &str) -> Self {
        let names = servers.lines().filter_map(|line| line.strip_prefix("[mcp.")?.strip_suffix(']'));
        let tools: Vec<_> = names.map(|name| format!("mcp:{name}")).collect();
        let file = AgentsFile::new(&format!("[agents.a]\ntools = {tools:?}\n{servers}"));
        let upstream = Upstream::start().await;
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        Self { app, user, session, upstream, _file: file }
    }

    async fn until_offered(&self, tool: &str) -> Vec<String> {
        until_offered(&self.user, self.session, &self.upstream, tool).await;
        offered(self.upstream.requests().last().unwrap())
    }

    async fn call(&self, tool: &str) -> Value {
        self.call_with(tool, json!({})).await
    }

    async fn call_with(&self, tool: &str, arguments: Value) -> Value {
        call(&self.user, self.session, &self.upstream, tool, arguments).await
    }

    /// The text of the warnings about MCP servers.
    fn warnings(&self) -> Vec<String> {
        let log = self.app.log().into_iter().filter(|line| line["level"] == "WARN");
        log.map(|line| line.to_string()).filter(|line| line.contains("MCP")).collect()
    }
}

fn stdio(name: &str, python: &str, fault: &str, more: &str) -> String {
    let script = fixture("real_mcp.py").display().to_string();
    format!("[mcp.{name}]\ncommand = {python:?}\nargs = [{script:?}, {fault:?}]\n{more}\n")
}

fn http(python: &str, fault: &str) -> (Listening, String) {
    let server = Listening::start(python, &fixture("real_mcp.py"), &["--http", fault], &[]);
    let text = format!("[mcp.web]\nurl = {:?}\n", server.url);
    (server, text)
}

fn says<'a>(told: &'a Value, words: &str) -> &'a str {
    let error = told["error"].as_str().unwrap_or_default();
    assert!(error.contains(words) && told["status"] != "unknown", "{told}");
    error
}

serve_and_split! {
    async fn a_list_of_tools_without_an_end_has_an_end(setup: Setup) {
        let Some(python) = python() else { return };
        let servers = stdio("same", &python, "empty_cursor", "") + &stdio("more", &python, "endless", "");
        let stand = Stand::new(setup, &servers).await;
        stand.until_offered("same_a").await;
        let offered = stand.until_offered("more_t1").await;
        assert_eq!(offered.iter().filter(|name| name.starts_with("same_")).count(), 1);
        let more = offered.iter().filter(|name| name.starts_with("more_")).count();
        assert!((50..=256).contains(&more), "{more}");
        assert_eq!(stand.call("same_a").await, json!("a done"));
        let warnings = stand.warnings();
        assert_eq!(warnings.iter().filter(|line| line.contains("repeat themselves")).count(), 1, "{warnings:?}");
        assert_eq!(warnings.iter().filter(|line| line.contains("pages of tools")).count(), 2, "{warnings:?}");
    }

    async fn a_malformed_tool_hides_no_other(setup: Setup) {
        let Some(python) = python() else { return };
        let stand = Stand::new(setup, &stdio("s", &python, "malformed", "")).await;
        let offered = stand.until_offered("s_good").await;
        assert_eq!(offered, ["s_good", "s_bare", "s_null", "s_type_only", "s_broken"]);
        for tool in stand.upstream.requests().last().unwrap()["tools"].as_array().unwrap() {
            let schema = &tool["function"]["parameters"];
            assert!(schema["type"] == "object" && schema["properties"].is_object(), "{tool}");
        }
        for tool in ["good", "bare", "null", "type_only"] {
            assert_eq!(stand.call(&format!("s_{tool}")).await, json!(format!("{tool} done")));
        }
        // Of a schema with an invalid part, the rest is checked.
        assert_eq!(stand.call_with("s_broken", json!({"a": [], "b": 1})).await, json!("broken done"));
        says(&stand.call_with("s_broken", json!({"b": "1"})).await, "`b` is \"1\" (text), but it must be a whole number");
        let health = stand.app.anonymous().get("/health/all").await;
        let server = &health.body["components"]["mcp"];
        let (log, told) = (stand.warnings().join("\n").replace("\\\"", "\""), server["detail"].as_str().unwrap());
        assert_eq!(server["status"], "healthy", "{health:?}");
        for name in ["list", "text", "good", ""] {
            let left_out = format!("tool \"{name}\" is left out");
            assert!(log.contains(&left_out) && told.contains(&left_out), "{left_out}: {told}\n{log}");
        }
    }

    async fn tools_that_are_no_list_are_none_or_have_names(setup: Setup) {
        let Some(python) = python() else { return };
        // First none, and then one: a server without tools is not away.
        let stand = Stand::new(setup, &stdio("s", &python, "no_list", "")).await;
        assert_eq!(stand.until_offered("s_a").await, ["s_a"]);
        assert_eq!(stand.call("s_a").await, json!("a done"));
        let warnings = stand.warnings();
        assert!(!warnings.iter().any(|line| line.contains("will be restarted")), "{warnings:?}");
    }

    async fn two_tools_of_one_name_are_said(setup: Setup) {
        let Some(python) = python() else { return };
        // Tool `odd_part` of the server `s`, and tool `part` of the server `s_odd`.
        let servers = stdio("s", &python, "", "") + &stdio("s_odd", &python, "part", "");
        let stand = Stand::new(setup, &servers).await;
        stand.until_offered("s_words").await;
        stand.until_offered("s_odd_part").await;
        let said = || async {
            let health = stand.app.anonymous().get("/health/all").await;
            let detail = health.body["components"]["mcp"]["detail"].as_str().unwrap_or_default().to_owned();
            detail.contains("tool s_odd_part has the name of a tool of the MCP server s;").then_some(())
        };
        eventually("it is said", said).await;
        // The tools of an agent are put together for a message: one after both servers were ready.
        stand.until_offered("s_odd_part").await;
        let is_logged = || async {
            let log = stand.app.log();
            let words = "two tools of an agent have this name";
            log.iter().any(|line| line["level"] == "WARN" && line.to_string().contains(words)).then_some(())
        };
        eventually("it is logged", is_logged).await;
    }

    async fn a_server_that_is_away_is_said(setup: Setup) {
        let stand = Stand::new(setup, "[mcp.gone]\ncommand = \"/no/such/program\"\n").await;
        let said = || async {
            let health = stand.app.anonymous().get("/health/all").await;
            let server = &health.body["components"]["mcp"];
            let detail = server["detail"].as_str().unwrap_or_default();
            (server["status"] == "degraded" && detail == "The MCP server gone is not connected.").then_some(())
        };
        eventually("it is said", said).await;
    }

    async fn every_result_is_read_by_the_model(setup: Setup) {
        let Some(python) = python() else { return };
        let stand = Stand::new(setup, &stdio("s", &python, "", "timeout_seconds = 10")).await;
        stand.until_offered("s_none").await;
        for (tool, result) in [
            ("none", json!({"ok": true})),
            ("words", json!("all done")),
            ("other", json!({"status": "done", "rows": 3})),
            ("unknown_part", json!("done: 3 rows\n{\"points\":[1,2],\"type\":\"chart\"}")),
            ("odd_part", json!("{\"type\":\"image\"}\n{\"text\":null,\"type\":\"text\"}\nbare")),
            ("odd_content", json!("{\"rows\":3}")),
            ("empty_structure", json!("done: 3 rows")),
        ] {
            assert_eq!(stand.call(&format!("s_{tool}")).await, result, "{tool}");
        }
        says(&stand.call("s_asks").await, "asked the user");
        says(&stand.call("s_long").await, "bytes");
        says(&stand.call("s_nothing").await, "There is no tool");
        // The model sees images, also those that a result only names, and no copies of them.
        for (tool, words) in [("s_both", "done: 3 rows"), ("s_link", "[Chart](chart://1)")] {
            let told = stand.call(tool).await.to_string();
            assert!(told.contains(words) && told.len() < 1_000, "{told}");
            let request = stand.upstream.requests().pop().unwrap();
            let last = request["messages"].as_array().unwrap().last().unwrap();
            let images = last["content"].as_array().unwrap().iter().filter(|part| part["type"] == "image_url").count();
            assert_eq!((&last["role"], images), (&json!("user"), 1), "{last}");
        }
    }

    async fn a_result_that_is_not_quite_json_is_a_result(setup: Setup) {
        let Some(python) = python() else { return };
        let (_server, text) = http(&python, "nearly");
        let stand = Stand::new(setup, &(stdio("s", &python, "nearly", "timeout_seconds = 10") + &text)).await;
        for server in ["s", "web"] {
            stand.until_offered(&format!("{server}_nan")).await;
            for (tool, result) in [
                ("nan", json!({"rows": null})),
                ("half_pair", json!("half \u{fffd} pair")),
                ("tab", json!("a\tb")),
                ("latin", json!("caf\u{fffd}")),
                ("comma", json!("done")),
                ("quotes", json!("{'rows': 3}")),
                ("lines", json!("3 rows")),
            ] {
                assert_eq!(stand.call(&format!("{server}_{tool}")).await, result, "{server}_{tool}");
            }
        }
    }

    async fn arguments_that_say_nothing_are_no_arguments(setup: Setup) {
        let Some(python) = python() else { return };
        let stand = Stand::new(setup, &stdio("s", &python, "malformed", "")).await;
        stand.until_offered("s_bare").await;
        for arguments in ["", "null", "\"{}\"", "\"\"", " {} "] {
            let call = json!([{"index": 0, "id": "c", "type": "function", "function": {"name": "s_bare", "arguments": arguments}}]);
            stand.upstream.queue(Script::stream().event(json!({"tool_calls": call}), Some("tool_calls")).done("tool_calls"));
            stand.user.say(stand.session, "Go").await.terminal();
            let request = stand.upstream.requests().pop().unwrap();
            let told = request["messages"].as_array().unwrap().iter().rfind(|message| message["role"] == "tool");
            assert_eq!(told.unwrap()["content"], "\"bare done\"", "{arguments}");
        }
    }

    async fn changed_tools_are_listed_again_and_not_for_each_notice(setup: Setup) {
        let Some(python) = python() else { return };
        let stand = Stand::new(setup, &stdio("s", &python, "", "")).await;
        stand.until_offered("s_change").await;
        stand.call("s_change").await;
        stand.until_offered("s_changed").await;
        let lists: u32 = stand.call("s_lists").await.as_str().unwrap().parse().unwrap();
        assert!(lists <= 4, "{lists} lists for 50 notices");
    }

    async fn noise_and_other_dialects_do_not_matter(setup: Setup) {
        let Some(python) = python() else { return };
        let stand = Stand::new(setup, &stdio("s", &python, "noisy", "")).await;
        stand.until_offered("s_words").await;
        for _ in 0..10 {
            assert_eq!(stand.call("s_words").await, json!("all done"));
        }
        says(&stand.call("s_long").await, "bytes");
        let noise = stand.warnings().iter().filter(|line| line.contains("are not messages")).count();
        assert_eq!(noise, 1, "it is said once");
    }

    async fn a_server_that_dies_comes_back_with_other_tools(setup: Setup) {
        let Some(python) = python() else { return };
        let directory = Directory::new();
        let starts = directory.0.join("starts").display().to_string();
        let servers = stdio("s", &python, "restarts", &format!("env = {{ STARTS = {starts:?} }}"))
            + &stdio("mute", &python, "silent", "");
        let stand = Stand::new(setup, &servers).await;
        stand.until_offered("s_start_1").await;
        assert_eq!(stand.call("s_die").await["status"], "unknown", "it may have acted before");
        let offered = stand.until_offered("s_start_2").await;
        assert!(!offered.contains(&"s_start_1".to_owned()), "{offered:?}");
        assert_eq!(stand.call("s_start_2").await, json!("start_2 done"));
    }

    async fn a_server_that_hangs_is_started_again(setup: Setup) {
        let Some(python) = python() else { return };
        let directory = Directory::new();
        let starts = directory.0.join("starts").display().to_string();
        let more = format!("timeout_seconds = 1\nenv = {{ STARTS = {starts:?} }}");
        let stand = Stand::new(setup, &stdio("s", &python, "restarts", &more)).await;
        stand.until_offered("s_start_1").await;
        // Only the call hangs.
        assert_eq!(stand.call("s_hang").await["status"], "unknown");
        assert_eq!(stand.call("s_start_1").await, json!("start_1 done"));
        // The server hangs.
        assert_eq!(stand.call("s_freeze").await["status"], "unknown");
        let offered = stand.until_offered("s_start_2").await;
        assert!(!offered.contains(&"s_start_1".to_owned()), "{offered:?}");
        assert_eq!(stand.call("s_start_2").await, json!("start_2 done"));
    }

    async fn an_answer_that_comes_too_late_is_not_taken_for_another(setup: Setup) {
        let Some(python) = python() else { return };
        let stand = Stand::new(setup, &stdio("s", &python, "", "timeout_seconds = 1")).await;
        stand.until_offered("s_late").await;
        assert_eq!(stand.call("s_late").await["status"], "unknown");
        for _ in 0..20 {
            assert_eq!(stand.call("s_words").await, json!("all done"));
        }
    }

    async fn a_session_that_expired_is_renewed_with_its_tools(setup: Setup) {
        let Some(python) = python() else { return };
        let (server, text) = http(&python, "expires");
        let stand = Stand::new(setup, &text).await;
        stand.until_offered("web_words").await;
        let forget = server.url.replace("/mcp", "/forget");
        for _ in 0..7 {
            reqwest::get(&forget).await.unwrap();
            assert_eq!(stand.call("web_words").await, json!("all done"));
        }
        // It was listed again: at the start, and for new sessions. Changes that follow at once are one.
        let lists = || async {
            let lists: u32 = stand.call("web_lists").await.as_str().unwrap().parse().unwrap();
            (lists >= 3).then_some(())
        };
        eventually("the tools are listed again", lists).await;
    }

    async fn a_server_without_initialize_is_served(setup: Setup) {
        let Some(python) = python() else { return };
        let (_server, text) = http(&python, "stateless");
        let stand = Stand::new(setup, &(stdio("s", &python, "stateless", "") + &text)).await;
        for server in ["s", "web"] {
            stand.until_offered(&format!("{server}_words")).await;
            assert_eq!(stand.call(&format!("{server}_words")).await, json!("all done"));
        }
    }

    async fn http_servers_may_answer_in_any_way(setup: Setup) {
        let Some(python) = python() else { return };
        let (_server, text) = http(&python, "statuses");
        let stand = Stand::new(setup, &text).await;
        stand.until_offered("web_none").await;
        for (tool, result) in [
            ("none", json!({"ok": true})),
            ("words", json!("all done")),
            ("other", json!({"status": "done", "rows": 3})),
        ] {
            assert_eq!(stand.call(&format!("web_{tool}")).await, result, "{tool}");
        }
        for (tool, words) in [("hang", "HTTP status 403"), ("late", "HTTP status 429 slow down"), ("long", "HTTP status 307"), ("both", "bad rows")] {
            let told = stand.call(&format!("web_{tool}")).await;
            assert!(!says(&told, words).contains('<'), "{told}");
        }
        for tool in ["change", "lists", "empty_structure"] {
            assert_eq!(stand.call(&format!("web_{tool}")).await["status"], "unknown", "{tool}");
        }
        assert_eq!(stand.call("web_words").await, json!("all done"), "it goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_starts_the_servers_and_says_what_is_left_out() {
    let Some(python) = python() else { return };
    let file = AgentsFile::new(&format!(
        "[agents.a]\ntools = [\"mcp:s\"]\n{}[mcp.gone]\ncommand = \"/no/such/program\"\n",
        stdio("s", &python, "malformed", "")
    ));
    let directory = Directory::new();
    let database = format!("sqlite://{}", directory.0.join("threadline.db").display());
    let settings = [("AGENTS_FILE", file.name()), ("DATABASE_URL", database)];
    let output = tokio::task::spawn_blocking(move || run(&["doctor"], &settings)).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = format!("{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("ok    mcp       s, 5 tools; tool \"list\" is left out"), "{told}");
    assert!(told.contains("; pin sha256:"), "{told}");
    assert!(told.contains("FAIL  mcp       gone: \"/no/such/program\" cannot be started"), "{told}");
}
