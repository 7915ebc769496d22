//! A call at work: how it ends, and until then what is shown of it.

use crate::model::ToolCall;
use crate::tools::{ProgressReporter, ToolResult};
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// After so long it is said that a call goes on, and then again after twice as long each time. For shorter than this its
/// entry in the workflow is enough.
const FIRST: Duration = Duration::from_secs(2);
/// Time between two things that one call says of itself, at least. With the time that a call may take it bounds how many
/// are shown.
const GAP: Duration = Duration::from_millis(500);

/// A call that has not ended.
pub(super) struct Working<'a> {
    pub(super) index: usize,
    pub(super) call: &'a ToolCall,
    done: BoxFuture<'a, ToolResult>,
    heard: watch::Receiver<String>,
    title: String,
    began: Instant,
    /// When it is said next that it goes on. A call that speaks for itself needs no such words.
    next: Option<Duration>,
    /// Before then nothing it says is shown.
    quiet_until: Instant,
}

/// What comes next of a call.
pub(super) enum News {
    /// It has ended.
    Ended(ToolResult),
    /// It goes on, in words for a person.
    GoesOn(String),
}

impl<'a> Working<'a> {
    pub(super) fn new(
        index: usize,
        call: &'a ToolCall,
        title: String,
        progress: &ProgressReporter,
        done: BoxFuture<'a, ToolResult>,
    ) -> Self {
        let began = Instant::now();
        Self { index, call, done, heard: progress.subscribe(), title, began, next: Some(FIRST), quiet_until: began }
    }

    /// Waits for what comes next; nothing does after the end.
    pub(super) async fn news(&mut self) -> News {
        let Self { done, heard, title, began, next, quiet_until, .. } = self;
        let says = async {
            sleep_until(*quiet_until).await;
            match heard.changed().await {
                Ok(()) => heard.borrow_and_update().clone(),
                Err(_) => std::future::pending().await,
            }
        };
        let lasts = async {
            match *next {
                Some(after) => {
                    sleep_until(*began + after).await;
                    after
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            done = done => News::Ended(done),
            text = says => {
                *quiet_until = Instant::now() + GAP;
                *next = None;
                News::GoesOn(text)
            }
            after = lasts => {
                *next = Some(after * 2 + FIRST);
                News::GoesOn(if after == FIRST { title.clone() } else { format!("{title} ({} s)", after.as_secs()) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::CallOutcome;
    use futures::FutureExt;
    use tokio::time::sleep;

    /// What is shown of a call that lasts so long, each with the milliseconds since it began.
    async fn shown(lasts: Duration, progress: &ProgressReporter) -> Vec<(u128, String)> {
        let call = ToolCall { id: String::new(), name: String::new(), arguments: String::new() };
        let done = ToolResult {
            content: String::new(),
            failure: None,
            outcome: CallOutcome::Ok,
            widget: None,
            may_have_changed_data: false,
        };
        let done = sleep(lasts).map(|()| done).boxed();
        let began = Instant::now();
        let mut working = Working::new(0, &call, "Look".to_owned(), progress, done);
        let mut shown = Vec::new();
        while let News::GoesOn(text) = working.news().await {
            shown.push((began.elapsed().as_millis(), text));
        }
        assert_eq!(began.elapsed(), lasts);
        shown
    }

    fn lines(shown: &[(u128, &str)]) -> Vec<(u128, String)> {
        shown.iter().map(|(at, text)| (*at, (*text).to_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_lasts_is_spoken_of_ever_more_rarely() {
        let progress = ProgressReporter::default();
        assert_eq!(shown(Duration::from_millis(1_999), &progress).await, []);
        let expected = [(2_000, "Look"), (6_000, "Look (6 s)"), (14_000, "Look (14 s)")];
        assert_eq!(shown(Duration::from_secs(20), &progress).await, lines(&expected));
        assert_eq!(shown(Duration::from_secs(1_205), &progress).await.len(), 9, "the longest that a call may take");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_speaks_is_heard_now_and_then() {
        let progress = ProgressReporter::default();
        progress.report("Too early");
        let speak = async {
            sleep(Duration::from_millis(100)).await;
            for step in 0..7 {
                progress.report(&format!("  step\n{step} "));
                progress.report(" \n ");
                sleep(Duration::from_millis(120)).await;
            }
            sleep(Duration::from_secs(5)).await;
            progress.report(&"x ".repeat(500));
        };
        let (shown, ()) = tokio::join!(shown(Duration::from_secs(60), &progress), speak);
        let long = "x ".repeat(100);
        let expected = [(100, "step 0"), (600, "step 4"), (1_100, "step 6"), (5_940, long.as_str())];
        assert_eq!(shown, lines(&expected), "in its own words, and nothing beside them");
    }
}
