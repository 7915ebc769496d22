//! `threadline smoke` against deployments that work, and against each kind of broken one.

use crate::everywhere;
use crate::rest::registration::command as operate;
use crate::support::client::PASSWORD;
use crate::support::process::{command, run};
use crate::support::proxy::{Fault, proxy};
use crate::support::{Client, Script, Setup, Upstream, eventually};
use std::process::{Command, Output, Stdio};

/// What a run of the command said.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Self { code: output.status.code(), text }
    }

    /// The names of the steps with this mark, in order.
    fn steps(&self, mark: &str) -> Vec<&str> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix(mark)?.split_whitespace().next());
        lines.collect()
    }

    /// Checks that the command failed, in these steps, with these words.
    #[track_caller]
    fn fails(&self, steps: &[&str], words: &[&str]) {
        assert_eq!(self.code, Some(1), "{}", self.text);
        assert_eq!(self.steps("FAIL  "), steps, "{}", self.text);
        for word in words {
            assert!(self.text.contains(word), "{word:?} is not in {}", self.text);
        }
        assert!(self.text.contains("is broken: "), "{}", self.text);
    }

    #[track_caller]
    fn works(&self, steps: &[&str]) {
        assert_eq!((self.code, self.steps("ok    ")), (Some(0), steps.to_vec()), "{}", self.text);
        assert!(self.text.contains("The deployment works: "), "{}", self.text);
    }
}

const ALL: [&str; 10] =
    ["reach", "database", "model", "account", "session", "stream", "tool", "cursor", "cancel", "delete"];

async fn smoke(url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let arguments: Vec<String> =
        ["smoke", "--url", url].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, String)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        Said::of(&run(&arguments, &environment))
    })
    .await
    .unwrap()
}

/// Nothing of the smoke test is left in this account.
async fn is_clean(user: &Client) {
    for path in ["/api/v1/chatkit/sessions", "/api/v1/tasks"] {
        assert_eq!(user.get(path).await.data().as_array().map(Vec::len), Some(0), "{path}");
    }
}

everywhere! {
    async fn a_deployment_that_works(setup: Setup) {
        // With pauses, so that there is something to resume and to cancel; and with the limits of a real deployment.
        let setup = setup.with("DEMO_WORD_PAUSE_MS", 5).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 30);
        let app = setup.start().await;
        let url = format!("http://{}/", app.rest);
        let said = smoke(&url, &[], &[]).await;
        said.works(&ALL);
        assert!(said.text.contains("demo model") && said.text.contains("called add_task"), "{}", said.text);
        for table in ["threads", "tasks"] {
            assert_eq!(app.database.count(&format!("SELECT COUNT(*) AS rows FROM {table}")).await, 0, "{table}");
        }

        let user = app.user().await;
        let said = smoke(&url, &[], &[("SMOKE_EMAIL", user.email.as_str()), ("SMOKE_PASSWORD", PASSWORD)]).await;
        said.works(&ALL);
        assert!(!said.text.contains(PASSWORD), "{}", said.text);
        is_clean(&user).await;
        let user = app.user().await;
        let token = user.token.clone().unwrap();
        smoke(&url, &["--token", &token], &[]).await.works(&ALL);
        is_clean(&user).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_with_a_listener_for_operators() {
    let app = Setup::new().await.with("OPS_LISTEN", "127.0.0.1:0").start().await;
    let said = smoke(&format!("http://{}", app.rest), &[], &[]).await;
    said.works(&ALL);
    assert_eq!(said.text.matches("OPS_LISTEN").count(), 2, "{}", said.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_is_wrong_is_told() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    smoke(&format!("http://{nobody}"), &[], &[])
        .await
        .fails(&["reach"], &["cannot be reached", "does the service run?"]);
    smoke("https://no-such-host.invalid", &[], &[]).await.fails(&["reach"], &["cannot be reached", "certificate"]);
    for url in ["chat.example", "ws://127.0.0.1:8000", "http://"] {
        let said = smoke(url, &[], &[]).await;
        assert!(said.code == Some(2) && said.text.contains("--url"), "{url}: {}", said.text);
    }

    let app = Setup::new().await.start().await;
    smoke(&format!("http://{}/chat", app.rest), &[], &[]).await.fails(&["reach"], &["without /chat or /rpc"]);
    smoke(&format!("http://{}", app.rpc), &[], &[]).await.fails(&["database"], &["REST_LISTEN"]);
    let other = proxy(&app.rest, Fault::Serves("<html>Welcome to nginx!</html>")).await;
    smoke(&other, &[], &[]).await.fails(&["reach"], &["not with JSON", "Welcome to nginx!"]);
    let other = proxy(&app.rest, Fault::Serves(r#"{"hello":"world"}"#)).await;
    smoke(&other, &[], &[]).await.fails(&["reach"], &["another service"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_does_not_answer_is_told() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = Setup::new().await.with("OPENROUTER_BASE_URL", format!("http://{nobody}/v1"));
    let app = setup.with("AGENT_MAX_ATTEMPTS", 1).start().await;
    let url = format!("http://{}", app.rest);
    let user = app.user().await;
    let login = [("SMOKE_EMAIL", user.email.as_str()), ("SMOKE_PASSWORD", PASSWORD)];
    let said = smoke(&url, &[], &login).await;
    said.fails(&["model", "stream"], &["OPENROUTER_BASE_URL", "is broken: model, stream"]);
    assert_eq!((said.steps("skip  "), said.steps("ok    ").last()), (vec!["tool"], Some(&"delete")), "{}", said.text);
    is_clean(&user).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_without_tools_is_told_and_can_be_accepted() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|_| Script::says(&["Hello", " there"]));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let url = format!("http://{}", app.rest);
    smoke(&url, &["--skip", "model"], &[]).await.fails(&["tool"], &["--skip tool"]);
    let said = smoke(&url, &["--skip", "model", "--skip", "tool"], &[]).await;
    assert_eq!((said.code, said.steps("skip  ")), (Some(0), vec!["model", "tool"]), "{}", said.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_or_a_core_that_is_away_is_told() {
    let mut app = Setup::new().await.split().start().await;
    app.core().kill();
    smoke(&format!("http://{}", app.rest), &[], &[]).await.fails(&["database"], &["CORE_URL", "DATABASE_URL"]);

    let Some(setup) = Setup::postgres().await else { return };
    let app = setup.with("DATABASE_POOL_TIMEOUT_SECONDS", 1).start().await;
    app.database.take_away().await;
    smoke(&format!("http://{}", app.rest), &[], &[]).await.fails(&["database"], &["DATABASE_URL"]);
    app.database.give_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_refused_is_told() {
    let app = Setup::new().await.start().await;
    let url = format!("http://{}", app.rest);
    let closed = proxy(&app.rest, Fault::Refuses("/api/v1/auth/register")).await;
    smoke(&closed, &[], &[]).await.fails(&["account"], &["Registration is closed", "SMOKE_EMAIL", "SMOKE_TOKEN"]);
    let user = app.user().await;
    smoke(&closed, &[], &[("SMOKE_EMAIL", user.email.as_str()), ("SMOKE_PASSWORD", PASSWORD)]).await.works(&ALL);
    let really = Setup::new().await.with("REGISTRATION", "closed").start().await;
    let said = smoke(&format!("http://{}", really.rest), &[], &[]).await;
    said.fails(&["account"], &["REGISTRATION_CLOSED", "SMOKE_EMAIL"]);
    smoke(&url, &["--email", &user.email], &[]).await.fails(&["account"], &["SMOKE_PASSWORD"]);
    let wrong = [("SMOKE_EMAIL", user.email.as_str()), ("SMOKE_PASSWORD", "not the password")];
    smoke(&url, &[], &wrong).await.fails(&["account"], &["INVALID_CREDENTIALS"]);
    smoke(&url, &[], &[("SMOKE_TOKEN", "not.a.token")])
        .await
        .fails(&["account"], &["the token is refused", "SECRET_KEY"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_holds_streams_back_is_told() {
    let app = Setup::new().await.with("DEMO_WORD_PAUSE_MS", 30).start().await;
    let url = proxy(&app.rest, Fault::Buffers).await;
    smoke(&url, &[], &[]).await.fails(&["stream"], &["all at once", "proxy_buffering off"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_deleted_stops_no_other_deletion() {
    let app = Setup::new().await.start().await;
    let rows = async |table: &str| app.database.count(&format!("SELECT COUNT(*) AS rows FROM {table}")).await;
    // Each deletion of its own is blocked; that of the account goes through, and takes the rest with it.
    let blocked = proxy(&app.rest, Fault::RefusesMethod("DELETE")).await;
    smoke(&blocked, &[], &[]).await.fails(&["delete"], &["the task could not be deleted", "is broken: delete"]);
    eventually("the account is erased", || async {
        (rows("users").await + rows("threads").await + rows("tasks").await == 0).then_some(())
    })
    .await;

    // A key that may not list tasks: the session is deleted all the same.
    let user = app.user().await;
    let id = user.user_id.unwrap().to_string();
    let methods = "threads.*,runs.*,items.*,auth.me";
    let key = operate(&app, &["key", "create", "smoke", "--methods", methods, "--users", &id]).await;
    let key = key.lines().next().unwrap();
    let url = format!("http://{}", app.rest);
    let said = smoke(&url, &["--token", key, "--user", &id], &[]).await;
    said.fails(&["delete"], &["the task could not be deleted", "FORBIDDEN"]);
    assert_eq!((rows("threads").await, rows("tasks").await), (0, 1), "{}", said.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_test_cleans_up() {
    let app = Setup::new().await.with("DEMO_WORD_PAUSE_MS", 1000).start().await;
    let user = app.user().await;
    let url = format!("http://{}", app.rest);
    let mut child = command(&["smoke", "--url", &url])
        .env("SMOKE_TOKEN", user.token.clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("a run is active", || async {
        let active = "SELECT COUNT(*) AS rows FROM runs";
        (app.database.count(active).await > 0).then_some(())
    })
    .await;
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let status = tokio::task::spawn_blocking(move || {
        let status = child.wait().unwrap();
        let output = child.wait_with_output().unwrap();
        (status.code(), Said::of(&output).text)
    })
    .await
    .unwrap();
    assert_eq!(status.0, Some(1), "{}", status.1);
    assert!(status.1.contains("interrupted"), "{}", status.1);
    is_clean(&user).await;
}
