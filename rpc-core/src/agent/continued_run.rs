//! Runs that continue after their process has died.

use super::registry::{AgentRegistry, ResolvedAgent};
use super::{AgentServices, AnswerDriver};
use crate::store::rows::{ItemRow, RunRow, ThreadRow};
use crate::store::{StoreError, StoreResult};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use threadline_engine::{DriverError, DriverSource, RunContext, RunDriver, RunWriter, UsageMeter};
use threadline_schema::chatkit::{InferenceOptions, ThreadItem};
use threadline_schema::items::ItemKind;
use threadline_schema::runs::Usage;

/// How long a run waits for MCP servers that have not started yet. Without their tools the model would answer
/// differently.
const MCP_PATIENCE: Duration = Duration::from_secs(10);

/// Makes drivers for runs that continue after their process has died.
pub(crate) struct ContinuedRuns {
    pub(crate) services: Arc<AgentServices>,
    pub(crate) agents: Arc<AgentRegistry>,
}

impl ContinuedRuns {
    /// Returns the options of the message that a run answers; `None` if the run answers no message.
    async fn options_of(&self, run: &RunRow, items: &[ItemRow]) -> StoreResult<Option<InferenceOptions>> {
        let store = &self.services.store;
        if let Some(message) = run.retry_of {
            return match store.item_get(run.user_id, run.thread_id, message).await {
                Ok(message) => Ok(Some(options_in(&message))),
                Err(StoreError::NotFound(_)) => Ok(None),
                Err(error) => Err(error),
            };
        }
        if let Some(message) = items.iter().find(|item| item.kind == ItemKind::UserMessage) {
            return Ok(Some(options_in(message)));
        }
        // A run that continues an answer of the client or the user owns the item that asked for it.
        let is_answer = |item: &&ItemRow| matches!(item.kind, ItemKind::ClientToolCall | ItemKind::StructuredInput);
        let Some(answer) = items.iter().find(is_answer) else { return Ok(None) };
        let message = store.message_before(run.thread_id, answer.position).await?;
        Ok(Some(message.as_ref().map(options_in).unwrap_or_default()))
    }
}

impl DriverSource for ContinuedRuns {
    fn driver_to_continue<'a>(
        &'a self,
        thread: &'a ThreadRow,
        run: &'a RunRow,
        items: &'a [ItemRow],
    ) -> BoxFuture<'a, StoreResult<Result<Box<dyn RunDriver>, &'static str>>> {
        async move {
            let Some(options) = self.options_of(run, items).await? else {
                return Ok(Err("it answers no message, and the action of a widget is not repeated"));
            };
            if let Err(why) = self.agents.current().may_continue(thread, &options) {
                return Ok(Err(why));
            }
            let agent = self.agents.current().resolve_again(thread, &options);
            // The run keeps the budgets that it has begun with.
            let agent = agent.with_budget_class(self.services.budgets.class_of_run(&run.budget_scopes));
            let (services, agents, thread) = (self.services.clone(), self.agents.clone(), thread.clone());
            let driver: Box<dyn RunDriver> = Box::new(ContinuedDriver { services, agents, thread, options, agent });
            Ok(Ok(driver))
        }
        .boxed()
    }
}

/// Returns the options of a stored message.
fn options_in(message: &ItemRow) -> InferenceOptions {
    match serde_json::from_str(&message.body) {
        Ok(ThreadItem::UserMessage(message)) => message.inference_options,
        _ => InferenceOptions::default(),
    }
}

/// Goes on with an answer, with the tools that the agent has once its MCP servers have started.
struct ContinuedDriver {
    services: Arc<AgentServices>,
    agents: Arc<AgentRegistry>,
    thread: ThreadRow,
    options: InferenceOptions,
    /// The agent as it was when the run was taken over.
    agent: ResolvedAgent,
}

impl RunDriver for ContinuedDriver {
    fn agent(&self) -> &str {
        &self.agent.agent.name
    }

    fn drive<'a>(
        &'a mut self,
        run: &'a RunContext,
        writer: &'a mut RunWriter,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            let agents = self.agents.current();
            agents.wait_for_mcp_servers(MCP_PATIENCE).await;
            let agent = agents.resolve_again(&self.thread, &self.options);
            self.agent = agent.with_budget_class(self.agent.budget_class.take());
            AnswerDriver::new(self.services.clone(), self.agent.clone(), None, None).drive(run, writer).await
        }
        .boxed()
    }

    fn finish(&mut self) -> Option<(Usage, UsageMeter)> {
        // The request for a title has died with its process.
        None
    }
}
