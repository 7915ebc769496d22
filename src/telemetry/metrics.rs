//! Metrics: the table of all metrics, and the page that `/metrics` serves.

use super::disk::{self, Volume};
use metrics::{Key, Level, Metadata, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;
use tracing_appender::non_blocking::ErrorCounter;

/// One metric, as documented for operators.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name.
    pub name: &'static str,
    /// How its value changes.
    pub kind: MetricKind,
    /// Labels, separated by `, `.
    pub labels: &'static str,
    /// What it measures.
    pub doc: &'static str,
}

/// How the value of a metric changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A distribution of observations.
    Histogram,
}

/// Renders the page for `/metrics`. Cheap to clone.
#[derive(Clone)]
pub struct MetricsPage {
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

use MetricKind::{Counter, Gauge, Histogram};

/// All metrics: the source of the descriptions on the page and of the table in `docs/OPERATIONS.md`. A test compares it
/// with the macros in the sources.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    Metric { name: "threadline_http_request_seconds", kind: Histogram, labels: "method, route, status", doc: "Duration of a REST request; of a stream, until its end." },
    Metric { name: "threadline_sse_streams", kind: Gauge, labels: "", doc: "Open event streams." },
    Metric { name: "threadline_sse_events_per_stream", kind: Histogram, labels: "", doc: "Events per stream." },
    Metric { name: "threadline_upstream_first_token_seconds", kind: Histogram, labels: "", doc: "Time to the first token of the model." },
    Metric { name: "threadline_upstream_seconds", kind: Histogram, labels: "outcome", doc: "Duration of one response of the model." },
    Metric { name: "threadline_upstream_retries_total", kind: Counter, labels: "", doc: "Retries of requests to the model." },
    Metric { name: "threadline_model_unrecognized_total", kind: Counter, labels: "kind", doc: "Values from a model's server that were not understood, and ignored." },
    Metric { name: "threadline_model_fallbacks_total", kind: Counter, labels: "code", doc: "Fallbacks from a model that failed to another one." },
    Metric { name: "threadline_model_dialect_adjustments_total", kind: Counter, labels: "setting", doc: "Changes of the dialect of a model because its server refused a request." },
    Metric { name: "threadline_titles_total", kind: Counter, labels: "outcome", doc: "Titles requested from a model: stored, kept if there was no better one or the user had set one, or failed." },
    Metric { name: "threadline_summaries_total", kind: Counter, labels: "outcome", doc: "Summaries of long conversations: stored; outdated if the conversation had changed or was deleted; skipped if another one was being written or had just failed; over_budget if the user's budget for the day was used up; or failed." },
    Metric { name: "threadline_agents_reloads_total", kind: Counter, labels: "outcome", doc: "Reloads of the agents file after SIGHUP: ok or refused." },
    Metric { name: "threadline_rpc_request_seconds", kind: Histogram, labels: "method, code", doc: "Duration of a JSON-RPC call, also of the gateway; code is 0, or the name of the error." },
    Metric { name: "threadline_streams", kind: Gauge, labels: "transport", doc: "Open subscriptions on WebSockets." },
    Metric { name: "threadline_websockets", kind: Gauge, labels: "", doc: "Open WebSockets." },
    Metric { name: "threadline_runs_active", kind: Gauge, labels: "", doc: "Active runs." },
    Metric { name: "threadline_runs_total", kind: Counter, labels: "status", doc: "Ended runs." },
    Metric { name: "threadline_runs_taken_over_total", kind: Counter, labels: "outcome", doc: "Runs whose process died or lost them: continued, or interrupted, cancelled or failed." },
    Metric { name: "threadline_run_seconds", kind: Histogram, labels: "status", doc: "Duration of a run." },
    Metric { name: "threadline_run_events", kind: Histogram, labels: "", doc: "Events per run." },
    Metric { name: "threadline_log_write_seconds", kind: Histogram, labels: "", doc: "Duration of one write of the journal: one transaction for all runs." },
    Metric { name: "threadline_task_failures_total", kind: Counter, labels: "task", doc: "Background tasks that have failed, by kind. After the failure of a critical one the process drains and exits." },
    Metric { name: "threadline_log_failures_total", kind: Counter, labels: "", doc: "Failed writes of the journal; their events are written later." },
    Metric { name: "threadline_journal_lag_seconds", kind: Gauge, labels: "", doc: "Time for which the journal has not been able to write; 0 while it can." },
    Metric { name: "threadline_lease_renewal_failures_total", kind: Counter, labels: "", doc: "Failed tries of this process to renew the leases of its runs." },
    Metric { name: "threadline_leases_lost_total", kind: Counter, labels: "", doc: "Runs of other processes that were gone, or whose lease had expired, which this process took over." },
    Metric { name: "threadline_tool_calls_total", kind: Counter, labels: "tool, outcome", doc: "Tool calls." },
    Metric { name: "threadline_mcp_tool_changes_total", kind: Counter, labels: "server", doc: "Tools of MCP servers whose description, arguments or hints have changed since they were first seen." },
    Metric { name: "threadline_tool_seconds", kind: Histogram, labels: "tool", doc: "Duration of a tool call." },
    Metric { name: "threadline_threads_expired_total", kind: Counter, labels: "reason", doc: "Conversations deleted because they are not kept any longer: retention or temporary." },
    Metric { name: "threadline_feedback_total", kind: Counter, labels: "kind", doc: "Items with feedback from users: positive or negative." },
    Metric { name: "threadline_attachments_total", kind: Counter, labels: "outcome", doc: "Attachments that were uploaded and checked: ready or refused." },
    Metric { name: "threadline_tool_approvals_total", kind: Counter, labels: "outcome", doc: "Decisions about tool calls that need approval: approved, approved_always, edited, refused, expired or abandoned." },
    Metric { name: "threadline_answers_incomplete_total", kind: Counter, labels: "reason", doc: "Answers that ended before they were complete: length, content_filter, turn_limit or refusal." },
    Metric { name: "threadline_prompts_refused_total", kind: Counter, labels: "", doc: "Prompts that the model's server refused because of their length. A shorter one is sent." },
    Metric { name: "threadline_model_tokens_total", kind: Counter, labels: "direction", doc: "Tokens, as the model's server reports them." },
    Metric { name: "threadline_model_cost_micros_total", kind: Counter, labels: "", doc: "Cost of runs, in millionths of the currency of the prices; without models that have no price." },
    Metric { name: "threadline_over_budget_total", kind: Counter, labels: "", doc: "Runs refused because the user's daily budget was used up." },
    Metric { name: "threadline_upstream_failures_total", kind: Counter, labels: "code", doc: "Runs that failed because of the model." },
    Metric { name: "threadline_over_shared_budget_total", kind: Counter, labels: "", doc: "Runs refused because a budget that all users share was used up." },
    Metric { name: "threadline_shared_budget", kind: Gauge, labels: "scope, unit, state", doc: "Budgets that all users share: what is used or held today, and the limit." },
    Metric { name: "threadline_rate_limited_total", kind: Counter, labels: "scope", doc: "Calls and streams refused by a limit." },
    Metric { name: "threadline_provider_key_reads_total", kind: Counter, labels: "outcome", doc: "Reads of the identity provider's keys." },
    Metric { name: "threadline_rate_limit_keys", kind: Gauge, labels: "", doc: "Users and addresses whose rate limit is partly used." },
    Metric { name: "threadline_db_connections", kind: Gauge, labels: "state", doc: "Connections to the database: open, in use, and requests that wait for one." },
    Metric { name: "threadline_db_pool_timeouts_total", kind: Counter, labels: "", doc: "Requests that got no connection to the database in time." },
    Metric { name: "threadline_disk_free_bytes", kind: Gauge, labels: "volume", doc: "Free space of the file system under the SQLite file and under the attachments." },
    Metric { name: "threadline_disk_size_bytes", kind: Gauge, labels: "volume", doc: "Size of that file system." },
    Metric { name: "threadline_connections", kind: Gauge, labels: "listener", doc: "Open connections." },
    Metric { name: "threadline_connections_refused_total", kind: Counter, labels: "listener, limit", doc: "Connections answered 503 because too many were open." },
    Metric { name: "threadline_input_refused_total", kind: Counter, labels: "reason", doc: "Requests and messages that were not read because of their size." },
    Metric { name: "threadline_websocket_strangers_total", kind: Counter, labels: "", doc: "WebSockets closed because no call was authenticated in time." },
    Metric { name: "threadline_image_decodes", kind: Gauge, labels: "", doc: "Images that are being decoded." },
    Metric { name: "threadline_log_lines_dropped_total", kind: Counter, labels: "", doc: "Lines of the log that were lost because they were not read in time." },
    Metric { name: "threadline_certificate_reloads_total", kind: Counter, labels: "outcome", doc: "Reloads of the TLS certificate." },
    Metric { name: "threadline_login_failures_total", kind: Counter, labels: "outcome", doc: "Logins that failed." },
    Metric { name: "threadline_connections_cut_total", kind: Counter, labels: "listener, reason", doc: "Connections closed because the peer was too slow." },
    Metric { name: "process_cpu_seconds_total", kind: Counter, labels: "", doc: "CPU time of the process, user and system." },
    Metric { name: "process_resident_memory_bytes", kind: Gauge, labels: "", doc: "Resident memory of the process." },
    Metric { name: "process_virtual_memory_bytes", kind: Gauge, labels: "", doc: "Virtual memory of the process." },
    Metric { name: "process_virtual_memory_max_bytes", kind: Gauge, labels: "", doc: "Limit of the virtual memory of the process." },
    Metric { name: "process_open_fds", kind: Gauge, labels: "", doc: "Open file descriptors." },
    Metric { name: "process_max_fds", kind: Gauge, labels: "", doc: "Limit of open file descriptors (ulimit -n)." },
    Metric { name: "process_start_time_seconds", kind: Gauge, labels: "", doc: "Start of the process, in seconds since 1970." },
    Metric { name: "process_threads", kind: Gauge, labels: "", doc: "Threads of the process." },
];

/// Upper bounds of the buckets of all durations, in seconds: from an in-process call to a long run.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0];

/// Upper bounds of the buckets of all counts.
const COUNTS: &[f64] = &[1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0];

/// Interval of the upkeep. Process metrics are that old at most, and histograms that are not scraped stay small.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Starts to collect metrics. Later calls return the same page.
///
/// # Errors
///
/// When another recorder of the crate `metrics` is installed.
pub fn install() -> anyhow::Result<MetricsPage> {
    static PAGE: OnceLock<MetricsPage> = OnceLock::new();
    if let Some(page) = PAGE.get() {
        return Ok(page.clone());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_per_stream".to_owned()), COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_run_events".to_owned()), COUNTS)?
        .build_recorder();
    let process = metrics_process::Collector::default();
    let page = PAGE.get_or_init(|| MetricsPage { handle: recorder.handle(), process }).clone();
    metrics::set_global_recorder(recorder).map_err(|error| anyhow::anyhow!("{error}"))?;
    describe();
    page.process.collect();
    Ok(page)
}

impl MetricsPage {
    /// Returns the page in Prometheus' text format. Does no I/O.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Runs the upkeep every few seconds: reads the process metrics and the space of the volumes, and compacts
    /// histograms. Never returns.
    pub async fn upkeep(self, volumes: Vec<Volume>, dropped_lines: ErrorCounter) {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            metrics::counter!("threadline_log_lines_dropped_total").absolute(dropped_lines.dropped_lines() as u64);
            let (page, volumes) = (self.clone(), volumes.clone());
            // It reads /proc, where listing many file descriptors takes milliseconds: not on an async worker.
            let round = tokio::task::spawn_blocking(move || {
                page.process.collect();
                disk::record(&volumes);
                page.handle.run_upkeep();
            });
            if let Err(error) = round.await {
                tracing::error!(%error, "metrics upkeep failed");
            }
        }
    }
}

fn describe() {
    for metric in METRICS {
        let unit = match metric.name {
            name if name.ends_with("_seconds") || name.ends_with("_seconds_total") => Unit::Seconds,
            name if name.ends_with("_bytes") => Unit::Bytes,
            _ => Unit::Count,
        };
        match metric.kind {
            Counter => {
                metrics::describe_counter!(metric.name, unit, metric.doc);
                if metric.labels.is_empty() {
                    start_at_zero(metric.name);
                }
            }
            Gauge => metrics::describe_gauge!(metric.name, unit, metric.doc),
            Histogram => metrics::describe_histogram!(metric.name, unit, metric.doc),
        }
    }
}

/// Puts a counter on the page before it counts. Otherwise Prometheus would see its first value as its start, and an
/// alert on its increase would miss the first event.
fn start_at_zero(name: &'static str) {
    const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);
    metrics::with_recorder(|recorder| recorder.register_counter(&Key::from_static_name(name), &METADATA).increment(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    #[test]
    fn the_page_has_buckets_descriptions_and_process_metrics() {
        let page = install().unwrap();
        metrics::histogram!("threadline_http_request_seconds", "route" => "/x").record(0.003);
        metrics::histogram!("threadline_sse_events_per_stream").record(70.0);
        let text = install().unwrap().render();
        assert!(text.contains("# HELP threadline_http_request_seconds Duration of"), "{text}");
        assert!(text.contains("threadline_http_request_seconds_bucket{route=\"/x\",le=\"0.0025\"} 0"), "{text}");
        assert!(text.contains("threadline_http_request_seconds_bucket{route=\"/x\",le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("threadline_sse_events_per_stream_bucket{le=\"100\"} 1"), "{text}");
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(name)).expect(name);
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1_000_000.0);
        assert!(value("process_open_fds ") >= 3.0);
        drop(page);
    }

    #[test]
    fn every_metric_is_in_the_manual() {
        let manual = include_str!("../../docs/OPERATIONS.md");
        for metric in METRICS {
            assert!(manual.contains(&format!("`{}`", metric.name)), "{} is missing", metric.name);
        }
    }

    /// A metric macro in the sources.
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Use {
        name: String,
        kind: &'static str,
        labels: BTreeSet<String>,
    }

    /// All metric macros outside of tests, by name, with the file of each.
    fn uses_in_sources() -> BTreeMap<String, Vec<(String, Use)>> {
        let mut uses: BTreeMap<String, Vec<(String, Use)>> = BTreeMap::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut directories: Vec<PathBuf> =
            ["src", "rpc-core", "rest-gateway", "schema"].map(|dir| root.join(dir)).into();
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    let name = path.file_name().unwrap();
                    if name != "tests" && name != "target" {
                        directories.push(path);
                    }
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let file = path.strip_prefix(root).unwrap().display().to_string();
                    let text = std::fs::read_to_string(&path).unwrap();
                    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                    for found in uses_in(&file, code) {
                        uses.entry(found.name.clone()).or_default().push((file.clone(), found));
                    }
                }
            }
        }
        uses
    }

    fn uses_in(file: &str, code: &str) -> Vec<Use> {
        let macros =
            [("counter", "metrics::counter!("), ("gauge", "metrics::gauge!("), ("histogram", "metrics::histogram!(")];
        let mut uses = Vec::new();
        for (kind, start) in macros {
            for (at, _) in code.match_indices(start) {
                let arguments = up_to_closing_parenthesis(&code[at + start.len()..]);
                let mut literals = arguments.split('"').skip(1).step_by(2);
                let is_literal = arguments.trim_start().starts_with('"');
                assert!(is_literal, "{file}: the name of a metric is not a literal: {start}{arguments}");
                let name = literals.next().unwrap().to_owned();
                // A key of a label is a literal before an arrow.
                let labels = arguments.match_indices("=>").map(|(arrow, _)| {
                    let before = arguments[..arrow].trim_end().trim_end_matches('"');
                    before.rsplit('"').next().unwrap().to_owned()
                });
                uses.push(Use { name, kind, labels: labels.collect() });
            }
        }
        uses
    }

    fn up_to_closing_parenthesis(text: &str) -> &str {
        let mut open = 1;
        let end = text.find(|character| {
            open += match character {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            open == 0
        });
        &text[..end.expect("a macro that ends")]
    }

    #[test]
    fn the_table_lists_the_metrics_in_the_sources_and_no_others() {
        let mut uses = uses_in_sources();
        for metric in METRICS.iter().filter(|metric| !metric.name.starts_with("process_")) {
            let found = uses.remove(metric.name);
            let found = found.unwrap_or_else(|| panic!("{}: in METRICS, and in no source file", metric.name));
            let kind = match metric.kind {
                Counter => "counter",
                Gauge => "gauge",
                Histogram => "histogram",
            };
            let labels: BTreeSet<String> =
                metric.labels.split(", ").filter(|label| !label.is_empty()).map(ToOwned::to_owned).collect();
            for (file, found) in found {
                assert_eq!(found, Use { name: metric.name.to_owned(), kind, labels: labels.clone() }, "{file}");
            }
        }
        assert!(uses.is_empty(), "in the sources, and not in METRICS (src/telemetry/metrics.rs): {uses:?}");
    }
}
