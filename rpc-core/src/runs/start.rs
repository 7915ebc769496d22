//! A message comes in: it is checked, stored together with its run, and then answered.

use super::hub::Entry;
use super::message::{check_message, title_of};
use super::runner::{self, Job, Work};
use super::submission::{earlier, submission};
use super::titles;
use crate::agents::Answerer;
use crate::attachments;
use crate::config::StarterTitle;
use crate::core::Core;
use crate::error::Error;
use crate::store::StoreError;
use crate::store::rows::{AttachmentRow, NewItem, RunRow, ThreadRow};
use crate::store::{Hold, NewThread, NewTurn, TurnStarted};
use crate::wire;
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::call::RequestContext;
use threadline_schema::chatkit::{
    Extra, InferenceOptions, StreamOptions, ThreadItem, ThreadStreamEvent, UserMessage, UserMessageInput,
};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::ItemId;
use uuid::Uuid;

/// A thread's title until somebody says something.
pub(crate) const NEW_TITLE: &str = "New Chat";

/// What a submission made, or had made before.
pub(crate) struct Started {
    pub(crate) thread: ThreadRow,
    pub(crate) run: Option<RunRow>,
    /// Whether an earlier submission with the same key made it.
    pub(crate) replayed: bool,
}

impl Started {
    /// What an earlier submission of the same name started.
    pub(super) fn again(core: &Core, earlier: TurnStarted) -> Self {
        core.hub.give_first_look(earlier.run.id.0);
        Self { thread: earlier.thread, run: Some(earlier.run), replayed: true }
    }
}

/// Stores a message and starts the run that answers it.
pub(crate) async fn add_user_message(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    input: UserMessageInput,
    key: Option<String>,
    origin: RequestContext,
) -> Result<Started, Error> {
    // Taken before the question whether the service is stopping, and held until the run has begun: whoever waits for the
    // runs to end waits for this one too.
    let beginning = core.hub.tasks.token();
    refuse_while_stopping(core)?;
    check_message(core, &input)?;
    let submission = submission(key, "threads.add_user_message", Some(thread_id), &input)?;
    let answerer = match as_asked(core, user_id, thread_id, &input.inference_options).await {
        Ok(answerer) => answerer,
        // What is allowed may have changed since an earlier submission of the same name.
        Err(error) => return earlier(core, user_id, submission.as_ref()).await?.ok_or(error),
    };
    let hold = core.hold(answerer.as_ref())?;
    let attached = attachments::of_message(core, user_id, &input).await?;
    let starter = answerer.as_ref().map_or(StarterTitle::Message, |answerer| answerer.agent.starter_title);
    let (turn, message) = turn(core, thread_id, input, &attached, starter, hold)?;
    let core = core.clone();
    detached(async move {
        let _beginning = beginning;
        let run_id = turn.run_id.0;
        let entry = core.hub.begin(run_id, user_id, thread_id);
        let stored = core.store.turn_start(user_id.into(), thread_id.into(), turn, submission).await;
        let started = match stored {
            Ok(started) if !started.replayed => started,
            other => {
                core.hub.discard(&entry);
                return Ok(Started::again(&core, other.map_err(|error| turn_error(&core, error))?));
            }
        };
        let words = started.opens.then(|| titles::words(&message));
        let is_titled = started.opens && starter == StarterTitle::Message;
        announce(&entry, &told(false, message, is_titled, &started.thread));
        let answerer = answerer.unwrap_or_else(|| core.agents.roster().answerer(&started.thread));
        let job = job(entry, &started.run, Work::Answer, origin, answerer);
        runner::spawn(&core, titles::beside(&core, job, &started.thread, words));
        Ok(Started { thread: started.thread, run: Some(started.run), replayed: false })
    })
    .await
}

/// Stores a new thread, with or without a first message; with one its run starts.
pub(crate) async fn create_thread(
    core: &Arc<Core>,
    user_id: Uuid,
    input: Option<UserMessageInput>,
    agent: Option<String>,
    key: Option<String>,
    origin: RequestContext,
) -> Result<Started, Error> {
    let beginning = core.hub.tasks.token();
    let roster = core.agents.roster();
    let metadata = roster.metadata(agent.as_deref())?;
    let options = input.as_ref().map(|input| input.inference_options.clone()).unwrap_or_default();
    let answerer = roster.answerer_as_asked(&metadata, &options)?;
    if let Some(input) = &input {
        refuse_while_stopping(core)?;
        check_message(core, input)?;
    }
    let submission = submission(key, "threads.create", None, &(&input, &agent))?;
    let thread_id = Uuid::now_v7();
    let (turn, message) = match input {
        Some(input) => {
            let hold = core.hold(Some(&answerer))?;
            let attached = attachments::of_message(core, user_id, &input).await?;
            let starter = answerer.agent.starter_title;
            turn(core, thread_id, input, &attached, starter, hold).map(|(turn, message)| (Some(turn), Some(message)))?
        }
        None => (None, None),
    };
    let core = core.clone();
    detached(async move {
        let _beginning = beginning;
        let entry = turn.as_ref().map(|turn| core.hub.begin(turn.run_id.0, user_id, thread_id));
        let new = NewThread {
            id: thread_id.into(),
            user_id: user_id.into(),
            max_sessions: core.config.limits.sessions_per_user,
            title: NEW_TITLE.to_owned(),
            metadata,
            created_at: UtcTime::now(),
            turn,
            submission,
        };
        let stored = core.store.thread_create(new).await;
        let created = match stored {
            Ok(created) if !created.replayed => created,
            other => {
                if let Some(entry) = &entry {
                    core.hub.discard(entry);
                }
                let replay = other.map_err(|error| session_error(&core, error))?;
                if let Some(run) = &replay.run {
                    core.hub.give_first_look(run.id.0);
                }
                return Ok(Started { thread: replay.thread, run: replay.run, replayed: true });
            }
        };
        if let (Some(entry), Some(run), Some(message)) = (entry, &created.run, message) {
            let words = titles::words(&message);
            announce(&entry, &told(true, message, false, &created.thread));
            let job = job(entry, run, Work::Answer, origin, answerer);
            runner::spawn(&core, titles::beside(&core, job, &created.thread, Some(words)));
        }
        Ok(Started { thread: created.thread, run: created.run, replayed: false })
    })
    .await
}

/// Who answers, where that has to be known before the message is stored: it asks for something, its answer has to be paid
/// for, or its agent may not want it as a title. `None` where it may be found out after that.
async fn as_asked(
    core: &Core,
    user_id: Uuid,
    thread_id: Uuid,
    options: &InferenceOptions,
) -> Result<Option<Answerer>, Error> {
    let roster = core.agents.roster();
    let is_needed = roster.heeds(options) || roster.leaves_untitled() || core.config.budget.cost_micros.is_some();
    if !is_needed {
        return Ok(None);
    }
    let thread = core.store.thread_get(user_id.into(), thread_id.into()).await.map_err(Error::of_thread)?;
    roster.answerer_as_asked(&thread.metadata, options).map(Some)
}

pub(super) fn job(entry: Arc<Entry>, run: &RunRow, work: Work, origin: RequestContext, answerer: Answerer) -> Job {
    let held = (run.held_tokens, run.held_micros);
    let (claim, retry_of, created_at) = (run.claim(), run.retry_of, run.created_at.utc());
    Job { entry, claim, retry_of, work, created_at, held, origin, answerer, titling: None }
}

/// The events with which the answer to a message begins: the message, and the thread where it is new or has another title.
fn told(thread_is_new: bool, message: ThreadItem, title_changed: bool, thread: &ThreadRow) -> Vec<ThreadStreamEvent> {
    let thread = match wire::thread(thread) {
        Ok(thread) => Some(Box::new(thread)),
        Err(error) => {
            tracing::error!(error = error.log_text(), "a thread could not be shown");
            None
        }
    };
    let created = thread.clone().filter(|_| thread_is_new).map(|thread| ThreadStreamEvent::ThreadCreated { thread });
    let done = ThreadStreamEvent::ItemDone { item: Box::new(message) };
    let updated = thread.filter(|_| title_changed).map(|thread| ThreadStreamEvent::ThreadUpdated { thread });
    created.into_iter().chain([done, options()]).chain(updated).collect()
}

/// What the client may do with a run's stream.
pub(super) fn options() -> ThreadStreamEvent {
    ThreadStreamEvent::StreamOptions { stream_options: StreamOptions { allow_cancel: true } }
}

/// The events with which a run's log begins. The run is stored, so nothing here may keep it from being answered.
pub(super) fn announce(entry: &Entry, events: &[ThreadStreamEvent]) {
    for event in events {
        match serde_json::to_string(event) {
            Ok(event) => {
                entry.log.append(event);
            }
            Err(error) => tracing::error!(%error, "an event could not be written"),
        }
    }
}

/// Runs to its end even if the caller goes away: between a stored message and its running answer there must be no gap
/// to fall into.
pub(super) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work).await.map_err(Error::internal)?
}

fn turn(
    core: &Core,
    thread_id: Uuid,
    input: UserMessageInput,
    attached: &[AttachmentRow],
    starter: StarterTitle,
    hold: Option<Hold>,
) -> Result<(NewTurn, ThreadItem), Error> {
    // By the clock that all replicas share: the day of the budget is the day of the run.
    let created_at = core.clock.now();
    let item_id = ItemId(Uuid::now_v7());
    let title = (starter == StarterTitle::Message).then(|| title_of(&input, attached));
    let message = ThreadItem::UserMessage(UserMessage {
        id: item_id.0,
        thread_id,
        created_at: created_at.utc(),
        content: input.content,
        attachments: attachments::in_thread(core, attached, thread_id)?,
        quoted_text: input.quoted_text,
        inference_options: input.inference_options,
        extra: Extra::new(),
    });
    let turn = NewTurn {
        message: NewItem {
            id: item_id,
            kind: wire::USER_MESSAGE.to_owned(),
            hidden: false,
            body: serde_json::to_string(&message)?,
            created_at,
        },
        title,
        run_id: Uuid::now_v7().into(),
        owner: core.id,
        lease_expires_at: core.lease_until(),
        hold,
        attachments: attached.iter().map(|row| row.id).collect(),
    };
    Ok((turn, message))
}

pub(super) fn refuse_while_stopping(core: &Core) -> Result<(), Error> {
    if core.hub.is_stopping() { Err(Error::stopping()) } else { Ok(()) }
}

pub(super) fn turn_error(core: &Core, error: StoreError) -> Error {
    match error {
        StoreError::Budget => core.over_budget(),
        other => Error::of_thread(other),
    }
}

fn session_error(core: &Core, error: StoreError) -> Error {
    match error {
        StoreError::Limit => {
            let limit = core.config.limits.sessions_per_user.unwrap_or_default();
            let message = format!("Maximum {limit} sessions allowed. Please delete an old session.");
            Error::new(ErrorCode::SessionLimit, message)
        }
        StoreError::Budget => core.over_budget(),
        // The token was good a moment ago, and the account is gone.
        StoreError::NotFound => Error::unauthorized(),
        other => Error::from(other),
    }
}
