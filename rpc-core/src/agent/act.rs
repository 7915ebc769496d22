//! An action of the user's, carried out by a tool: no model is asked.

use super::{AgentError, Context, in_thread, work};
use crate::core::Core;
use crate::model::ToolCall;
use crate::runs::{Acting, Output, show_done};
use threadline_schema::chatkit::{ItemUpdate, NoticeLevel, ThreadItem, ThreadStreamEvent};
use uuid::Uuid;

/// Carries an action out, as the model would have it done: stored before it acts, and shown as an entry of a workflow.
/// The widget that was used then shows that it was done.
pub(crate) async fn act(core: &Core, context: &Context, acting: Acting, output: &mut Output) -> Result<(), AgentError> {
    let (name, arguments) = acting.action.tool();
    let id = format!("action_{}", Uuid::new_v4().simple());
    let calls = [ToolCall { id, name: name.to_owned(), arguments: arguments.to_string() }];
    output.calls_asked(0, &calls, None);
    output.store(&core.store, context.claim).await.map_err(in_thread)?;
    let results = work(core, context, &calls, None, output).await?;
    let result: serde_json::Value =
        results.first().and_then(|result| serde_json::from_str(result).ok()).unwrap_or_default();
    if let Some(error) = result.get("error") {
        let message = error.as_str().unwrap_or("It could not be done.").to_owned();
        output.emit(&ThreadStreamEvent::Notice { level: NoticeLevel::Warning, message, title: None });
        return Ok(());
    }
    let Some(item_id) = acting.sender else { return Ok(()) };
    let thread_id = context.claim.thread_id.0;
    let shown = show_done(&core.store, context.user_id, thread_id, item_id, acting.action).await;
    if let Some(item) = shown.map_err(AgentError::Service)? {
        let update = ItemUpdate::WidgetRootUpdated { widget: Box::new(item.widget.clone()) };
        output.emit(&ThreadStreamEvent::ItemUpdated { item_id, update });
        output.emit(&ThreadStreamEvent::ItemReplaced { item: Box::new(ThreadItem::Widget(item)) });
    }
    Ok(())
}
