//! Runs the action of a widget: one tool call, without a model.

use super::answer::requested_call;
use super::execute_calls::execute_calls;
use super::registry::ResolvedAgent;
use super::{AgentError, AgentServices};
use crate::error::Error;
use crate::model::ToolCall;
use crate::store::rows::ItemRow;
use crate::store::{Conflict, ItemRewrite, Store, StoreError};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::slice;
use std::sync::Arc;
use threadline_engine::{DriverError, RunContext, RunDriver, RunWriter};
use threadline_schema::chatkit::{ItemUpdate, NoticeLevel, ThreadItem, WidgetItem};
use threadline_schema::error::Failure;
use threadline_schema::event::ThreadStreamEvent;
use threadline_schema::ids::{ItemId, ThreadId, UserId};
use threadline_tools::{Permission, widgets};

/// How often a widget is changed again after other requests have changed it at the same time.
const TRIES: u32 = 10;

/// The tool call of an action.
pub(crate) struct WidgetCall {
    /// What the action asks for.
    pub(crate) call: ToolCall,
    /// The widget that was used.
    pub(crate) widget_id: Option<ItemId>,
    /// Whose tools run the call, as they were when the action came.
    pub(crate) agent: ResolvedAgent,
}

/// A stored widget after a change.
pub(crate) struct UpdatedWidget {
    pub(crate) item: WidgetItem,
    /// What has changed in it.
    pub(crate) updates: Vec<ItemUpdate>,
}

/// Runs the action of a widget like a tool call of the model: it is stored before it runs, and shown as an entry of a
/// workflow. The widget that was used then shows the result.
pub(crate) struct WidgetActionDriver {
    services: Arc<AgentServices>,
    action: WidgetCall,
}

impl WidgetActionDriver {
    pub(crate) fn new(services: Arc<AgentServices>, action: WidgetCall) -> Self {
        Self { services, action }
    }

    async fn run_action(&self, run: &RunContext, writer: &mut RunWriter) -> Result<(), DriverError> {
        let store = &self.services.store;
        let WidgetCall { call, widget_id, agent } = &self.action;
        writer.begin_calls(0, &[requested_call(call, &agent.tools)], None);
        writer.store_items(store, run.token).await.map_err(AgentError::from)?;
        let results = execute_calls(store, agent, run, slice::from_ref(call), None, Permission::OfUser, writer).await?;
        let Some(result) = results.into_iter().flatten().next() else { return Ok(()) };
        if let Some(Failure { message, .. }) = result.failure {
            writer.emit(&ThreadStreamEvent::Notice {
                level: NoticeLevel::Warning,
                message,
                title: None,
                finish_reason: None,
            });
            return Ok(());
        }
        // Without a widget that was used, the widget in the result becomes an item of its own.
        let Some(item_id) = *widget_id else { return Ok(()) };
        let _ = writer.take_widgets();
        let update = |item: &mut WidgetItem| agent.tools.update_widget(call, &result, item);
        let updated = update_stored_widget(store, run.user_id, run.token.thread_id, item_id, update).await;
        let updated = updated.map_err(|error| DriverError {
            failure: Failure { code: error.public().code, message: error.public().message.clone() },
            source: error.into(),
        })?;
        if let Some(UpdatedWidget { item, updates }) = updated {
            for update in updates {
                writer.emit(&ThreadStreamEvent::ItemUpdated { item_id, update });
            }
            writer.emit(&ThreadStreamEvent::ItemReplaced { item: Box::new(ThreadItem::Widget(item)) });
        }
        Ok(())
    }
}

impl RunDriver for WidgetActionDriver {
    fn agent(&self) -> &str {
        &self.action.agent.agent.name
    }

    fn drive<'a>(
        &'a mut self,
        run: &'a RunContext,
        writer: &'a mut RunWriter,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        self.run_action(run, writer).boxed()
    }
}

/// Changes a stored widget to show the result of an action. Returns `None` if it looks the same. The write carries no
/// fencing token: the action has taken effect, also if its run has lost its owner.
pub(crate) async fn update_stored_widget(
    store: &Store,
    user_id: UserId,
    thread_id: ThreadId,
    item_id: ItemId,
    update: impl Fn(&mut WidgetItem),
) -> Result<Option<UpdatedWidget>, Error> {
    for _ in 0..TRIES {
        let row = store.item_get(user_id, thread_id, item_id).await?;
        let before = widget_of(&row)?;
        let mut item = before.clone();
        update(&mut item);
        if item == before {
            return Ok(None);
        }
        let new = serde_json::to_string(&ThreadItem::Widget(item.clone()))?;
        match store.item_rewrite(thread_id, ItemRewrite { id: row.id, old: row.body, new }).await {
            Ok(()) => return Ok(Some(UpdatedWidget { updates: widgets::diff(&before.widget, &item.widget), item })),
            // Another request has changed it at the same time.
            Err(StoreError::Conflict(Conflict::AnsweredAlready)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::internal("other requests changed a widget all the time"))
}

/// Reads the widget of an item.
///
/// # Errors
/// `INVALID_REQUEST` if the item is not a widget.
pub(crate) fn widget_of(row: &ItemRow) -> Result<WidgetItem, Error> {
    match serde_json::from_str(&row.body)? {
        ThreadItem::Widget(item) => Ok(item),
        _ => Err(Error::invalid("`item_id` must name a widget.")),
    }
}
