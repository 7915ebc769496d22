//! Reports errors to an HTTP endpoint of the operator: one JSON document for each event of the level `error`, among
//! them the failures of background tasks and panics.
//!
//! Code that logs an error never waits: reports that come faster than they can be sent are counted and dropped.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write as _};
use std::time::Duration;
use threadline_runtime::{Supervisor, TaskKind};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Errors that wait to be reported.
const QUEUE: usize = 128;
/// The same error is reported once in this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Documents in one window, at most.
const MAX_PER_WINDOW: u32 = 30;
/// Maximum time of one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time for the last reports to be sent when the process stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest text of a field, in characters.
const MAX_CHARS: usize = 1_000;
/// Fields that are reported. Others can name users, or have been added without a thought of this.
const FIELDS: [&str; 10] =
    ["error", "cause", "task", "code", "method", "location", "thread", "request_id", "run_id", "tool"];
/// Fields that make two errors with one message different.
const KEY_FIELDS: [&str; 4] = ["task", "code", "method", "location"];

/// Passes errors on to [`ErrorReports`]. A layer of the subscriber.
pub struct ReportLayer {
    queue: Sender<Report>,
}

/// Sends the reports of the process.
pub struct ErrorReports {
    stop: CancellationToken,
    worker: JoinHandle<Option<()>>,
}

/// What waits to be sent.
pub struct ReportQueue {
    queue: Receiver<Report>,
}

/// One error.
struct Report {
    target: &'static str,
    message: String,
    fields: BTreeMap<&'static str, String>,
    trace_id: Option<String>,
    at: chrono::DateTime<chrono::Utc>,
}

/// The document that is posted.
#[derive(Serialize)]
struct Document<'r> {
    service: &'static str,
    version: &'static str,
    level: &'static str,
    /// RFC 3339, of the newest of the errors.
    timestamp: String,
    /// The part of the program.
    target: &'static str,
    message: &'r str,
    fields: &'r BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'r str>,
    /// How many errors of this kind the document stands for.
    count: u64,
    /// How many errors were not reported since the last document, because there were too many.
    dropped: u64,
}

/// Returns the layer, and what it fills.
pub fn error_reports() -> (ReportLayer, ReportQueue) {
    let (sender, receiver) = channel(QUEUE);
    (ReportLayer { queue: sender }, ReportQueue { queue: receiver })
}

impl<S: Subscriber> Layer<S> for ReportLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() != Level::ERROR {
            return;
        }
        let mut report = Report {
            target: event.metadata().target(),
            message: String::new(),
            fields: BTreeMap::new(),
            trace_id: threadline_trace::current_ids().map(|(trace_id, _)| trace_id.to_string()),
            at: now(),
        };
        event.record(&mut report);
        // A full queue: there are more errors than anybody reads.
        let _ = self.queue.try_send(report);
    }
}

impl Visit for Report {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let name = field.name();
        let known = FIELDS.iter().find(|known| **known == name).copied();
        if name != "message" && known.is_none() {
            return;
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "{value:?}");
        self.set(known, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let known = FIELDS.iter().find(|known| **known == field.name()).copied();
        if field.name() == "message" || known.is_some() {
            self.set(known, value);
        }
    }
}

impl Report {
    fn set(&mut self, field: Option<&'static str>, text: &str) {
        let text: String = text.chars().take(MAX_CHARS).collect();
        match field {
            Some(name) => drop(self.fields.insert(name, text)),
            None => self.message = text,
        }
    }

    /// Returns what makes two errors the same.
    fn key(&self) -> String {
        let fields = KEY_FIELDS.iter().map(|name| self.fields.get(name).map_or("", String::as_str));
        [self.target, &*self.message].into_iter().chain(fields).collect::<Vec<_>>().join("\n")
    }
}

impl ErrorReports {
    /// Starts to post what is in the queue.
    ///
    /// # Errors
    ///
    /// When the HTTP client cannot be created.
    pub fn start(queue: ReportQueue, url: SecretString, supervisor: &Supervisor) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("threadline/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let stop = CancellationToken::new();
        let worker = Worker {
            client,
            url,
            seen: HashMap::new(),
            window: Instant::now() + WINDOW,
            sent: 0,
            dropped: 0,
            has_logged_failure: false,
        };
        let worker = supervisor.spawn_with_result(TaskKind::ErrorReports, worker.run(queue.queue, stop.clone()));
        Ok(Self { stop, worker })
    }

    /// Sends the reports that wait, for a few seconds at most.
    pub async fn finish(self) {
        self.stop.cancel();
        let _ = timeout(FLUSH_TIMEOUT, self.worker).await;
    }
}

struct Worker {
    client: reqwest::Client,
    url: SecretString,
    /// The newest error of each kind in this window, and how many of them were not reported.
    seen: HashMap<String, (Report, u64)>,
    /// When the window ends.
    window: Instant,
    /// Documents in this window.
    sent: u32,
    dropped: u64,
    has_logged_failure: bool,
}

impl Worker {
    async fn run(mut self, mut queue: Receiver<Report>, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(self.window) => self.end_window().await,
                report = queue.recv() => match report {
                    Some(report) => self.take(report).await,
                    None => break,
                },
            }
        }
        while let Ok(report) = queue.try_recv() {
            self.take(report).await;
        }
        self.end_window().await;
    }

    /// Reports an error, or counts it if one of its kind was reported in this window.
    async fn take(&mut self, report: Report) {
        let key = report.key();
        if let Some((newest, count)) = self.seen.get_mut(&key) {
            (*newest, *count) = (report, *count + 1);
            return;
        }
        if self.sent >= MAX_PER_WINDOW {
            self.dropped += 1;
            return;
        }
        self.send(&report, 1).await;
        self.seen.insert(key, (report, 0));
    }

    /// Reports how often the errors of the window have come again.
    async fn end_window(&mut self) {
        self.window = Instant::now() + WINDOW;
        self.sent = 0;
        self.has_logged_failure = false;
        for (report, count) in std::mem::take(&mut self.seen).into_values() {
            if count > 0 {
                self.send(&report, count).await;
            }
        }
    }

    async fn send(&mut self, report: &Report, count: u64) {
        self.sent += 1;
        let document = Document {
            service: "threadline",
            version: env!("CARGO_PKG_VERSION"),
            level: "error",
            timestamp: report.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            target: report.target,
            message: &report.message,
            fields: &report.fields,
            trace_id: report.trace_id.as_deref(),
            count,
            dropped: std::mem::take(&mut self.dropped),
        };
        let sent = self.client.post(self.url.expose_secret()).json(&document).send().await;
        let sent = sent.and_then(reqwest::Response::error_for_status);
        // A warning, which is not reported itself.
        if let Err(error) = sent.map_err(reqwest::Error::without_url)
            && !std::mem::replace(&mut self.has_logged_failure, true)
        {
            tracing::warn!(target: "threadline::error_reports", %error, "ERROR_REPORT_URL does not take reports");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "only people read it, and a log line has the same clock")]
fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[tokio::test]
    async fn only_errors_are_passed_on_and_only_known_fields() {
        let (layer, mut queue) = error_reports();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!("not this");
            tracing::error!(target: "t", user_id = 7, error = %"x".repeat(2_000), method = "m", "went {}", "wrong");
        });
        let report = queue.queue.recv().await.unwrap();
        assert_eq!((report.target, report.message.as_str()), ("t", "went wrong"));
        assert_eq!(report.fields.keys().copied().collect::<Vec<_>>(), ["error", "method"]);
        assert_eq!(report.fields["error"].len(), MAX_CHARS);
        assert!(report.key().ends_with("m\n"));
    }

    #[test]
    fn a_full_queue_does_not_block() {
        let (layer, _queue) = error_reports();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for _ in 0..2 * QUEUE {
                tracing::error!("again");
            }
        });
    }
}
