//! The command line: what each command prints, and with which exit code it ends.

use crate::everywhere;
use crate::support::process::{SECRET, command, run};
use crate::support::{Client, Setup, Upstream, eventually};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Output;
use threadline_test_requirements::Requirement;
use uuid::Uuid;

/// A directory for the files of one test, removed with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("threadline-test-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn database(&self) -> (&'static str, String) {
        ("DATABASE_URL", format!("sqlite://{}", self.0.join("threadline.db").display()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Returns why a command has failed: the lines of stderr that are not log lines. A server logs it.
fn complaint(output: &Output) -> String {
    let reason = |line: &str| {
        let logged: Option<serde_json::Value> = serde_json::from_str(line).ok();
        match logged.filter(|logged| logged["target"] == "threadline" && logged["level"] == "ERROR") {
            Some(logged) => logged["error"].as_str().map(str::to_owned),
            None => line.starts_with("threadline: ").then(|| line.to_owned()),
        }
    };
    String::from_utf8_lossy(&output.stderr).lines().filter_map(reason).collect::<Vec<_>>().join("\n")
}

fn good(arguments: &[&str], settings: &[(&str, String)]) -> String {
    let output = run(arguments, settings);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    stdout(&output)
}

#[test]
fn commands_that_print_need_nothing() {
    assert_eq!(good(&["--version"], &[]), format!("threadline {}\n", env!("CARGO_PKG_VERSION")));
    let help = good(&["--help"], &[]);
    for name in [
        "serve",
        "core",
        "gateway",
        "migrate",
        "token",
        "thread",
        "routes",
        "openapi",
        "openrpc",
        "doctor",
        "env-example",
        "healthcheck",
        "smoke",
        "bench",
    ] {
        assert!(help.contains(&format!("  {name} ")), "{name} is missing in {help}");
    }
    assert!(good(&["routes"], &[]).contains("threads.add_user_message (SSE)"));
    assert_eq!(good(&["env-example"], &[]), threadline::config::env_example());
    assert_eq!(good(&["env-example", "--markdown"], &[]), threadline::config::config_markdown());
    for (argument, member) in [("openapi", "openapi"), ("openrpc", "openrpc")] {
        let document: serde_json::Value = serde_json::from_str(&good(&[argument], &[])).unwrap();
        assert!(document[member].is_string());
    }
    // A pipe that is closed early is not an error.
    let mut child = command(&["openapi"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_invalid_command_line_exits_with_the_usage_code() {
    for arguments in
        [&["fly"][..], &["--rest-listn", "x"], &["token"], &["gateway"], &["gateway", "--database-url", "sqlite://x"]]
    {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_error_of_an_invalid_setting_is_one_line_with_its_name() {
    let directory = Directory::new();
    let file = directory.0.join("file");
    std::fs::write(&file, "no certificate").unwrap();
    let file = file.display().to_string();
    for (name, value) in [
        ("DATABASE_URL", "mysql://root:hunter2@db/x"),
        ("DATABASE_POOL_SIZE", "0"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "-1"),
        ("MAX_SESSIONS_PER_USER", "ten"),
        ("REST_LISTEN", "8000"),
        ("CORS_ORIGINS", "app.example"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("ALGORITHM", "none"),
        ("LOG_LEVEL", "loud,=="),
        ("LOG_FORMAT", "xml"),
        ("OPENROUTER_BASE_URL", "not a url"),
        ("AGENT_TIMEOUT_SECONDS", "soon"),
        ("AGENT_INSTRUCTIONS_FILE", "/no/such/file"),
        ("AGENTS_FILE", "/no/such/agents.toml"),
        ("AGENTS_FILE", &file),
        ("TLS_CERT_FILE", &file),
        ("DRAIN_SECONDS", "1.5"),
    ] {
        let output = run(
            &["serve"],
            &[(name, value.to_owned()), ("REST_LISTEN", "127.0.0.1:0".into()), ("RPC_LISTEN", "127.0.0.1:0".into())]
                .into_iter()
                .rev()
                .collect::<Vec<_>>(),
        );
        let said = complaint(&output);
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{name}={value}: {said}");
        assert!(said.contains(name), "{name}={value}: {said}");
        assert!(!said.contains("hunter2"), "a secret is repeated: {said}");
    }
    // PostgreSQL needs a persistent key. The error names the variable, also for a flag.
    let output = run(&["serve"], &[("DATABASE_URL", "postgres://u@127.0.0.1:9/x".into())]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("SECRET_KEY"), "{}", complaint(&output));
    let output = run(&["serve", "--database-pool-size", "many"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("DATABASE_POOL_SIZE"), "{}", complaint(&output));
}

#[test]
fn a_failed_start_prints_the_reason() {
    let directory = Directory::new();
    let ports = [("REST_LISTEN", "127.0.0.1:0".to_owned()), ("RPC_LISTEN", "127.0.0.1:0".to_owned())];
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (name, other) in [("REST_LISTEN", "RPC_LISTEN"), ("RPC_LISTEN", "REST_LISTEN")] {
        let output = run(&["serve"], &[directory.database(), (name, taken.clone()), (other, "127.0.0.1:0".into())]);
        let said = complaint(&output);
        assert!(!output.status.success() && said.contains(name) && said.contains(&taken), "{said}");
    }

    let nowhere = ("DATABASE_URL", "sqlite:///no/such/directory/threadline.db".to_owned());
    let output = run(&["serve"], &[ports.to_vec(), vec![nowhere]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
    assert!(complaint(&output).contains("/no/such/directory"), "{}", complaint(&output));

    let garbage = directory.0.join("garbage.db");
    std::fs::write(
        &garbage,
        "this is not a database, and was never meant to be one; it only is long enough to be read",
    )
    .unwrap();
    let output =
        run(&["serve"], &[ports.to_vec(), vec![("DATABASE_URL", format!("sqlite://{}", garbage.display()))]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));

    let away = ("DATABASE_URL", "postgres://ada:hunter2@127.0.0.1:9/threads".to_owned());
    let settings = [ports.to_vec(), vec![away, ("SECRET_KEY", SECRET.to_owned())]].concat();
    for arguments in [&["serve"][..], &["migrate"], &["token", "--user", "a@example.com"]] {
        let output = run(
            arguments,
            &settings
                .iter()
                .filter(|(name, _)| arguments == ["serve"] || !name.ends_with("LISTEN"))
                .cloned()
                .collect::<Vec<_>>(),
        );
        let said = complaint(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.to_lowercase().contains("connect"), "{arguments:?}: {said}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"), "{arguments:?}: {said}");
    }
}

everywhere! {
    async fn a_token_of_the_command_works(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let database = app.database.url();
        let settings = vec![("DATABASE_URL", database), ("SECRET_KEY", SECRET.to_owned())];
        let by_email = user.email.to_uppercase();
        let by_id = user.user_id.unwrap().to_string();
        for who in [by_email, by_id] {
            let settings = settings.clone();
            let token = tokio::task::spawn_blocking(move || {
                good(&["token", "--user", &who, "--expires-minutes", "5"], &settings)
            })
            .await
            .unwrap();
            let token = token.strip_suffix('\n').expect("a token and a line end").to_owned();
            assert_eq!(
                app.anonymous().with_token(token).get("/api/v1/auth/me").await.data()["id"],
                json!(user.user_id)
            );
        }
        let output = tokio::task::spawn_blocking(move || run(&["token", "--user", "nobody@example.com"], &settings))
            .await
            .unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        assert!(complaint(&output).contains("nobody@example.com"), "{}", complaint(&output));
    }

    async fn migrations_go_up_and_down(setup: Setup) {
        // Commands work the same whether the server has one process or two.
        let database = setup.database.clone();
        tokio::task::spawn_blocking(move || {
            let settings = [("DATABASE_URL", database.url()), ("SECRET_KEY", SECRET.to_owned())];
            assert!(good(&["migrate", "--status"], &settings).starts_with("Pending:"));
            let server = [
                &settings[..],
                &[
                    ("AUTO_MIGRATE", "false".into()),
                    ("REST_LISTEN", "127.0.0.1:0".into()),
                    ("RPC_LISTEN", "127.0.0.1:0".into()),
                ],
            ]
            .concat();
            let output = run(&["serve"], &server);
            assert!(
                output.status.code() == Some(1) && complaint(&output).contains("threadline migrate"),
                "{}",
                complaint(&output)
            );

            let applied = good(&["migrate"], &settings);
            assert!(applied.starts_with("Applied:") && applied.lines().count() > 5, "{applied}");
            assert_eq!(good(&["migrate"], &settings), "The database is up to date.\n");
            assert_eq!(good(&["migrate", "--status"], &settings), "The database is up to date.\n");
            let last = applied.lines().last().unwrap().trim();
            assert_eq!(good(&["migrate", "--revert-last"], &settings), format!("Reverted: {last}\n"));
            assert_eq!(good(&["migrate", "--status"], &settings), format!("Pending:\n  {last}\n"));
            assert_eq!(good(&["migrate"], &settings), format!("Applied:\n  {last}\n"));
        })
        .await
        .unwrap();
    }
}

everywhere! {
    async fn a_locked_thread_refuses_messages_with_the_reason(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let settings = vec![("DATABASE_URL", app.database.url())];
        let set = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            let settings = settings.clone();
            tokio::task::spawn_blocking(move || {
                let id = session.to_string();
                let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
                let output = run(&[&["thread", "--id", &id], &arguments[..]].concat(), &settings);
                (output.status.code(), stdout(&output), complaint(&output))
            })
        };
        let (code, told, _) = set(&["--status", "locked", "--reason", "Ada looks into it."]).await.unwrap();
        assert_eq!((code, told.as_str()), (Some(0), "\"New Chat\" is locked.\n"));
        let why = "This thread is locked: Ada looks into it. It takes no messages at the moment.";
        let refused = user.say_in_vain(session, "Hello").await;
        assert_eq!(refused.fails(409, "CONFLICT"), why);
        let say = json!({"thread_id": session, "input": Client::chatkit_input("Hello")});
        assert_eq!(user.chatkit("threads.add_user_message", say).await.body["message"], why);
        let thread = user.chatkit("threads.get_by_id", json!({"thread_id": session})).await;
        assert_eq!(thread.body["status"], json!({"type": "locked", "reason": "Ada looks into it."}));

        assert_eq!(set(&["--status", "closed"]).await.unwrap().0, Some(0));
        let refused = user.say_in_vain(session, "Hello").await;
        assert_eq!(refused.fails(409, "CONFLICT"), "This thread is closed. It takes no messages any more.");
        assert_eq!(set(&["--status", "active"]).await.unwrap().0, Some(0));
        user.say(session, "Hello").await.terminal();

        let (code, _, why) = set(&["--status", "active", "--reason", "x"]).await.unwrap();
        assert!(code == Some(1) && why.contains("--reason"), "{why}");
        let (code, _, why) = set(&["--status", "locked", "--reason", &"x".repeat(501)]).await.unwrap();
        assert!(code == Some(1) && why.contains("at most 500"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_checks_all_parts() {
    let upstream = Upstream::start().await;
    let directory = Directory::new();
    let model = |base_url: String| {
        vec![
            directory.database(),
            ("SECRET_KEY", SECRET.to_owned()),
            ("OPENROUTER_BASE_URL", base_url),
            ("OPENROUTER_MODEL", "test-model".to_owned()),
            ("OPENROUTER_API_KEY", "sk-hunter2".to_owned()),
        ]
    };
    let examine = |settings: Vec<(&'static str, String)>| async move {
        let output = tokio::task::spawn_blocking(move || run(&["doctor"], &settings)).await.unwrap();
        let (out, err) = (stdout(&output), String::from_utf8_lossy(&output.stderr).into_owned());
        assert!(!out.contains("hunter2") && !err.contains("hunter2"), "{out}{err}");
        (output.status.code(), out)
    };
    let (code, told) = examine(model(upstream.base_url())).await;
    assert_eq!(code, Some(0), "{told}");
    let parts: Vec<_> =
        told.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(parts, ["ok settings", "ok server", "ok database", "ok files", "ok model"]);
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite").read_dir().unwrap().count();
    assert!(told.contains(&format!("{migrations} migrations will run at start")), "{told}");
    good(&["migrate"], &[directory.database()]);
    assert!(examine(model(upstream.base_url())).await.1.contains("sqlite, up to date"));

    let (code, told) = examine(model("http://127.0.0.1:9/v1".to_owned())).await;
    assert!(code == Some(1) && told.contains("FAIL  model") && told.contains("ok    database"), "{told}");
    let mut settings = model(upstream.base_url());
    settings[0].1 = "postgres://ada:hunter2@127.0.0.1:9/threads".to_owned();
    let (code, told) = examine(settings).await;
    assert!(code == Some(1) && told.contains("FAIL  database") && told.contains("ok    model"), "{told}");
    let mut settings = model(upstream.base_url());
    settings[3].1 = "another-model".to_owned();
    let (code, told) = examine(settings).await;
    assert!(code == Some(1) && told.contains("FAIL  model"), "{told}");

    let redis = |url: String| [model(upstream.base_url()), vec![("REDIS_URL", url)]].concat();
    let not_tls = upstream.base_url().replace("http://", "rediss://:hunter2@").replace("/v1", "/0");
    for away in ["redis://:hunter2@127.0.0.1:9".to_owned(), "redis://:hunter2@127.0.0.1/first".to_owned(), not_tls] {
        let (code, told) = examine(redis(away)).await;
        assert!(code == Some(1) && told.contains("FAIL  redis") && told.contains("ok    model"), "{told}");
    }
    let file = directory.0.join("agents.toml");
    let agents = |text: &str| {
        std::fs::write(&file, text).unwrap();
        [model(upstream.base_url()), vec![("AGENTS_FILE", file.display().to_string())]].concat()
    };
    let (code, told) = examine(agents("default = \"b\"\n[agents.a]\n[agents.b]\n")).await;
    assert!(code == Some(0) && told.contains("ok    agents    a, b; by default b"), "{told}");
    let (code, told) = examine(agents("[agents.a]\nmodel = 7\n")).await;
    assert!(code == Some(1) && told.contains("agents.toml:2:9: ") && told.contains("ok    model"), "{told}");

    let files = |at: &Path| [model(upstream.base_url()), vec![("ATTACHMENTS_URL", at.display().to_string())]].concat();
    let (code, told) = examine(files(&file)).await;
    assert!(code == Some(1) && told.contains("FAIL  files") && told.contains("ok    model"), "{told}");
    let (code, told) = examine(files(&directory.0)).await;
    assert!(code == Some(0) && told.contains("ok    files     directory"), "{told}");

    if let Some(url) = Requirement::Redis.find() {
        let (code, told) = examine(redis(url)).await;
        assert!(code == Some(0) && told.contains("ok    redis     reached"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_healthcheck_requests_health() {
    let app = Setup::new().await.start().await;
    let here = vec![("REST_LISTEN", app.rest.clone())];
    let asked = here.clone();
    assert!(tokio::task::spawn_blocking(move || run(&["healthcheck"], &asked).status.success()).await.unwrap());
    drop(app);
    let output = tokio::task::spawn_blocking(move || run(&["healthcheck"], &here)).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
}

everywhere! {
    async fn an_installation_is_measured(setup: Setup) {
        let app = setup.with("MAX_SESSIONS_PER_USER", 0).start().await;
        let url = format!("http://{}", app.rest);
        let bench = ["bench", "--url", &url, "--seconds", "1", "--streams", "2", "--connections", "2"].map(str::to_owned);
        let measured = tokio::task::spawn_blocking(move || run(&bench.each_ref().map(String::as_str), &[])).await.unwrap();
        let table = stdout(&measured);
        for row in ["create a session", "list sessions", "first token of an answer", "between two tokens"] {
            let counted = table.lines().find_map(|line| line.strip_prefix(row)?.split_whitespace().next()?.parse().ok());
            assert!(counted.is_some_and(|count: u32| count > 0), "{row}: {table} {}", complaint(&measured));
        }
        // A machine that is busy with other tests meets no target, which is no fault of the program.
        assert_eq!(measured.status.success(), !table.contains("FAIL"), "{table}");
        // The sessions are gone.
        assert_eq!(app.database.count("SELECT count(*) AS rows FROM threads").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_ends_a_measurement_is_named() {
    let app = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 5).start().await;
    let url = format!("http://{}", app.rest);
    let measured = tokio::task::spawn_blocking(move || run(&["bench", "--url", &url, "--seconds", "2"], &[]));
    let measured = measured.await.unwrap();
    assert_eq!(measured.status.code(), Some(1));
    assert!(complaint(&measured).contains("RATE_LIMIT_REQUESTS_PER_MINUTE=0"), "{}", complaint(&measured));
}

/// With the limits of a real deployment: the measurement ends at the maximum number of sessions.
#[tokio::test(flavor = "multi_thread")]
async fn a_measurement_that_fails_or_is_interrupted_leaves_no_session() {
    let app = Setup::new().await.with("MAX_SESSIONS_PER_USER", 10).with("DEMO_WORD_PAUSE_MS", 1000).start().await;
    let user = app.user().await;
    let before = user.session().await.to_string();
    let url = format!("http://{}", app.rest);
    let bench = |arguments: &[&str]| {
        let mut bench = command(&[&["bench", "--url", &url], arguments].concat());
        bench.env("BENCH_TOKEN", user.token.clone().unwrap());
        bench.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let end = async |child: std::process::Child| {
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
        let sessions = user.get("/api/v1/chatkit/sessions").await.data().as_array().unwrap().clone();
        assert!(sessions.len() == 1 && sessions[0]["id"] == before, "{sessions:?}");
        complaint(&output)
    };
    let said = end(bench(&["--seconds", "1", "--connections", "2", "--streams", "20"])).await;
    assert!(said.contains("MAX_SESSIONS_PER_USER=0"), "{said}");

    let child = bench(&["--seconds", "3", "--connections", "1", "--streams", "3"]);
    eventually("answers are streamed", || async {
        (app.database.count("SELECT COUNT(*) AS rows FROM runs WHERE finished_at IS NULL").await == 3).then_some(())
    })
    .await;
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let said = end(child).await;
    assert!(said.contains("interrupted"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_override_the_environment_which_overrides_the_file() {
    let directory = Directory::new();
    std::fs::write(
        directory.0.join(".env"),
        "MAX_SESSIONS_PER_USER=1\nMAX_MESSAGE_CHARS=1\nRATE_LIMIT_REQUESTS_PER_MINUTE=7\n",
    )
    .unwrap();
    let mut child = command(&["serve", "--max-sessions-per-user", "3"])
        .current_dir(&directory.0)
        .envs([directory.database()])
        .envs([("MAX_SESSIONS_PER_USER", "2"), ("MAX_MESSAGE_CHARS", "2"), ("SECRET_KEY", SECRET)])
        .envs([("REST_LISTEN", "127.0.0.1:0"), ("RPC_LISTEN", "127.0.0.1:0")])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
    let lines = std::io::BufRead::lines(&mut errors).map_while(Result::ok);
    let mut lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let started = lines.find(|line| line["target"] == "threadline::started").expect("a line with the addresses");
    let rest = started["rest"].as_str().unwrap().to_owned();
    std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    let user = Client::new(&rest, "", None).register().await;
    let mut last = None;
    for _ in 0..3 {
        last = Some(user.session().await);
    }
    let refused = user.post("/api/v1/chatkit/sessions", &json!({})).await;
    assert!(refused.fails(429, "SESSION_LIMIT").contains("Maximum 3"), "the flag wins: {}", refused.text);
    assert_eq!(refused.header("x-ratelimit-limit"), "7", "the file is read");
    let refused = user.say_in_vain(last.unwrap(), "abc").await;
    assert!(refused.fails(400, "MESSAGE_TOO_LONG").contains("at most 2"), "the environment wins: {}", refused.text);
    child.kill().unwrap();
    child.wait().unwrap();
}
