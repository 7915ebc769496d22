//! Starts runs: the input and the run are stored in one transaction, then the run is executed.

use super::execute::{RunTask, spawn_run};
use crate::driver::{MakeDriver, StoredRun};
use crate::error::EngineError;
use crate::hub::{RunGuard, RunHandle};
use crate::shared::Shared;
use crate::wire;
use std::sync::Arc;
use threadline_schema::call::RequestContext;
use threadline_schema::chatkit::{StreamOptions, ThreadItem};
use threadline_schema::error::Chain;
use threadline_schema::event::{Event, ThreadStreamEvent};
use threadline_schema::ids::{AttachmentId, RunId, ThreadId, UserId};
use threadline_store::rows::{ItemRow, NewItem, RunRow, ThreadRow};
use threadline_store::{
    IdempotencyKey, NewMessage, NewRun, NewThread, Reservation, RunInput, RunStarted, StoreError, StoreResult,
};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Permission to start a run. While it is held, a shutdown waits: take it before the checks of a request.
pub struct StartPermit(#[expect(dead_code, reason = "held, and dropped")] pub(crate) TaskTrackerToken);

/// A request that starts a run, whatever the run starts with.
pub struct RunRequest {
    /// Taken before the checks of the request.
    pub permit: StartPermit,
    /// Who asks: the owner of the thread.
    pub user_id: UserId,
    /// The idempotency key, if the request has one.
    pub key: Option<IdempotencyKey>,
    /// What the run keeps of the request.
    pub context: RequestContext,
    /// Makes the driver once the run is stored. Not called for a replayed request.
    pub make_driver: MakeDriver,
}

/// A message of the user, checked and complete.
pub struct UserMessageInput {
    /// The item to store.
    pub item: NewItem,
    /// The same item, as clients see it.
    pub message: ThreadItem,
    /// Title for the thread, if this is its first message and its user has set none; `None` leaves it as it is.
    pub title: Option<String>,
    /// The attachments that the message takes.
    pub attachments: Vec<AttachmentId>,
    /// What the run reserves of its user's budget.
    pub reservation: Option<Reservation>,
}

/// A new thread.
pub struct NewThreadInput {
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// Title without a first message.
    pub title: String,
    /// JSON object.
    pub metadata: String,
    /// How many threads the user may have that are not archived, this one included; `None` is any number.
    pub max_threads: Option<u32>,
    /// Whether it is listed nowhere, and deleted some hours after its last use.
    pub temporary: bool,
    /// The first message.
    pub message: Option<UserMessageInput>,
}

/// Input that starts a run without a new message.
pub struct ResumeInput {
    /// What the run starts with.
    pub input: RunInput,
    /// The item that changes with the start, as clients see it.
    pub replaced: Option<ThreadItem>,
    /// What the run reserves of its user's budget.
    pub reservation: Option<Reservation>,
}

/// What a request has started, or what the same request started earlier.
pub struct StartedRun {
    /// The thread.
    pub thread: ThreadRow,
    /// The run; `None` for a thread without a first message.
    pub run: Option<RunRow>,
    /// Whether an earlier request with the same idempotency key started it.
    pub is_replayed: bool,
}

impl StartedRun {
    fn replayed(shared: &Shared, earlier: RunStarted) -> Self {
        shared.hub.grant_free_subscribe(earlier.run.id);
        Self { thread: earlier.thread, run: Some(earlier.run), is_replayed: true }
    }
}

/// Returns what an earlier request with this idempotency key has started.
pub(crate) async fn find_replay(
    shared: &Shared,
    user_id: UserId,
    key: Option<&IdempotencyKey>,
) -> StoreResult<Option<StartedRun>> {
    let Some(key) = key else { return Ok(None) };
    let earlier = shared.store.find_replay(user_id, key.clone()).await?;
    Ok(earlier.map(|earlier| StartedRun::replayed(shared, earlier)))
}

/// Returns a run of this user as an earlier request has started it, if `is_same` says so of the run and its items. The
/// message that has started it is one of them, also if another run answers it now.
pub(crate) async fn find_started(
    shared: &Shared,
    user_id: UserId,
    run_id: RunId,
    is_same: impl FnOnce(&RunRow, &[ItemRow]) -> bool + Send,
) -> StoreResult<Option<StartedRun>> {
    fn if_there<T>(found: StoreResult<T>) -> StoreResult<Option<T>> {
        match found {
            Ok(row) => Ok(Some(row)),
            Err(StoreError::NotFound(_) | StoreError::Forbidden(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }
    let Some(run) = if_there(shared.store.run_get(user_id, run_id).await)? else { return Ok(None) };
    let mut items = shared.store.run_items(run_id).await?;
    if run.retry_of.is_none() && !items.iter().any(|item| item.position == run.position) {
        // A retry gives the message to the run that answers it again. It stays where the first run began.
        let message = shared.store.message_before(run.thread_id, run.position.saturating_add(1)).await?;
        items.extend(message.filter(|message| message.position == run.position));
    }
    if !is_same(&run, &items) {
        return Ok(None);
    }
    let thread = if_there(shared.store.thread_get(user_id, run.thread_id).await)?;
    let Some(thread) = thread else { return Ok(None) };
    Ok(Some(StartedRun::replayed(shared, RunStarted { thread, is_first_message: false, run, replayed: true })))
}

/// Stores a message and starts the run that answers it.
pub(crate) async fn start_with_message(
    shared: &Arc<Shared>,
    request: RunRequest,
    thread_id: ThreadId,
    input: UserMessageInput,
) -> Result<StartedRun, EngineError> {
    let task_shared = shared.clone();
    let work = async move {
        let shared = task_shared;
        let RunRequest { permit, user_id, key, context, make_driver } = request;
        let has_title = input.title.is_some();
        let (stored, run, message) = new_message_run(&shared, input, &context);
        let guard = shared.hub.register(run.id, user_id, thread_id);
        let started = match shared.store.run_start(user_id, thread_id, RunInput::Message(stored), run, key).await {
            Ok(started) if !started.replayed => started,
            refused_or_replayed => {
                guard.discard();
                return Ok(StartedRun::replayed(&shared, refused_or_replayed?));
            }
        };
        let title_changed = started.is_first_message && has_title;
        announce_message(guard.handle(), false, message, title_changed, &started.thread);
        execute_stored(&shared, guard, &started.thread, &started.run, started.is_first_message, context, make_driver);
        drop(permit);
        Ok(StartedRun { thread: started.thread, run: Some(started.run), is_replayed: false })
    };
    shared.detached(work).await
}

/// Stores a thread, and starts the run that answers its first message if it has one.
pub(crate) async fn create_thread(
    shared: &Arc<Shared>,
    request: RunRequest,
    input: NewThreadInput,
) -> Result<StartedRun, EngineError> {
    let task_shared = shared.clone();
    let work = async move {
        let shared = task_shared;
        let RunRequest { permit, user_id, key, context, make_driver } = request;
        let (first_message, message) = match input.message {
            Some(message) => {
                let (stored, run, message) = new_message_run(&shared, message, &context);
                (Some((stored, run)), Some(message))
            }
            None => (None, None),
        };
        let guard = first_message.as_ref().map(|(_, run)| shared.hub.register(run.id, user_id, input.thread_id));
        let new = NewThread {
            id: input.thread_id,
            user_id,
            max_sessions: input.max_threads,
            title: input.title,
            metadata: input.metadata,
            temporary: input.temporary,
            created_at: shared.clock.now(),
            first_message,
            idempotency_key: key,
        };
        let created = match shared.store.thread_create(new).await {
            Ok(created) if !created.replayed => created,
            refused_or_replayed => {
                if let Some(guard) = guard {
                    guard.discard();
                }
                let earlier = refused_or_replayed?;
                if let Some(run) = &earlier.run {
                    shared.hub.grant_free_subscribe(run.id);
                }
                return Ok(StartedRun { thread: earlier.thread, run: earlier.run, is_replayed: true });
            }
        };
        if let (Some(guard), Some(run), Some(message)) = (guard, &created.run, message) {
            announce_message(guard.handle(), true, message, false, &created.thread);
            execute_stored(&shared, guard, &created.thread, run, true, context, make_driver);
        }
        drop(permit);
        Ok(StartedRun { thread: created.thread, run: created.run, is_replayed: false })
    };
    shared.detached(work).await
}

/// Starts a run without a new message.
pub(crate) async fn resume(
    shared: &Arc<Shared>,
    request: RunRequest,
    thread_id: ThreadId,
    input: ResumeInput,
) -> Result<StartedRun, EngineError> {
    let task_shared = shared.clone();
    let work = async move {
        let shared = task_shared;
        let RunRequest { permit, user_id, key, context, make_driver } = request;
        let ResumeInput { input, replaced, reservation } = input;
        let run = NewRun {
            id: shared.clock.new_id(),
            owner: shared.process_id,
            lease_expires_at: shared.lease_until(),
            created_at: shared.clock.now(),
            reservation,
            request: wire::stored_request(&context),
        };
        let guard = shared.hub.register(run.id, user_id, thread_id);
        let started = match shared.store.run_start(user_id, thread_id, input, run, key).await {
            Ok(started) if !started.replayed => started,
            refused_or_replayed => {
                guard.discard();
                return Ok(StartedRun::replayed(&shared, refused_or_replayed?));
            }
        };
        let replaced = replaced.map(|item| ThreadStreamEvent::ItemReplaced { item: Box::new(item) });
        announce(guard.handle(), [stream_options()].into_iter().chain(replaced));
        execute_stored(&shared, guard, &started.thread, &started.run, false, context, make_driver);
        drop(permit);
        Ok(StartedRun { thread: started.thread, run: Some(started.run), is_replayed: false })
    };
    shared.detached(work).await
}

/// Makes the driver of a run that has just been stored, and starts its execution. The first events are in the log.
fn execute_stored(
    shared: &Arc<Shared>,
    guard: RunGuard,
    thread: &ThreadRow,
    run: &RunRow,
    is_first_message: bool,
    request: RequestContext,
    make_driver: MakeDriver,
) {
    let driver = make_driver(StoredRun { thread, run, is_first_message, handle: guard.handle() });
    spawn_run(shared, RunTask::new(guard, run, request, driver));
}

/// Returns the message to store, the run that answers it, and the message as clients see it.
fn new_message_run(
    shared: &Shared,
    input: UserMessageInput,
    context: &RequestContext,
) -> (NewMessage, NewRun, ThreadItem) {
    let UserMessageInput { item, message, title, attachments, reservation } = input;
    let run = NewRun {
        id: shared.clock.new_id(),
        owner: shared.process_id,
        lease_expires_at: shared.lease_until(),
        created_at: item.created_at,
        reservation,
        request: wire::stored_request(context),
    };
    (NewMessage { item, title, attachments }, run, message)
}

/// Emits the events that the answer to a message starts with: the message, and the thread where it is new or has
/// another title.
fn announce_message(
    handle: &RunHandle,
    is_new_thread: bool,
    message: ThreadItem,
    title_changed: bool,
    thread: &ThreadRow,
) {
    let thread = match wire::thread(thread) {
        Ok(thread) => Some(Box::new(thread)),
        Err(error) => {
            tracing::error!(error = %Chain(&error), "stored thread cannot be read");
            None
        }
    };
    let created = thread.clone().filter(|_| is_new_thread).map(|thread| ThreadStreamEvent::ThreadCreated { thread });
    let done = ThreadStreamEvent::ItemDone { item: Box::new(message) };
    let updated = thread.filter(|_| title_changed).map(|thread| ThreadStreamEvent::ThreadUpdated { thread });
    announce(handle, created.into_iter().chain([done, stream_options()]).chain(updated));
}

/// What the client may do with a run's stream.
fn stream_options() -> ThreadStreamEvent {
    ThreadStreamEvent::StreamOptions { stream_options: StreamOptions { allow_cancel: true } }
}

/// Emits the first events of a run. The run is stored, so an event that cannot be serialised must not keep it from
/// being executed.
fn announce(handle: &RunHandle, events: impl IntoIterator<Item = ThreadStreamEvent>) {
    for event in events {
        match Event::new(&event) {
            Ok(event) => handle.append(event),
            Err(error) => tracing::error!(%error, "event cannot be serialised"),
        }
    }
}
