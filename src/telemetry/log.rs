//! The log. It goes to stderr; stdout is for the output of commands.
//!
//! A separate thread writes the lines. If they are read too slowly or not at all, lines are lost and counted, and the
//! service continues.

use super::error_reports::ReportLayer;
use super::ids::WithIds;
use crate::config::{LogConfig, LogFormat};
use std::io::IsTerminal;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Lines that wait to be written. A line has some hundred bytes.
const BUFFERED_LINES: usize = 16 * 1024;

/// The most that some libraries may log. At `trace`, jsonrpsee and tungstenite log whole messages with their tokens;
/// rmcp does so at `warn`. The callers of rmcp log its errors.
const CAPS: [(&str, LevelFilter); 6] = [
    ("jsonrpsee-client", LevelFilter::DEBUG),
    ("jsonrpsee-server", LevelFilter::DEBUG),
    ("jsonrpsee-core", LevelFilter::DEBUG),
    ("tungstenite", LevelFilter::INFO),
    ("tokio_tungstenite", LevelFilter::INFO),
    ("rmcp", LevelFilter::OFF),
];

/// Writes the log. Dropping it writes the lines that wait.
pub struct LogWriter {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
}

/// Starts to write the log of the process to stderr, and to report errors if `reports` is given.
///
/// # Errors
///
/// When the directives of the filter are invalid, or it is called a second time.
pub fn install(config: &LogConfig, reports: Option<ReportLayer>) -> anyhow::Result<LogWriter> {
    let terminal = std::io::stderr().is_terminal();
    let format = config.format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(BUFFERED_LINES);
    let (lines, guard) = builder.thread_name("log").finish(std::io::stderr());
    let dropped = lines.error_counter();
    let has_reports = reports.is_some();
    let subscriber = subscriber(&config.filter, format, terminal, lines)?;
    match reports {
        Some(reports) => subscriber.with(reports).try_init()?,
        None => subscriber.try_init()?,
    }
    if format == LogFormat::Json || has_reports {
        std::panic::set_hook(Box::new(|panic| {
            let thread = std::thread::current();
            tracing::error!(
                target: "threadline::panic",
                thread = thread.name(),
                location = panic.location().map(tracing::field::display),
                cause = panic.payload_as_str(),
                backtrace = %std::backtrace::Backtrace::capture(),
                "a thread panicked"
            );
        }));
    }
    Ok(LogWriter { _guard: guard, dropped })
}

impl LogWriter {
    /// Returns the counter of lines that were lost.
    pub fn dropped_lines(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

/// Writes to stderr, as a line of a log in JSON, why a server ends or does not start. The log itself may not have been
/// installed by then.
pub fn write_failure(error: &anyhow::Error) {
    // This filter is always valid.
    let Ok(subscriber) = subscriber("error", LogFormat::Json, false, std::io::stderr) else { return };
    tracing::subscriber::with_default(subscriber, || {
        tracing::error!(target: "threadline", error = format!("{error:#}"), "the server has failed");
    });
}

/// Returns the level that directives give a target: that of the longest prefix of its name, and of the last directive
/// if several have it. Directives with spans do not count.
fn level_of(filter: &str, target: &str) -> LevelFilter {
    let mut found = (0, LevelFilter::OFF);
    for directive in filter.split(',').map(str::trim).filter(|directive| !directive.contains('[')) {
        let (prefix, level) = match directive.split_once('=') {
            Some((prefix, level)) => (prefix.trim(), level.trim().parse()),
            None => match directive.parse::<LevelFilter>() {
                Ok(level) => ("", Ok(level)),
                Err(_) => (directive, Ok(LevelFilter::TRACE)),
            },
        };
        if let Ok(level) = level
            && target.starts_with(prefix)
            && prefix.len() >= found.0
        {
            found = (prefix.len(), level);
        }
    }
    found.1
}

/// Builds the subscriber. JSON is one object per line, with `timestamp` (RFC 3339, UTC), `level`, `target`, `message`
/// and the fields of the event at the top level. Inside of a trace, `trace_id` and `span_id` too.
fn subscriber<W>(
    filter: &str,
    format: LogFormat,
    colours: bool,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, ParseError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = CAPS.iter().fold(filter.to_owned(), |directives, (target, cap)| {
        let level = level_of(filter, target).min(*cap);
        format!("{directives},{target}={level}")
    });
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        // A line that cannot be written is lost. Reporting that on stderr, which has just failed, would panic in the
        // task that logs.
        .log_internal_errors(false)
        .with_timer(SystemTime)
        .with_ansi(colours && format == LogFormat::Pretty)
        .with_writer(writer);
    Ok(match format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false);
            Box::new(lines.map_event_format(|inner| WithIds { inner, is_json: true }).finish())
        }
        LogFormat::Pretty => Box::new(lines.map_event_format(|inner| WithIds { inner, is_json: false }).finish()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: LogFormat, events: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(filter, format, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, events);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_flat_object_per_line_with_utc_times() {
        let text = logged("info", LogFormat::Json, || {
            tracing::info!(request_id = "r1", status = 200, ms = 1.5, "a line\nand what \"follows\"");
            tracing::warn!("second");
        });
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!((&lines[0]["request_id"], &lines[0]["status"]), (&"r1".into(), &200.into()));
        assert_eq!(lines[0]["message"], "a line\nand what \"follows\"");
        assert_eq!((&lines[0]["level"], &lines[1]["level"]), (&"INFO".into(), &"WARN".into()));
        let time = lines[0]["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
    }

    #[test]
    fn the_filter_applies_per_module() {
        let text = logged("warn,threadline::http=info", LogFormat::Pretty, || {
            tracing::info!("quiet");
            tracing::info!(target: "threadline::http", "spoken");
            tracing::debug!(target: "threadline::http", "too much");
        });
        assert!(text.contains("spoken") && !text.contains("quiet") && !text.contains("too much"), "{text}");
    }

    #[test]
    fn libraries_are_capped_and_never_raised() {
        let lines = |filter| {
            let events = || {
                tracing::error!(target: "jsonrpsee-client", "an error");
                tracing::debug!(target: "jsonrpsee-client", "a detail");
                tracing::trace!(target: "jsonrpsee-client", "a token");
                tracing::error!(target: "rmcp", "a token");
                tracing::debug!(target: "tungstenite::protocol", "a token");
            };
            let text = logged(filter, LogFormat::Pretty, events);
            assert!(!text.contains("a token"), "{filter}: {text}");
            (text.contains("an error"), text.contains("a detail"))
        };
        assert_eq!(lines("trace"), (true, true));
        assert_eq!(lines("info"), (true, false));
        assert_eq!(lines("error"), (true, false));
        assert_eq!(lines("off"), (false, false));
        assert_eq!(lines("error,jsonrpsee-client=trace"), (true, true));
        assert_eq!(lines("debug,jsonrpsee=off"), (false, false));
        assert_eq!(lines("threadline=debug"), (false, false));
    }

    #[test]
    fn pretty_without_a_terminal_has_no_colours() {
        let text = logged("info", LogFormat::Pretty, || tracing::info!(user = 7, "hello"));
        assert!(text.contains("hello") && text.contains("user=7") && !text.contains('\x1b'), "{text}");
    }
}
