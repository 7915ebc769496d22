//! The examples in the documents, pasted into a shell as they are. Only addresses are replaced by those of the test.

use super::root;
use crate::agents::file::AgentsFile;
use crate::rest::registration::command;
use crate::support::process::run;
use crate::support::{App, Client, PATIENCE, Setup};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use threadline_test_requirements::Requirement;
use uuid::Uuid;

/// Before the examples: a failure ends the script, an error response is one, and jobs can be ended as in a terminal.
const SHELL: &str = "set -meuo pipefail
curl() { command curl --fail-with-body --max-time 30 \"$@\"; }
";

/// Returns the blocks of shell code of a document, in their order.
fn blocks(path: &str) -> Vec<String> {
    blocks_in("sh", path)
}

/// Returns the blocks of a document in a language, in their order.
fn blocks_in(language: &str, path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    let opening = format!("```{language}\n");
    let rest = text.split(opening.as_str()).skip(1);
    rest.filter_map(|rest| rest.split_once("```").map(|(code, _)| code.to_owned())).collect()
}

/// Returns the blocks that talk to a server on this machine.
fn requests(path: &str) -> String {
    let is_request = |code: &&String| {
        (code.contains("curl ") && !code.contains("https://")) || code.contains("smoke --url http://127.0.0.1")
    };
    blocks(path).iter().filter(is_request).cloned().collect::<Vec<_>>().join("\n")
}

/// Runs a script with the program of the test on `PATH`, in a directory of its own. Returns what it prints.
fn paste(script: &str, settings: &[(&str, String)]) -> String {
    let directory = std::env::temp_dir().join(format!("threadline-examples-{}", Uuid::new_v4().simple()));
    std::fs::create_dir_all(&directory).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_threadline")).parent().unwrap().to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(program).chain(std::env::split_paths(&path))).unwrap();
    let limit = (PATIENCE * 3).as_secs().to_string();
    let output = Command::new("timeout")
        .args([limit.as_str(), "bash", "-c", &format!("{SHELL}{script}")])
        .env("PATH", path)
        .envs(settings.iter().cloned())
        .current_dir(&directory)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {wrong}\n{said}", output.status);
    said.into_owned()
}

async fn paste_for(app: &App, script: String) -> String {
    let script = script.replace("127.0.0.1:8000", &app.rest).replace("127.0.0.1:8001", &app.rpc);
    let said = tokio::task::spawn_blocking(move || paste(&script, &[])).await.unwrap();
    // JSON-RPC has its errors in responses that are good for HTTP.
    assert!(!said.contains("\"success\":false") && !said.contains("\"error\":{"), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_the_readme_and_of_the_guide_for_services_work() {
    let app = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0).start().await;
    let script = requests("README.md") + &requests("docs/guides/internal-service.md");
    assert!(script.matches("curl ").count() > 15, "{script}");
    let said = paste_for(&app, script).await;
    assert!(said.matches("data: [DONE]").count() >= 4, "{said}");
    for words in ["Buy milk", "Call Ada", "list.txt", "\"jsonrpc\":\"2.0\"", "thread.created"] {
        assert!(said.contains(words), "nothing says {words:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_works() {
    let app = Setup::new().await.start().await;
    let said = paste_for(&app, requests("docs/guides/quick-start.md")).await;
    assert!(said.contains("data: [DONE]"), "{said}");
    assert!(app.anonymous().get("/chat").await.status == 200, "the page that it names");
}

/// The service keys of docs/ACCOUNTS.md make client tokens: with the request there, and with the back end of
/// docs/CHATKIT.md.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_keys_make_client_tokens() {
    let app = Setup::new().await.agents("[agents.support]\ntools = [\"built-in\"]\n").start().await;
    let of_accounts = blocks("docs/ACCOUNTS.md");
    let block = |words: &str| of_accounts.iter().find(|code| code.contains(words)).unwrap().clone();
    let request = block("/auth/client-tokens");
    let scripts = blocks_in("js", "docs/CHATKIT.md");
    let back_end = scripts.iter().find(|code| code.starts_with("// Back end")).unwrap();
    let back_end = back_end.split("// Page").next().unwrap();
    for name in ["shop", "page"] {
        let block = block(&format!("key create {name} "));
        // The command, without those after it in the same block.
        let lines = block.split_inclusive('\n');
        let last = lines.clone().position(|line| !line.trim_end().ends_with('\\')).unwrap();
        let create: String = lines.take(last + 1).collect();
        let mut script = format!(
            "export THREADLINE_KEY=$({} | sed -n 1p)\nKEY=$THREADLINE_KEY BASE=http://{}/api/v1\n{request}\necho\n",
            create.trim_end(),
            app.rest
        );
        if Requirement::Node.find().is_some() {
            script += &format!(
                "node --input-type=module - <<'END'\nconst THREADLINE = \"http://{}\", user = {{ id: 42 }};\n\
                 {back_end}\nconsole.log(response.status, JSON.stringify(data));\nEND\n",
                app.rest
            );
        }
        let database = [("DATABASE_URL", app.database.url())];
        let said = tokio::task::spawn_blocking(move || paste(&script, &database)).await.unwrap();
        assert!(said.contains("\"success\":true") && said.contains("\"threads.*\""), "{name}: {said}");
        let of_node = said.lines().find_map(|line| line.strip_prefix("201 "));
        assert!(Requirement::Node.find().is_none() || of_node.is_some_and(|data| data.contains("\"token\"")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_of_chatkit_is_the_documented_one() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let session = user.session().await.to_string();
    command(&app, &["thread", "--id", &session, "--status", "closed"]).await;
    let params = json!({"thread_id": session, "input": Client::chatkit_input("Hello")});
    let refused = user.chatkit("threads.add_user_message", params).await;
    let documented =
        blocks_in("json", "docs/CHATKIT.md").into_iter().find(|code| code.contains("\"CONFLICT\"")).unwrap();
    assert_eq!(refused.body, serde_json::from_str::<serde_json::Value>(&documented).unwrap());
}

/// A block that has no agent is a part of a file; the program wants one.
#[test]
fn the_agents_files_of_the_documents_are_valid() {
    let mut count = 0;
    for document in ["docs/AGENTS.md", "docs/MODELS.md"] {
        for block in blocks_in("toml", document) {
            let agent = if block.contains("[agents.") { "" } else { "\n[agents.example]\n" };
            let file = AgentsFile::new(&format!("{block}{agent}"));
            let settings =
                [("AGENTS_FILE", file.name()), ("ORDERS_CONTEXT_KEY", "orders-context-key-0123456789-01".into())];
            let examined = run(&["doctor"], &settings);
            let said = String::from_utf8_lossy(&examined.stdout).into_owned();
            // The MCP servers of the examples are not there, which is a line of its own.
            let is_valid = said.lines().any(|line| line.starts_with("ok    agents "));
            assert!(is_valid, "{document}: {block}\n{said}{}", String::from_utf8_lossy(&examined.stderr));
            count += 1;
        }
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn the_commands_for_accounts_work() {
    let commands: Vec<String> = blocks("docs/ACCOUNTS.md")
        .into_iter()
        .filter(|code| code.starts_with("threadline "))
        // What needs an id that a command before it has printed, or a class of an agents file.
        .flat_map(|code| code.lines().map(ToOwned::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.contains(" ID") && !line.contains("set-class"))
        .collect();
    assert!(commands.len() > 15, "{commands:?}");
    let database = [("DATABASE_URL", "sqlite://threadline.db".to_owned())];
    let said = paste(&commands.join("\n"), &database);
    assert!(said.contains("ada@example.com") && said.contains("tl_"), "{said}");
}
