//! A run whose answer is in the middle: some words were sent, and the model has not finished.

use super::{App, Client, Gate, Script, Sse, Upstream};
use uuid::Uuid;

/// What the model has said before the pause.
pub const FIRST_WORDS: &str = "Some words";

/// A run whose reader has the first words.
pub struct PausedAnswer {
    /// The user, new in this service.
    pub user: Client,
    /// The session of the run.
    pub session: Uuid,
    /// The reader. Its newest event is the one with the number `seq`.
    pub stream: Sse,
    /// Number of the event that completed the first words.
    pub seq: u64,
}

/// Queues an answer that pauses after the first words until the gate opens, and then ends with " more".
pub fn queue_paused_answer(upstream: &Upstream) -> Gate {
    let gate = Gate::closed();
    upstream.queue(Script::stream().words(&["Some", " words"]).stop(&gate).words(&[" more"]).done("stop"));
    gate
}

impl PausedAnswer {
    /// Starts a run in a new session of a new user, and reads the first words.
    pub async fn start(app: &App) -> Self {
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, "Hello").await.unwrap();
        let seq = stream.until_said(FIRST_WORDS).await;
        Self { user, session, stream, seq }
    }

    /// Waits until the first words are in the log, and closes the reader. Returns the user, the session and the run.
    pub async fn logged(self, app: &App) -> (Client, Uuid, Uuid) {
        let run = self.stream.run_id();
        app.database.logged(run, self.seq).await;
        (self.user, self.session, run)
    }
}
