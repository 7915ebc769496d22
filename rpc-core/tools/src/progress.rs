//! Progress reports of running calls.

use tokio::sync::watch;

/// Maximum length of a report, in characters: one line on a screen.
const TEXT_CHARS: usize = 200;

/// Carries the progress reports of one call to a reader. Only the newest report is kept.
#[derive(Debug, Default)]
pub struct ProgressReporter {
    latest: watch::Sender<String>,
}

impl ProgressReporter {
    /// Reports progress, as text for the user. The text becomes one line of limited length; an empty text is ignored.
    pub fn report(&self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let line: String = words.join(" ").chars().take(TEXT_CHARS).collect();
        if !line.is_empty() {
            self.latest.send_replace(line);
        }
    }

    /// Returns a receiver of all later reports.
    pub fn subscribe(&self) -> watch::Receiver<String> {
        self.latest.subscribe()
    }
}
