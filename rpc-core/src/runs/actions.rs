//! Actions: what a user does by using a widget.

use super::changes::item_changed;
use super::resume::{Resumption, resume};
use super::runner::Work;
use super::start::{Started, detached, refuse_while_stopping};
use super::submission::{earlier, submission};
use crate::agents::Answerer;
use crate::core::Core;
use crate::error::Error;
use crate::model::ToolCall;
use crate::store::rows::ItemRow;
use crate::store::{Conflict, Opening, Rewrite, Store, StoreError};
use crate::tools::{ProgressReporter, ToolContext};
use std::sync::Arc;
use threadline_schema::call::RequestContext;
use threadline_schema::chatkit::widget::updates;
use threadline_schema::chatkit::{Action, InferenceOptions, ItemUpdate, ThreadItem, WidgetItem};
use threadline_schema::error::Failure;
use uuid::Uuid;

/// How often a widget is tried to be changed that others change at the same time.
const TRIES: u32 = 10;

/// An action that is to be carried out.
pub(crate) struct Acting {
    /// What it asks for.
    pub(crate) call: ToolCall,
    /// The widget that was used.
    pub(crate) sender: Option<Uuid>,
    /// Who makes the call, as it stood when the action came.
    pub(super) actor: Answerer,
}

/// A widget that looks another now.
pub(crate) struct Redrawn {
    pub(crate) item: WidgetItem,
    /// What is new in it.
    pub(crate) updates: Vec<ItemUpdate>,
}

/// Carries an action out in a run.
pub(crate) async fn custom_action(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    sender: Option<Uuid>,
    action: Action,
    key: Option<String>,
    origin: RequestContext,
) -> Result<Started, Error> {
    let submission = submission(key, "threads.custom_action", Some(thread_id), &(sender, &action))?;
    if let Some(earlier) = earlier(core, user_id, submission.as_ref()).await? {
        return Ok(earlier);
    }
    let acting = check(core, user_id, thread_id, sender, &action).await?;
    let resumption = Resumption { thread_id, submission, origin, asked: InferenceOptions::default() };
    resume(core, user_id, Opening::Action, Work::Act(acting), None, resumption).await
}

/// Carries an action out at once. Gives the widget that was used, if it looks another now.
pub(crate) async fn sync_custom_action(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    sender: Option<Uuid>,
    action: Action,
    origin: RequestContext,
) -> Result<Option<WidgetItem>, Error> {
    let beginning = core.hub.tasks.token();
    refuse_while_stopping(core)?;
    let Acting { call, sender, actor } = check(core, user_id, thread_id, sender, &action).await?;
    let core = core.clone();
    // What has begun is done and shown, whether or not somebody waits for it.
    detached(async move {
        let _beginning = beginning;
        let (request_id, client_hints) = (&*origin.request_id, origin.hints.as_deref());
        // There is no run whose events could tell it.
        let progress = &ProgressReporter::default();
        let for_whom = ToolContext { user_id, thread_id, run_id: None, request_id, client_hints, progress };
        let done = actor.tools.execute(for_whom, &call).await;
        if let Some(Failure { code, message }) = done.failure {
            return Err(Error::new(code, message));
        }
        let Some(item_id) = sender else { return Ok(None) };
        let draw = |item: &mut WidgetItem| actor.tools.update_widget(&call, &done, item);
        let redrawn = redraw(&core.store, user_id, thread_id, item_id, draw).await?;
        if redrawn.is_some() {
            item_changed(&core, thread_id, item_id);
        }
        Ok(redrawn.map(|redrawn| redrawn.item))
    })
    .await
}

/// Has a stored widget show what an action has done. Gives the widget, if it looks another now. It is no run's to write:
/// what it shows has happened, whoever owns which run.
pub(crate) async fn redraw(
    store: &Store,
    user_id: Uuid,
    thread_id: Uuid,
    item_id: Uuid,
    draw: impl Fn(&mut WidgetItem),
) -> Result<Option<Redrawn>, Error> {
    for _ in 0..TRIES {
        let row = store.item_get(user_id.into(), thread_id.into(), item_id.into()).await.map_err(Error::of_thread)?;
        let before = widget(&row)?;
        let mut item = before.clone();
        draw(&mut item);
        if item == before {
            return Ok(None);
        }
        let new = serde_json::to_string(&ThreadItem::Widget(item.clone()))?;
        match store.item_rewrite(thread_id.into(), Rewrite { id: row.id, old: row.body, new }).await {
            Ok(()) => return Ok(Some(Redrawn { updates: updates(&before.widget, &item.widget), item })),
            // Somebody else has used it at the same time.
            Err(StoreError::Conflict(Conflict::AnsweredAlready)) => {}
            Err(error) => return Err(Error::of_thread(error)),
        }
    }
    Err(Error::internal("a widget was changed by others all the time"))
}

async fn check(
    core: &Core,
    user_id: Uuid,
    thread_id: Uuid,
    sender: Option<Uuid>,
    action: &Action,
) -> Result<Acting, Error> {
    let thread = core.store.thread_get(user_id.into(), thread_id.into()).await.map_err(Error::of_thread)?;
    if let Some(id) = sender {
        let row = core.store.item_get(user_id.into(), thread_id.into(), id.into()).await;
        widget(&row.map_err(Error::of_thread)?)?;
    }
    let actor = core.agents.roster().actor(&thread);
    Ok(Acting { call: actor.tools.call_for_action(action)?, sender, actor })
}

fn widget(row: &ItemRow) -> Result<WidgetItem, Error> {
    match serde_json::from_str(&row.body)? {
        ThreadItem::Widget(item) => Ok(item),
        _ => Err(Error::invalid("`item_id` must name a widget.")),
    }
}
