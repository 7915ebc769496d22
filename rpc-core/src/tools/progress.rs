//! How far calls say they have come.

use tokio::sync::watch;

/// Characters of what is passed on: a line on a screen.
const TEXT_CHARS: usize = 200;

/// Where a call says how far it has come, while it goes on. Of what nobody has taken note of yet the latest counts.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    told: watch::Sender<String>,
}

impl Progress {
    /// Says it, in words for a person; they become one line of bounded length.
    pub(crate) fn tell(&self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let line: String = words.join(" ").chars().take(TEXT_CHARS).collect();
        if !line.is_empty() {
            self.told.send_replace(line);
        }
    }

    /// Hears what is said from here on.
    pub(crate) fn heard(&self) -> watch::Receiver<String> {
        self.told.subscribe()
    }
}
