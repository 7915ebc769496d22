//! Metrics, alert rules and the dashboard, with Prometheus' own programs and a real Prometheus that scrapes the
//! service.

use super::files::{deploy, succeeds};
use crate::support::{App, Setup, eventually};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use threadline::telemetry::METRICS;
use threadline_test_requirements::Requirement;

/// `promtool`, beside the `prometheus` that was found.
fn promtool() -> Option<Command> {
    let prometheus = Requirement::Prometheus.find()?;
    Some(Command::new(Path::new(&prometheus).with_file_name("promtool")))
}

#[test]
fn the_rules_are_valid_and_fire_when_they_should() {
    let Some(mut check) = promtool() else { return };
    succeeds(check.args(["check", "config", "prometheus.yaml"]).current_dir(deploy("prometheus")));
    let mut test = promtool().unwrap();
    succeeds(test.args(["test", "rules", "alerts.test.yaml"]).current_dir(deploy("prometheus")));
}

/// The rules as lines `KEY: VALUE` of this key.
fn values_of<'a>(rules: &'a str, key: &str) -> Vec<&'a str> {
    rules.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key)?.strip_prefix(": ")).collect()
}

#[test]
fn each_alert_has_a_section_in_the_runbook_and_a_test() {
    let read = |path: &str| std::fs::read_to_string(deploy(path)).unwrap();
    let (rules, tests, runbook) =
        (read("prometheus/alerts.yaml"), read("prometheus/alerts.test.yaml"), read("../docs/RUNBOOK.md"));
    let alerts = values_of(&rules, "alert");
    assert!(alerts.len() >= 10, "{alerts:?}");
    assert_eq!(alerts.len(), values_of(&rules, "runbook").len());
    for alert in &alerts {
        let link = format!("docs/RUNBOOK.md#{}", alert.to_lowercase());
        assert!(values_of(&rules, "runbook").contains(&link.as_str()), "{alert} does not link to {link}");
        assert!(runbook.contains(&format!("\n## {alert}\n")), "docs/RUNBOOK.md has no section {alert}");
        assert!(tests.contains(&format!("{{alertname=\"{alert}\"}}")), "no test lets {alert} fire");
    }
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("## Threadline")).count();
    assert_eq!(headings, alerts.len(), "docs/RUNBOOK.md has a section without an alert");
}

/// The expressions of the dashboard.
fn dashboard() -> Vec<String> {
    let text = std::fs::read_to_string(deploy("grafana/dashboards/threadline.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have the same id");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Names of metrics in text: without the endings of a histogram's series.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_name(c)).filter(|word| word.starts_with("threadline_"));
    let plain = words.map(|word| {
        let ends = ["_bucket", "_count", "_sum"];
        ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    });
    plain.collect()
}

#[test]
fn rules_and_dashboard_use_metrics_that_exist() {
    let known: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let rules = std::fs::read_to_string(deploy("prometheus/alerts.yaml")).unwrap();
    for text in dashboard().iter().chain([&rules]) {
        let unknown: Vec<_> = metrics_in(text).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?} in {text}");
    }
}

/// A Prometheus that scrapes the service. It ends with the test.
struct Prometheus {
    child: Child,
    url: String,
    directory: std::path::PathBuf,
}

impl Prometheus {
    fn start(program: &str, app: &App) -> Self {
        let directory = std::env::temp_dir().join(format!("threadline-prometheus-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&directory).unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n  \
             - job_name: threadline\n    static_configs: [{{targets: ['{}']}}]\n",
            deploy("prometheus/alerts.yaml").display(),
            app.rest,
        );
        std::fs::write(directory.join("prometheus.yaml"), config).unwrap();
        // A port that is free now. Prometheus cannot be told to choose one.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .arg(format!("--config.file={}", directory.join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, url: format!("http://127.0.0.1:{port}"), directory }
    }

    /// Evaluates an expression. Returns the result, or the error.
    async fn query(&self, expression: &str) -> Option<Result<Vec<Value>, String>> {
        let address = format!("{}/api/v1/query", self.url);
        let address = reqwest::Url::parse_with_params(&address, [("query", expression)]).unwrap();
        let body: Value = reqwest::get(address).await.ok()?.json().await.ok()?;
        Some(match body["status"].as_str() {
            Some("success") => Ok(body["data"]["result"].as_array().cloned().unwrap_or_default()),
            _ => Err(body.to_string()),
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Fills in the variables of Grafana.
fn filled_in(expression: &str) -> String {
    expression.replace("$__rate_interval", "30s").replace("$instance", ".*")
}

/// Panels that are empty while nothing goes wrong.
const EMPTY_WHEN_WELL: [&str; 17] = [
    "threadline_rate_limited_total",
    "threadline_over_budget_total",
    "threadline_upstream_failures_total",
    "threadline_upstream_retries_total",
    "threadline_model_fallbacks_total",
    "threadline_prompts_refused_total",
    "threadline_answers_incomplete_total",
    "threadline_upstream_first_token_seconds",
    "threadline_upstream_seconds",
    "threadline_tool_approvals_total",
    "threadline_task_failures_total",
    "threadline_connections_refused_total",
    "threadline_connections_cut_total",
    "threadline_rpc_request_seconds_count{instance=~\".*\",code!=\"0\"}",
    "threadline_streams",
    "threadline_websockets",
    // A run that ends within one interval of the journal is written with its end.
    "threadline_log_write_seconds",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_and_the_queries_of_the_dashboard_work() {
    let Some(program) = Requirement::Prometheus.find() else { return };
    let app = Setup::new().await.start().await;
    let prometheus = Prometheus::start(&program, &app);
    let user = app.user().await;
    let session = user.session().await;
    user.history(session).await;
    user.say(session, "Add task: Buy milk").await;
    user.get("/api/v1/chatkit/sessions/0").await;

    // The page passes promtool: names, units, types and help texts.
    let page = app.metrics().await;
    let mut check = promtool().unwrap();
    let mut child = check
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));

    eventually("Prometheus has scraped", || async {
        let samples = prometheus.query("min(count_over_time(threadline_http_request_seconds_count[1m])) >= 3").await?;
        (!samples.ok()?.is_empty()).then_some(())
    })
    .await;
    // So that rates have something to say.
    user.say(session, "Show my tasks").await;
    eventually("the run is in a rate", || async {
        let rate = prometheus.query("sum(rate(threadline_runs_total[30s])) > 0").await?;
        (!rate.ok()?.is_empty()).then_some(())
    })
    .await;
    let mut empty = Vec::new();
    for expression in dashboard() {
        let found = prometheus.query(&filled_in(&expression)).await.expect("an answer");
        let found = found.unwrap_or_else(|error| panic!("{expression}: {error}"));
        let may_be_empty = EMPTY_WHEN_WELL.iter().any(|name| filled_in(&expression).contains(name));
        if found.is_empty() && !may_be_empty {
            empty.push(expression);
        }
    }
    assert!(empty.is_empty(), "no data for {}", empty.join("\n"));
    let broken = prometheus.query("ALERTS{alertstate=\"firing\"}").await.unwrap().unwrap();
    assert!(broken.is_empty(), "{broken:?}");
}
