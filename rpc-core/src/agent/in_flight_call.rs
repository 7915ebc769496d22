//! A running tool call: its progress, and its end.

use crate::model::ToolCall;
use futures::future::BoxFuture;
use std::time::Duration;
use threadline_tools::{ProgressReporter, ToolResult};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Time after which a call first reports that it is still running. Each pause is longer than the one before. For a
/// shorter call its entry in the workflow is enough.
const FIRST_NOTICE: Duration = Duration::from_secs(2);
/// Minimum time between two progress reports of one call. Together with the timeout of the call it bounds their number.
const MIN_GAP: Duration = Duration::from_millis(500);

/// A tool call that has not ended.
pub(super) struct InFlightCall<'a> {
    pub(super) index: usize,
    pub(super) call: &'a ToolCall,
    result: BoxFuture<'a, ToolResult>,
    reports: watch::Receiver<String>,
    title: String,
    started: Instant,
    /// How long after the start the next notice is due. A call that reports progress needs none.
    next_notice: Option<Duration>,
    /// Until then, reports are not shown.
    quiet_until: Instant,
}

/// An update of a running call.
pub(super) enum CallUpdate {
    Ended(Box<ToolResult>),
    /// It is still running. A sentence for the user.
    Progress(String),
}

impl<'a> InFlightCall<'a> {
    pub(super) fn new(
        index: usize,
        call: &'a ToolCall,
        title: String,
        progress: &ProgressReporter,
        result: BoxFuture<'a, ToolResult>,
    ) -> Self {
        let started = Instant::now();
        let (reports, next_notice) = (progress.subscribe(), Some(FIRST_NOTICE));
        Self { index, call, result, reports, title, started, next_notice, quiet_until: started }
    }

    /// Waits for the next update. There is none after the end.
    pub(super) async fn next_update(&mut self) -> CallUpdate {
        let Self { result, reports, title, started, next_notice, quiet_until, .. } = self;
        let report = async {
            sleep_until(*quiet_until).await;
            match reports.changed().await {
                Ok(()) => reports.borrow_and_update().clone(),
                Err(_) => std::future::pending().await,
            }
        };
        let notice_due = async {
            match *next_notice {
                Some(after) => {
                    sleep_until(*started + after).await;
                    after
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = result => CallUpdate::Ended(Box::new(result)),
            text = report => {
                *quiet_until = Instant::now() + MIN_GAP;
                *next_notice = None;
                CallUpdate::Progress(text)
            }
            after = notice_due => {
                *next_notice = Some(after * 2 + FIRST_NOTICE);
                let text = if after == FIRST_NOTICE { title.clone() } else { format!("{title} ({} s)", after.as_secs()) };
                CallUpdate::Progress(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use threadline_tools::CallOutcome;
    use tokio::time::sleep;

    /// Returns the progress of a call of this duration, each with the milliseconds since the start.
    async fn progress_of(lasts: Duration, progress: &ProgressReporter) -> Vec<(u128, String)> {
        let requested = ToolCall::default();
        let result = ToolResult {
            content: String::new(),
            images: Vec::new(),
            failure: None,
            outcome: CallOutcome::Ok,
            widget: None,
            may_have_changed_data: false,
        };
        let result = sleep(lasts).map(|()| result).boxed();
        let started = Instant::now();
        let mut call = InFlightCall::new(0, &requested, "Look".to_owned(), progress, result);
        let mut shown = Vec::new();
        while let CallUpdate::Progress(text) = call.next_update().await {
            shown.push((started.elapsed().as_millis(), text));
        }
        assert_eq!(started.elapsed(), lasts);
        shown
    }

    fn lines(shown: &[(u128, &str)]) -> Vec<(u128, String)> {
        shown.iter().map(|(at, text)| (*at, (*text).to_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_call_is_announced_ever_more_rarely() {
        let progress = ProgressReporter::default();
        assert_eq!(progress_of(Duration::from_millis(1_999), &progress).await, []);
        let expected = [(2_000, "Look"), (6_000, "Look (6 s)"), (14_000, "Look (14 s)")];
        assert_eq!(progress_of(Duration::from_secs(20), &progress).await, lines(&expected));
        assert_eq!(
            progress_of(Duration::from_secs(1_205), &progress).await.len(),
            9,
            "the longest that a call may take"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn reports_of_a_call_are_shown_with_gaps() {
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
        let (shown, ()) = tokio::join!(progress_of(Duration::from_secs(60), &progress), speak);
        let long = "x ".repeat(100);
        let expected = [(100, "step 0"), (600, "step 4"), (1_100, "step 6"), (5_940, long.as_str())];
        assert_eq!(shown, lines(&expected), "its own reports, and no notices");
    }
}
