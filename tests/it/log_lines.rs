//! What a process writes: with `LOG_FORMAT=json`, or without a terminal, each line is a line of the log.

use crate::support::database::Database;
use crate::support::process::{SECRET, command, run};
use crate::support::{Setup, eventually};
use serde_json::Value;
use threadline::config::{LogConfig, LogFormat};

/// Reads each line as JSON.
#[track_caller]
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}\n{text}"))).collect()
}

#[tokio::test]
async fn a_server_writes_nothing_but_its_log() {
    for format in [Some("json"), None] {
        let database = Database::sqlite();
        let path = std::env::temp_dir().join(format!("threadline-log-{}", uuid::Uuid::new_v4().simple()));
        let file = std::fs::File::create(&path).unwrap();
        let mut server = command(&["serve"]);
        server.envs([("DATABASE_URL", database.url()), ("SECRET_KEY", SECRET.to_owned())]);
        server
            .envs([("REST_LISTEN", "127.0.0.1:0"), ("RPC_LISTEN", "127.0.0.1:0")])
            .envs(format.map(|f| ("LOG_FORMAT", f)));
        // As a container does it: both in one stream.
        let mut child = server.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let read = || std::fs::read_to_string(&path).unwrap();
        eventually("the server listens", || async { read().contains("listening").then_some(()) }).await;
        let stopped = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(stopped.success() && child.wait().unwrap().success(), "{}", read());
        let written = lines(&read());
        let started =
            written.iter().find(|line| line["target"] == "threadline::started").expect("it says where it listens");
        for member in ["rest", "rpc", "version", "database", "model", "timestamp", "level"] {
            assert!(started[member].is_string(), "{started}");
        }
        let _ = std::fs::remove_file(path);
    }
}

#[test]
fn a_panic_is_a_line_of_the_log() {
    /// Set in the process that panics: the log and what happens with panics belong to a whole process.
    const PANICS: &str = "THREADLINE_TEST_PANICS";
    if std::env::var_os(PANICS).is_some() {
        let config = LogConfig { filter: "info".to_owned(), format: Some(LogFormat::Json) };
        let _log = threadline::telemetry::install_log(&config, None).unwrap();
        let thread = std::thread::Builder::new().name("worker".to_owned());
        assert!(thread.spawn(|| panic!("out of\nink: {}", 3)).unwrap().join().is_err());
        return;
    }
    let itself = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(itself);
    child.args(["--exact", "log_lines::a_panic_is_a_line_of_the_log", "--nocapture"]).env(PANICS, "1");
    let output = child.env("RUST_BACKTRACE", "1").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let [line] = lines(&said).try_into().unwrap_or_else(|_| panic!("one line: {said}"));
    assert_eq!((&line["level"], &line["target"]), (&"ERROR".into(), &"threadline::panic".into()), "{line}");
    assert_eq!((&line["thread"], &line["cause"]), (&"worker".into(), &"out of\nink: 3".into()), "{line}");
    assert!(line["location"].as_str().unwrap().contains("log_lines.rs:"), "{line}");
    assert!(line["backtrace"].as_str().unwrap().contains("log_lines"), "{line}");
}

#[tokio::test]
async fn why_a_server_does_not_start_is_a_line_of_the_log() {
    let app = Setup::new().await.start().await;
    // Without a format too, as stderr is no terminal.
    let base = |format: &str, more: (&'static str, String)| {
        let ports = ["REST_LISTEN", "RPC_LISTEN"].map(|name| (name, "127.0.0.1:0".to_owned()));
        [&[("LOG_FORMAT", format.to_owned()), ("SECRET_KEY", SECRET.to_owned())], ports.as_slice(), &[more]].concat()
    };
    let cases = ["json", ""].into_iter().flat_map(|format| {
        [
            (base(format, ("MAX_SESSIONS_PER_USER", "ten".to_owned())), 2, "MAX_SESSIONS_PER_USER"),
            (base(format, ("DATABASE_URL", app.database.url())), 1, "in use"),
        ]
    });
    for (settings, code, names) in cases {
        let output = tokio::task::spawn_blocking(move || run(&["serve"], &settings)).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), b"".as_slice()), "{said}");
        let last = lines(&said).pop().expect("a reason");
        assert_eq!((&last["level"], &last["target"]), (&"ERROR".into(), &"threadline".into()), "{last}");
        assert!(last["error"].as_str().unwrap().contains(names), "{last}");
    }
}
