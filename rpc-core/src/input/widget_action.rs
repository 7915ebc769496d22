//! Actions of widgets, which a user triggers.

use super::InputRequest;
use super::answer_run::check_allowed;
use super::repetition::Repeated;
use crate::agent::{AgentRegistry, AgentServices, WidgetActionDriver, WidgetCall, update_stored_widget, widget_of};
use crate::error::Error;
use crate::store::Store;
use std::sync::Arc;
use threadline_engine::{Engine, ResumeInput, RunRequest, StartedRun};
use threadline_schema::chatkit::{Action, WidgetItem};
use threadline_schema::error::Failure;
use threadline_schema::ids::{ItemId, ThreadId, UserId};
use threadline_store::RunInput;
use threadline_tools::{Permission, ProgressReporter, ToolContext};

/// Runs the actions of widgets.
pub(crate) struct WidgetActions {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) agents: Arc<AgentRegistry>,
    pub(crate) services: Arc<AgentServices>,
}

impl WidgetActions {
    /// Starts a run that executes an action. `widget_id` is the widget that was used, if there is one.
    pub(crate) async fn start_run(
        &self,
        request: InputRequest,
        thread_id: ThreadId,
        widget_id: Option<ItemId>,
        action: Action,
    ) -> Result<StartedRun, Error> {
        let key = request.idempotency_key("threads.custom_action", Some(thread_id), &(widget_id, &action))?;
        if let Some(replayed) = self.engine.find_replay(request.user_id, key.as_ref()).await? {
            return Ok(replayed);
        }
        let call = self.resolve(request.user_id, thread_id, widget_id, &action).await?;
        if let Some(run) = request.find_run(&self.engine, Repeated::Action(thread_id, &call.call)).await? {
            return Ok(run);
        }
        let InputRequest { user_id, context, .. } = request;
        let permit = self.engine.start_permit()?;
        // No model is asked, so there is nothing to reserve.
        let input = ResumeInput { input: RunInput::Action, replaced: None, reservation: None };
        let driver = WidgetActionDriver::new(self.services.clone(), call);
        let request = RunRequest { permit, user_id, key, context, make_driver: Box::new(move |_| Box::new(driver)) };
        Ok(self.engine.resume(request, thread_id, input).await?)
    }

    /// Executes an action without a run, and waits for its end. Returns the widget that was used, if it looks different
    /// now.
    pub(crate) async fn execute(
        &self,
        request: InputRequest,
        thread_id: ThreadId,
        widget_id: Option<ItemId>,
        action: Action,
    ) -> Result<Option<WidgetItem>, Error> {
        let InputRequest { user_id, context, .. } = request;
        let permit = self.engine.start_permit()?;
        let WidgetCall { call, widget_id, agent } = self.resolve(user_id, thread_id, widget_id, &action).await?;
        let (store, engine) = (self.store.clone(), self.engine.clone());
        // Detached: a call that has started ends, and the widget shows its result, also after a disconnect.
        let work = async move {
            let tool_context = ToolContext {
                user_id,
                thread_id,
                run_id: None,
                request_id: &context.request_id,
                client_hints: context.hints.as_deref(),
                // There is no run that could emit progress.
                progress: &ProgressReporter::default(),
            };
            let result = agent.tools.execute(tool_context, &call, Permission::OfUser).await;
            if let Some(Failure { code, message }) = result.failure {
                return Err(Error::new(code, message));
            }
            let Some(item_id) = widget_id else { return Ok(None) };
            let update = |item: &mut WidgetItem| agent.tools.update_widget(&call, &result, item);
            let updated = update_stored_widget(&store, user_id, thread_id, item_id, update).await?;
            if updated.is_some() {
                engine.item_changed(thread_id, item_id);
            }
            Ok(updated.map(|updated| updated.item))
        };
        Box::pin(self.engine.run_detached(permit, work)).await?
    }

    /// Checks an action, and returns the tool call that it asks for.
    async fn resolve(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        widget_id: Option<ItemId>,
        action: &Action,
    ) -> Result<WidgetCall, Error> {
        let thread = self.store.thread_open(user_id, thread_id).await?;
        if let Some(id) = widget_id {
            widget_of(&self.store.item_get(user_id, thread_id, id).await?)?;
        }
        let agent = self.agents.current().action_agent(&thread);
        check_allowed(&self.store, &self.agents, user_id, &agent).await?;
        Ok(WidgetCall { call: agent.tools.call_for_action(action)?, widget_id, agent })
    }
}
