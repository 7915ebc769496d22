//! Actions of widgets, that a user triggers.

use super::idempotency::idempotency_key;
use crate::agent::{WidgetActionDriver, WidgetCall, update_stored_widget, widget_of};
use crate::core::Core;
use crate::error::Error;
use std::sync::Arc;
use threadline_engine::{ResumeInput, StartedRun};
use threadline_schema::call::RequestContext;
use threadline_schema::chatkit::{Action, WidgetItem};
use threadline_schema::error::Failure;
use threadline_schema::ids::{ItemId, ThreadId, UserId};
use threadline_store::RunInput;
use threadline_tools::{ProgressReporter, ToolContext};

/// Runs an action, as a run.
pub(crate) async fn custom_action(
    core: &Arc<Core>,
    user_id: UserId,
    thread_id: ThreadId,
    widget_id: Option<ItemId>,
    action: Action,
    key: Option<String>,
    request: RequestContext,
) -> Result<StartedRun, Error> {
    let key = idempotency_key(key, "threads.custom_action", Some(thread_id.0), &(widget_id, &action))?;
    if let Some(replayed) = core.engine.find_replay(user_id, key.as_ref()).await? {
        return Ok(replayed);
    }
    let call = resolve_action(core, user_id, thread_id, widget_id, &action).await?;
    let permit = core.engine.start_permit()?;
    // No model is asked, so there is nothing to reserve.
    let input = ResumeInput { input: RunInput::Action, replaced: None, reservation: None };
    let services = core.agent_services.clone();
    let make_driver = move |_: threadline_engine::StoredRun<'_>| -> Box<dyn threadline_engine::RunDriver> {
        Box::new(WidgetActionDriver::new(services, call))
    };
    Ok(core.engine.resume(permit, user_id, thread_id, input, key, request, make_driver).await?)
}

/// Runs an action at once, without a run. Returns the widget that was used, if it looks different now.
pub(crate) async fn sync_custom_action(
    core: &Arc<Core>,
    user_id: UserId,
    thread_id: ThreadId,
    widget_id: Option<ItemId>,
    action: Action,
    request: RequestContext,
) -> Result<Option<WidgetItem>, Error> {
    let permit = core.engine.start_permit()?;
    let WidgetCall { call, widget_id, agent } = resolve_action(core, user_id, thread_id, widget_id, &action).await?;
    let task_core = core.clone();
    // Detached: a call that has started ends, and the widget shows its result, also after a disconnect.
    let work = async move {
        let core = task_core;
        let context = ToolContext {
            user_id,
            thread_id,
            run_id: None,
            request_id: &request.request_id,
            client_hints: request.hints.as_deref(),
            // There is no run that could emit progress.
            progress: &ProgressReporter::default(),
        };
        let result = agent.tools.execute(context, &call).await;
        if let Some(Failure { code, message }) = result.failure {
            return Err(Error::new(code, message));
        }
        let Some(item_id) = widget_id else { return Ok(None) };
        let update = |item: &mut WidgetItem| agent.tools.update_widget(&call, &result, item);
        let updated = update_stored_widget(&core.store, user_id, thread_id, item_id, update).await?;
        if updated.is_some() {
            core.engine.item_changed(thread_id, item_id);
        }
        Ok(updated.map(|updated| updated.item))
    };
    Box::pin(core.engine.run_detached(permit, work)).await?
}

/// Checks an action, and returns the tool call that it asks for.
async fn resolve_action(
    core: &Core,
    user_id: UserId,
    thread_id: ThreadId,
    widget_id: Option<ItemId>,
    action: &Action,
) -> Result<WidgetCall, Error> {
    let thread = core.store.thread_get(user_id, thread_id).await?;
    if let Some(id) = widget_id {
        widget_of(&core.store.item_get(user_id, thread_id, id).await?)?;
    }
    let agent = core.agents.current().action_agent(&thread);
    Ok(WidgetCall { call: agent.tools.call_for_action(action)?, widget_id, agent })
}
