//! Input that starts runs: it is checked and completed here, then the engine stores it and executes the run.
//!
//! | file | holds |
//! | --- | --- |
//! | `user_message.rs` | [`UserMessages`]: a message in a thread that exists or is new, or that is answered again |
//! | `answers.rs` | [`PendingAnswers`]: answers to what a run has left pending |
//! | `approvals.rs` | decisions about tool calls that wait for approval |
//! | `widget_action.rs` | [`WidgetActions`]: actions of widgets |
//! | `answer_run.rs` | [`AnswerRuns`]: how a run that answers is started, for the first two |
//! | `repetition.rs` | finds the run of a request that is repeated with the cursor of its last event |
//! | `message_text.rs`, `idempotency.rs` | checks of the text, and of the idempotency key |

mod answer_run;
mod answers;
mod approvals;
mod idempotency;
mod message_text;
mod repetition;
mod user_message;
mod widget_action;

pub(crate) use answer_run::{AnswerRuns, roles_of};
pub(crate) use answers::PendingAnswers;
pub(crate) use idempotency::InputRequest;
pub(crate) use user_message::{NewThreadOptions, UserMessages};
pub(crate) use widget_action::WidgetActions;
