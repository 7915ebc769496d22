//! `threads.*`

use crate::error::Error;
use crate::input::{InputRequest, NewThreadOptions, PendingAnswers, UserMessages, WidgetActions};
use crate::page;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use crate::rpc::reply::Success;
use crate::rpc::{Feed, OpenStreams};
use crate::store::rows::ItemRow;
use crate::store::{self, Clock, ItemPage, Store};
use crate::wire;
use std::sync::Arc;
use threadline_engine::{Engine, StartedRun};
use threadline_schema::chatkit::ThreadItem;
use threadline_schema::items::ItemKind;
use threadline_schema::page::{Order, Page};
use threadline_schema::runs::Run;
use threadline_schema::threads::{
    AddClientToolOutputParams, AddStructuredInputParams, AddUserMessageParams, CustomActionParams, Done,
    RetryAfterItemParams, SyncCustomActionParams, SyncCustomActionResponse, Thread, ThreadCreated, ThreadPage,
    ThreadRef, ThreadsAddClientToolOutput, ThreadsAddStructuredInput, ThreadsAddUserMessage, ThreadsCreate,
    ThreadsCreateParams, ThreadsCustomAction, ThreadsDelete, ThreadsGetById, ThreadsGetByIdParams, ThreadsList,
    ThreadsListParams, ThreadsRetryAfterItem, ThreadsSubscribe, ThreadsSubscribeParams, ThreadsSyncCustomAction,
    ThreadsUpdate, ThreadsUpdateParams,
};

/// Maximum number of items in a reply of `threads.get_by_id`: a whole conversation, for all but the longest.
const MAX_ITEMS: u32 = 1_000;
/// Maximum number of characters of a title that a user sets.
const TITLE_CHARS: usize = 200;

/// Handlers of `threads.*`.
pub(crate) struct ThreadMethods {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<Clock>,
    pub(crate) streams: Arc<OpenStreams>,
    pub(crate) messages: UserMessages,
    pub(crate) answers: PendingAnswers,
    pub(crate) actions: WidgetActions,
}

impl ThreadMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(ThreadsCreate, Self::create)
            .command(ThreadsGetById, Self::get_by_id)
            .command(ThreadsList, Self::list)
            .command(ThreadsUpdate, Self::update)
            .command(ThreadsDelete, Self::delete)
            .command(ThreadsAddUserMessage, Self::add_user_message)
            .command(ThreadsRetryAfterItem, Self::retry_after_item)
            .command(ThreadsAddClientToolOutput, Self::add_client_tool_output)
            .command(ThreadsAddStructuredInput, Self::add_structured_input)
            .command(ThreadsCustomAction, Self::custom_action)
            .command(ThreadsSyncCustomAction, Self::sync_custom_action)
            .subscription(ThreadsSubscribe, Self::subscribe);
    }

    async fn create(
        self: Arc<Self>,
        call: CallContext,
        params: ThreadsCreateParams,
    ) -> Result<Success<ThreadCreated>, Error> {
        let ThreadsCreateParams { input, agent, temporary, idempotency_key: key, last_event_id } = params;
        let request = InputRequest { last_event_id, ..input_request(&call, key)? };
        let agent = call.agent_for_new_thread(agent)?;
        let started = self.messages.create_thread(request, input, NewThreadOptions { agent, temporary }).await?;
        let run = started.run.as_ref().map(wire::run);
        let result = ThreadCreated { thread: wire::thread(&started.thread)?, run };
        Ok(Success { result, replayed: started.is_replayed })
    }

    async fn get_by_id(self: Arc<Self>, call: CallContext, params: ThreadsGetByIdParams) -> Result<Thread, Error> {
        let order = params.order.unwrap_or(Order::Asc);
        let query = ItemPage {
            limit: page::limit(params.limit, MAX_ITEMS)?,
            order,
            after: page::id_cursor(params.after.as_deref())?,
            hidden: params.include_tool_calls,
        };
        let (user_id, thread_id) = (call.user_id()?, params.thread_id);
        let (row, mut items, has_more) = self.store.thread_with_items(user_id, thread_id, query).await?;
        if has_more && params.include_tool_calls && order == Order::Asc {
            keep_calls_with_their_message(&mut items);
        }
        let after = items.last().filter(|_| has_more).map(|item| item.id.to_string());
        let mut tool_calls = None;
        if params.include_tool_calls {
            // The message of a call follows it in time, whatever the order of the page.
            if order == Order::Desc {
                items.reverse();
            }
            tool_calls = Some(wire::tool_calls(&items)?.unwrap_or_default());
            if order == Order::Desc {
                items.reverse();
            }
        }
        items.retain(|item| !item.hidden);
        items.iter_mut().for_each(|item| self.messages.attachments.renew_previews(item));
        let items = Page { after, ..wire::item_page(items, has_more)? };
        Ok(Thread { items, tool_calls, ..wire::thread(&row)? })
    }

    async fn list(self: Arc<Self>, call: CallContext, params: ThreadsListParams) -> Result<ThreadPage, Error> {
        let query = store::ThreadPage {
            limit: page::limit(params.limit, page::MAX)?,
            order: params.order.unwrap_or(Order::Desc),
            after: page::thread_cursor(params.after.as_deref())?,
        };
        let (rows, has_more, total) = self.store.threads_page(call.user_id()?, query).await?;
        let after = rows.last().filter(|_| has_more).map(|row| page::write_thread_cursor(row.updated_at, row.id));
        let data = rows.iter().map(wire::thread).collect::<Result<_, _>>()?;
        Ok(ThreadPage { data, has_more, after, total })
    }

    async fn update(self: Arc<Self>, call: CallContext, params: ThreadsUpdateParams) -> Result<Thread, Error> {
        let title = params.title.trim().to_owned();
        if title.is_empty() {
            return Err(Error::invalid("`title` must not be empty."));
        }
        let title = page::text("title", title, TITLE_CHARS)?;
        let (user_id, now) = (call.user_id()?, self.clock.now());
        let row = self.store.thread_rename(user_id, params.thread_id, title, now).await?;
        self.engine.thread_changed(params.thread_id);
        Ok(wire::thread(&row)?)
    }

    async fn delete(self: Arc<Self>, call: CallContext, params: ThreadRef) -> Result<Done, Error> {
        self.engine.delete_thread(call.user_id()?, params.thread_id).await?;
        Ok(Done {})
    }

    async fn add_user_message(
        self: Arc<Self>,
        call: CallContext,
        params: AddUserMessageParams,
    ) -> Result<Success<Run>, Error> {
        let AddUserMessageParams { thread_id, input, idempotency_key: key, last_event_id } = params;
        let request = InputRequest { last_event_id, ..input_request(&call, key)? };
        started_run(&self.messages.add(request, thread_id, input).await?)
    }

    async fn retry_after_item(
        self: Arc<Self>,
        call: CallContext,
        params: RetryAfterItemParams,
    ) -> Result<Success<Run>, Error> {
        let RetryAfterItemParams { thread_id, item_id, idempotency_key: key, last_event_id } = params;
        let request = InputRequest { last_event_id, ..input_request(&call, key)? };
        started_run(&self.messages.retry(request, thread_id, item_id).await?)
    }

    async fn add_client_tool_output(
        self: Arc<Self>,
        call: CallContext,
        params: AddClientToolOutputParams,
    ) -> Result<Success<Run>, Error> {
        let AddClientToolOutputParams { thread_id, result, idempotency_key: key, last_event_id } = params;
        let request = InputRequest { last_event_id, ..input_request(&call, key)? };
        started_run(&self.answers.add_client_tool_output(request, thread_id, result).await?)
    }

    async fn add_structured_input(
        self: Arc<Self>,
        call: CallContext,
        params: AddStructuredInputParams,
    ) -> Result<Success<Run>, Error> {
        let AddStructuredInputParams { thread_id, item_id, input, idempotency_key: key, last_event_id } = params;
        let request = InputRequest { last_event_id, ..input_request(&call, key)? };
        let started = self.answers.add_structured_input(request, thread_id, item_id, input).await?;
        started_run(&started)
    }

    async fn custom_action(
        self: Arc<Self>,
        call: CallContext,
        params: CustomActionParams,
    ) -> Result<Success<Run>, Error> {
        let CustomActionParams { thread_id, item_id, action, idempotency_key: key, last_event_id } = params;
        let request = InputRequest { last_event_id, ..input_request(&call, key)? };
        started_run(&self.actions.start_run(request, thread_id, item_id, action).await?)
    }

    async fn sync_custom_action(
        self: Arc<Self>,
        call: CallContext,
        params: SyncCustomActionParams,
    ) -> Result<SyncCustomActionResponse, Error> {
        let SyncCustomActionParams { thread_id, item_id, action } = params;
        let (request, widget_id) = (input_request(&call, None)?, item_id);
        let updated = self.actions.execute(request, thread_id, widget_id, action).await?;
        Ok(SyncCustomActionResponse { updated_item: updated.map(ThreadItem::Widget) })
    }

    async fn subscribe(self: Arc<Self>, call: CallContext, params: ThreadsSubscribeParams) -> Result<Feed, Error> {
        let identity = call.identity()?;
        let permit = self.streams.acquire(identity.clone()).await?;
        let has_cursor = params.after.is_some();
        let (feed, since) = self.engine.subscribe_thread(identity.user_id, params, identity.remaining()).await?;
        Ok(Feed::of_thread(feed, (!has_cursor).then_some(since), permit))
    }
}

/// Removes tool calls from the end of a page if their message is on the next one: there nothing would show that they
/// belong to it. A page of nothing but such calls stays as it is, because its successor must start after an item.
fn keep_calls_with_their_message(items: &mut Vec<ItemRow>) {
    let leads = |item: &ItemRow| [ItemKind::ToolCall, ItemKind::Workflow, ItemKind::Widget].contains(&item.kind);
    let whole = items.iter().rposition(|item| !leads(item));
    if let Some(last) = whole {
        items.truncate(last + 1);
    }
}

fn input_request(call: &CallContext, key: Option<String>) -> Result<InputRequest, Error> {
    Ok(InputRequest {
        user_id: call.user_id()?,
        key_id: call.service_key_id(),
        key,
        last_event_id: None,
        context: call.request_context(),
    })
}

/// Returns the run that a request started, or that an earlier request with the same key has started.
fn started_run(started: &StartedRun) -> Result<Success<Run>, Error> {
    let run = started.run.as_ref().map(wire::run);
    let result = run.ok_or_else(|| Error::internal("a run was started and not stored"))?;
    Ok(Success { result, replayed: started.is_replayed })
}
