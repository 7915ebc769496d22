//! An action of the user's, carried out by a tool: no model is asked.

use super::{AgentError, Context, in_thread, work};
use crate::core::Core;
use crate::runs::{Acting, Output, Redrawn, redraw};
use std::slice;
use threadline_schema::chatkit::{NoticeLevel, ThreadItem, ThreadStreamEvent, WidgetItem};
use threadline_schema::error::Failure;

/// Carries an action out, as the model would have it done: stored before it acts, and shown as an entry of a workflow.
/// The widget that was used then shows what was done.
pub(crate) async fn act(
    core: &Core,
    context: &Context,
    acting: &Acting,
    output: &mut Output,
) -> Result<(), AgentError> {
    let calls = slice::from_ref(&acting.call);
    output.calls_asked(0, calls, None);
    output.store(&core.store, context.claim).await.map_err(in_thread)?;
    let Some(done) = work(core, context, calls, None, output).await?.into_iter().flatten().next() else {
        return Ok(());
    };
    if let Some(Failure { message, .. }) = done.failure {
        output.emit(&ThreadStreamEvent::Notice { level: NoticeLevel::Warning, message, title: None });
        return Ok(());
    }
    // Without a widget that was used, the one in the result is an item of its own.
    let Some(item_id) = acting.sender else { return Ok(()) };
    let _ = output.take_shown();
    let (user_id, thread_id) = (context.user_id, context.claim.thread_id.0);
    let draw = |item: &mut WidgetItem| context.answerer.tools.update_widget(&acting.call, &done, item);
    let changed = redraw(&core.store, user_id, thread_id, item_id, draw).await;
    if let Some(Redrawn { item, updates }) = changed.map_err(AgentError::Service)? {
        for update in updates {
            output.emit(&ThreadStreamEvent::ItemUpdated { item_id, update });
        }
        output.emit(&ThreadStreamEvent::ItemReplaced { item: Box::new(ThreadItem::Widget(item)) });
    }
    Ok(())
}
