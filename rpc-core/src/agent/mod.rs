//! Agents, and the drivers that produce the output of a run.
//!
//! | file | holds |
//! | --- | --- |
//! | `registry/` | which agent answers a thread, with which models and tools |
//! | `agents_file/` | reads and validates the agents file |
//! | `answer.rs` | [`AnswerDriver`] answers a message: prompt, model, tools, and again, until the model answers in text |
//! | `widget_action.rs` | [`WidgetActionDriver`] runs the action of a widget: one tool call, without a model |
//! | `prompt.rs` | what the model reads |
//! | `model_chain.rs` | the models of a run: when one fails, the next one answers |
//! | `execute_calls.rs`, `in_flight_call.rs` | the tool calls of one turn |
//! | `approved_call.rs` | calls that are made before the model is asked: approved ones, and those of a process that died |
//! | `continued_run.rs` | runs that continue after their process has died |
//! | `abandon_pending.rs` | pending calls that were not answered before the conversation continued |
//! | `titles/` | asks a model for the title of a thread |
//! | `summaries/` | asks a model for the summary of the turns that prompts leave out |
//! | `side_request.rs` | a request to a model for a title or a summary |
//! | `context/` | which part of a conversation fits into the context window of a model |

mod abandon_pending;
mod agents_file;
mod answer;
mod approved_call;
mod context;
mod continued_run;
mod error;
mod execute_calls;
mod in_flight_call;
mod model_chain;
mod prompt;
mod registry;
mod side_request;
mod summaries;
mod titles;
mod tool_results;
mod widget_action;

pub use agents_file::AgentsFileError;
pub(crate) use answer::AnswerDriver;
pub(crate) use approved_call::{ApprovedCall, record_decision};
pub(crate) use context::ContextWindows;
pub(crate) use continued_run::ContinuedRuns;
pub(crate) use error::AgentError;
pub(crate) use registry::{AgentRegistry, ResolvedAgent};
pub use registry::{AgentsError, check_mcp_servers};
pub(crate) use summaries::RunningSummaries;
pub(crate) use titles::{start_title, title_words};
pub(crate) use widget_action::{WidgetActionDriver, WidgetCall, update_stored_widget, widget_of};

use crate::attachments::Attachments;
use crate::config::BudgetClass;
use crate::error::Error;
use crate::model::Model;
use crate::store::rows::UsageRow;
use crate::store::{Clock, Store};
use std::sync::Arc;
use threadline_engine::EngineError;
use threadline_runtime::{Supervisor, TaskKind};
use threadline_store::{Charge, Reservation};

/// The budgets, as a run in progress sees them.
pub(crate) trait RunBudget: Send + Sync {
    /// Returns what a run must hold before its next request to a model, if it was charged so much until now. `None`
    /// without a budget.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if a budget is in money and a model of the agent has no price.
    fn reservation_after(&self, agent: &ResolvedAgent, charge: Charge) -> Result<Option<Reservation>, Error>;

    /// Returns the shared budgets that work beside runs is booked on, a scope per line.
    fn scopes_beside_runs(&self, agent: &ResolvedAgent) -> String;

    /// Whether a budget is in money that work beside runs is booked on.
    fn limits_cost_of(&self, agent: &ResolvedAgent) -> bool;

    /// Whether the budget of the user for the day is used up. `today` is what was used.
    fn is_used_up(&self, agent: &ResolvedAgent, today: &UsageRow) -> bool;

    /// Returns the budget class that is in the scopes of a run.
    fn class_of_run(&self, scopes: &str) -> Option<Arc<BudgetClass>>;

    /// Returns the error for a reservation that was refused.
    fn explain(&self, error: EngineError) -> Error;
}

/// What drivers use.
pub(crate) struct AgentServices {
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) attachments: Arc<Attachments>,
    /// How many of the newest items the model reads.
    pub(crate) history_items: u32,
    pub(crate) windows: Arc<ContextWindows>,
    pub(crate) summaries: RunningSummaries,
    pub(crate) budgets: Arc<dyn RunBudget>,
    pub(crate) supervisor: Supervisor,
}

/// Estimated tokens of a prompt from which on the server's list of models is read. All models read shorter ones.
const LISTED_FROM_TOKENS: u64 = 1_000;

impl AgentServices {
    /// Reads in the background how many tokens the models of the server read, once, when a prompt has some length. If
    /// that fails, a later prompt reads it.
    fn list_windows(&self, estimated: u64) {
        if estimated < LISTED_FROM_TOKENS || !self.windows.start_listing() {
            return;
        }
        let (model, windows) = (self.model.clone(), self.windows.clone());
        self.supervisor.spawn(TaskKind::ModelList, async move {
            match model.context_windows().await {
                Ok(models) => windows.list(models),
                Err(error) => {
                    tracing::info!(%error, "the list of models cannot be read");
                    windows.listing_failed();
                }
            }
        });
    }
}
