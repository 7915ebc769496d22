//! Summaries of the oldest turns of threads, which prompts leave out because they are too long.
//!
//! When a prompt has left turns out, a job begins after the end of the run. It asks a model for a summary of these
//! turns and stores it, and later prompts have it in their place. The next job extends it. A new run of the thread
//! interrupts the job. What changes the items of a summary deletes it (`threadline_store::Store::summary_begin`), and
//! the next prompt that leaves turns out begins anew.

mod job;
mod running;
mod transcript;

pub(super) use job::SummaryJob;
pub(crate) use running::RunningSummaries;

use super::AgentServices;
use super::context::EarlierTurns;
use super::registry::ResolvedAgent;
use std::sync::Arc;
use threadline_schema::error::Chain;
use threadline_schema::ids::ThreadId;

/// Returns the model that writes the summaries of an agent's threads; `None` if there is none.
fn summary_model(services: &AgentServices, agent: &ResolvedAgent) -> Option<Arc<str>> {
    agent.agent.summary_model.clone().filter(|_| services.model.follows_instructions())
}

/// Returns the summary of a thread, if its agent has summaries.
pub(super) async fn of_thread(
    services: &AgentServices,
    agent: &ResolvedAgent,
    thread_id: ThreadId,
) -> Option<EarlierTurns> {
    summary_model(services, agent)?;
    match services.store.thread_summary(thread_id).await {
        Ok(row) => row.map(|row| EarlierTurns { text: row.text, through: row.through_position }),
        Err(error) => {
            tracing::warn!(%thread_id, error = %Chain(&error), "summary cannot be read; the answer continues without it");
            None
        }
    }
}
