//! Metrics: what `/metrics` shows.

use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;

/// One metric as operators know it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name.
    pub name: &'static str,
    /// What it does over time.
    pub kind: MetricKind,
    /// Labels, with commas between.
    pub labels: &'static str,
    /// What it measures.
    pub doc: &'static str,
}

/// What a metric does over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How observations are distributed.
    Histogram,
}

/// Writes the page for `/metrics`. Cheap to clone.
#[derive(Clone)]
pub struct MetricsPage {
    handle: PrometheusHandle,
}

use MetricKind::{Counter, Gauge, Histogram};

/// Every metric with what it means, for the page and for `docs/OPERATIONS.md`.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    Metric { name: "threadline_http_request_seconds", kind: Histogram, labels: "method, route, status", doc: "Time to answer a REST request; of a stream, until its end." },
    Metric { name: "threadline_sse_streams", kind: Gauge, labels: "", doc: "Event streams open now." },
    Metric { name: "threadline_sse_events_per_stream", kind: Histogram, labels: "", doc: "Events of one stream." },
    Metric { name: "threadline_upstream_first_token_seconds", kind: Histogram, labels: "", doc: "Time until the model's first token." },
    Metric { name: "threadline_upstream_seconds", kind: Histogram, labels: "outcome", doc: "Time of one answer of the model." },
    Metric { name: "threadline_upstream_retries_total", kind: Counter, labels: "", doc: "Requests to the model that were tried again." },
    Metric { name: "threadline_model_fallbacks_total", kind: Counter, labels: "code", doc: "Answers that another model took over from one that failed." },
    Metric { name: "threadline_titles_total", kind: Counter, labels: "outcome", doc: "Titles asked of a model: stored, kept when there was nothing better or the user had chosen one, or failed." },
    Metric { name: "threadline_agents_reloads_total", kind: Counter, labels: "outcome", doc: "Readings of the agents file after a SIGHUP: ok or refused." },
    Metric { name: "threadline_rpc_request_seconds", kind: Histogram, labels: "method, code", doc: "Time to answer a JSON-RPC call, also those of the gateway; code is 0, or the name of the error." },
    Metric { name: "threadline_streams", kind: Gauge, labels: "transport", doc: "Subscriptions open on WebSockets now." },
    Metric { name: "threadline_websockets", kind: Gauge, labels: "", doc: "WebSockets open now." },
    Metric { name: "threadline_runs_active", kind: Gauge, labels: "", doc: "Runs being answered now." },
    Metric { name: "threadline_runs_total", kind: Counter, labels: "status", doc: "Runs that have ended." },
    Metric { name: "threadline_run_seconds", kind: Histogram, labels: "status", doc: "Time of one run." },
    Metric { name: "threadline_run_events", kind: Histogram, labels: "", doc: "Events of one run." },
    Metric { name: "threadline_log_write_seconds", kind: Histogram, labels: "", doc: "Time of one write of the log of events: one transaction for all runs." },
    Metric { name: "threadline_log_failures_total", kind: Counter, labels: "", doc: "Writes of the log that failed; what they held is written later." },
    Metric { name: "threadline_tool_calls_total", kind: Counter, labels: "tool, outcome", doc: "Calls of tools." },
    Metric { name: "threadline_tool_seconds", kind: Histogram, labels: "tool", doc: "Time of one call of a tool." },
    Metric { name: "threadline_feedback_total", kind: Counter, labels: "kind", doc: "Items that users said were good or bad." },
    Metric { name: "threadline_attachments_total", kind: Counter, labels: "outcome", doc: "Attachments that were uploaded whole and looked at: ready, or refused." },
    Metric { name: "threadline_model_tokens_total", kind: Counter, labels: "direction", doc: "Tokens the model's server says it used." },
    Metric { name: "threadline_model_cost_micros_total", kind: Counter, labels: "", doc: "What runs cost, in millionths of the currency of the prices; models without a price are not in it." },
    Metric { name: "threadline_over_budget_total", kind: Counter, labels: "", doc: "Runs refused because their user's budget of the day was used up." },
    Metric { name: "threadline_upstream_failures_total", kind: Counter, labels: "code", doc: "Runs that failed for the model's sake." },
    Metric { name: "threadline_rate_limited_total", kind: Counter, labels: "scope", doc: "Calls refused for being too many: of a user or of an address; streams a user had too many of." },
    Metric { name: "threadline_rate_limit_keys", kind: Gauge, labels: "", doc: "Users and addresses whose allowance is not whole." },
    Metric { name: "threadline_db_connections", kind: Gauge, labels: "state", doc: "Connections to the database: open, in use, and requests waiting for one." },
    Metric { name: "threadline_connections", kind: Gauge, labels: "listener", doc: "Connections open now." },
    Metric { name: "threadline_connections_refused_total", kind: Counter, labels: "listener", doc: "Connections answered 503 because MAX_CONNECTIONS were open." },
    Metric { name: "threadline_connections_cut_total", kind: Counter, labels: "listener, reason", doc: "Connections closed because their peer was too slow." },
    Metric { name: "process_resident_memory_bytes", kind: Gauge, labels: "", doc: "Memory of the process." },
    Metric { name: "process_open_fds", kind: Gauge, labels: "", doc: "File descriptors open now." },
];

/// Upper bounds of the buckets of every duration, in seconds: from a call in process to a long run.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0];

/// Upper bounds of the buckets of every count.
const COUNTS: &[f64] = &[1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0];

/// How often histograms are tidied up, so that what nobody scrapes does not pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Collects the metrics of the process, from the first call on; later calls give the same page.
///
/// # Errors
///
/// Somebody else collects them already.
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
    let page = PAGE.get_or_init(|| MetricsPage { handle: recorder.handle() }).clone();
    metrics::set_global_recorder(recorder).map_err(|error| anyhow::anyhow!("{error}"))?;
    describe();
    Ok(page)
}

impl MetricsPage {
    /// The page, in Prometheus' text format.
    pub fn render(&self) -> String {
        observe_process();
        self.handle.render()
    }

    /// Tidies up for ever; a task of the process's own.
    pub async fn keep_tidy(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }
}

fn describe() {
    for metric in METRICS {
        let unit = match metric.name {
            name if name.ends_with("_seconds") => Unit::Seconds,
            name if name.ends_with("_bytes") => Unit::Bytes,
            _ => Unit::Count,
        };
        match metric.kind {
            Counter => metrics::describe_counter!(metric.name, unit, metric.doc),
            Gauge => metrics::describe_gauge!(metric.name, unit, metric.doc),
            Histogram => metrics::describe_histogram!(metric.name, unit, metric.doc),
        }
    }
}

/// Where there is no `/proc`, these two are missing from the page.
fn observe_process() {
    if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_bytes) {
        metrics::gauge!("process_resident_memory_bytes").set(bytes);
    }
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(descriptors.count() as f64);
    }
}

/// `VmRSS:   12345 kB` of `/proc/self/status`; the kernel's kB are 1024 bytes.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_buckets_descriptions_and_the_process() {
        let page = install().unwrap();
        metrics::histogram!("threadline_http_request_seconds", "route" => "/x").record(0.003);
        metrics::histogram!("threadline_sse_events_per_stream").record(70.0);
        let text = install().unwrap().render();
        assert!(text.contains("# HELP threadline_http_request_seconds Time to answer"), "{text}");
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
    fn every_metric_stands_in_the_manual() {
        let manual = include_str!("../../docs/OPERATIONS.md");
        for metric in METRICS {
            assert!(manual.contains(&format!("`{}`", metric.name)), "{} is missing", metric.name);
        }
    }
}
