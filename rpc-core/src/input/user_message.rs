//! A user message: starts a run in a thread that exists or is new, or is answered again.

use super::idempotency::idempotency_key;
use super::message_text::{check_message, title_of};
use super::repetition::{Repetition, Request};
use crate::agent::{AnswerDriver, start_title, title_words};
use crate::agents::ResolvedAgent;
use crate::config::TitlePolicy;
use crate::core::Core;
use crate::error::Error;
use crate::store::rows::{AttachmentRow, ItemRow, NewItem, ThreadRow};
use std::sync::Arc;
use threadline_engine::{
    NewThreadInput, ResumeInput, RunDriver, StartedRun, StoredRun, UserMessageInput as CheckedMessage,
};
use threadline_schema::call::RequestContext;
use threadline_schema::chatkit::{Extra, InferenceOptions, ThreadItem, UserMessage, UserMessageInput};
use threadline_schema::ids::{ItemId, ThreadId, UserId};
use threadline_schema::items::ItemKind;
use threadline_store::{IdempotencyKey, Reservation, RunInput};

/// The title of a thread until it has a first message.
pub(crate) const NEW_TITLE: &str = "New Chat";

/// Stores a message and starts the run that answers it.
pub(crate) async fn add_user_message(
    core: &Arc<Core>,
    user_id: UserId,
    thread_id: ThreadId,
    input: UserMessageInput,
    repetition: Repetition,
    request: RequestContext,
) -> Result<StartedRun, Error> {
    if let Some(run) = repetition.find_run(core, user_id, Request::Message(Some(thread_id), &input)).await? {
        return Ok(run);
    }
    let permit = core.engine.start_permit()?;
    check_message(&input, core.config.limits.message_chars)?;
    let key = idempotency_key(repetition.key, "threads.add_user_message", Some(thread_id.0), &input)?;
    let agent = match agent_if_needed(core, user_id, thread_id, &input.inference_options).await {
        Ok(agent) => agent,
        // What an agent allows may have changed since the same request was made before.
        Err(error) => return core.engine.find_replay(user_id, key.as_ref()).await?.ok_or(error),
    };
    let reservation = core.budgets.reservation(agent.as_ref())?;
    let attached = core.attachments.for_message(user_id, &input).await?;
    let policy = agent.as_ref().map_or(TitlePolicy::FromMessage, |agent| agent.agent.title_policy);
    let message = complete_message(core, thread_id, input, &attached, policy, reservation)?;
    let words = title_words(&message.message);
    let (driver_core, driver_request) = (core.clone(), request.clone());
    let make_driver = move |run: StoredRun<'_>| {
        let core = driver_core;
        let agent = agent.unwrap_or_else(|| core.agents.current().resolve(run.thread));
        let words = run.is_first_message.then_some(words);
        answer_driver(&core, agent, &run, words.as_deref(), &driver_request)
    };
    let started = core.engine.start_with_message(permit, user_id, thread_id, message, key, request, make_driver).await;
    started.map_err(|error| core.budgets.explain(error))
}

/// Stores a new thread. With a first message, starts the run that answers it.
pub(crate) async fn create_thread(
    core: &Arc<Core>,
    user_id: UserId,
    input: Option<UserMessageInput>,
    agent_name: Option<String>,
    repetition: Repetition,
    request: RequestContext,
) -> Result<StartedRun, Error> {
    if let Some(input) = &input
        && let Some(run) = repetition.find_run(core, user_id, Request::Message(None, input)).await?
    {
        return Ok(run);
    }
    let agents = core.agents.current();
    let metadata = agents.thread_metadata(agent_name.as_deref())?;
    let options = input.as_ref().map(|input| input.inference_options.clone()).unwrap_or_default();
    let agent = agents.resolve_with_options(&metadata, &options)?;
    // A thread without a message starts no run, and is made also while the process shuts down.
    let permit = match &input {
        Some(input) => {
            let permit = core.engine.start_permit()?;
            check_message(input, core.config.limits.message_chars)?;
            permit
        }
        None => core.engine.permit_without_run(),
    };
    let key = idempotency_key(repetition.key, "threads.create", None, &(&input, &agent_name))?;
    let thread_id = core.clock.new_id::<ThreadId>();
    let message = match input {
        Some(input) => {
            let reservation = core.budgets.reservation(Some(&agent))?;
            let attached = core.attachments.for_message(user_id, &input).await?;
            let policy = agent.agent.title_policy;
            Some(complete_message(core, thread_id, input, &attached, policy, reservation)?)
        }
        None => None,
    };
    let words = message.as_ref().map(|message| title_words(&message.message));
    let max_threads = core.config.limits.sessions_per_user;
    let new = NewThreadInput { thread_id, title: NEW_TITLE.to_owned(), metadata, max_threads, message };
    let (driver_core, driver_request) = (core.clone(), request.clone());
    let make_driver =
        move |run: StoredRun<'_>| answer_driver(&driver_core, agent, &run, words.as_deref(), &driver_request);
    let created = core.engine.create_thread(permit, user_id, new, key, request, make_driver).await;
    created.map_err(|error| core.budgets.explain_new_thread(error, max_threads))
}

/// Answers a user message again. The items after it are removed when the new answer is complete.
pub(crate) async fn retry_after_item(
    core: &Arc<Core>,
    user_id: UserId,
    thread_id: ThreadId,
    item_id: ItemId,
    repetition: Repetition,
    request: RequestContext,
) -> Result<StartedRun, Error> {
    if let Some(run) = repetition.find_run(core, user_id, Request::Retry(thread_id, item_id)).await? {
        return Ok(run);
    }
    let key = idempotency_key(repetition.key, "threads.retry_after_item", Some(thread_id.0), &item_id)?;
    // The transaction that starts the run refuses what is no user message.
    let message = core.store.item_get(user_id, thread_id, item_id).await.ok();
    let options = message.as_ref().map(inference_options_of).unwrap_or_default();
    let input = ResumedAnswer { input: RunInput::Retry(item_id), replaced: None, options };
    resume_answer(core, user_id, thread_id, input, key, request).await
}

/// A run that answers without a new message.
pub(super) struct ResumedAnswer {
    pub(super) input: RunInput,
    /// The item that changes with the start, as clients see it.
    pub(super) replaced: Option<ThreadItem>,
    /// What the user message asks for that is answered.
    pub(super) options: InferenceOptions,
}

/// Starts a run that answers without a new message.
pub(super) async fn resume_answer(
    core: &Arc<Core>,
    user_id: UserId,
    thread_id: ThreadId,
    input: ResumedAnswer,
    key: Option<IdempotencyKey>,
    request: RequestContext,
) -> Result<StartedRun, Error> {
    let permit = core.engine.start_permit()?;
    let ResumedAnswer { input, replaced, options } = input;
    // The agent must be known before the run is stored only where its prices decide what the run reserves.
    let agent = if core.config.budget.cost_micros.is_some() {
        let thread = core.store.thread_get(user_id, thread_id).await?;
        Some(core.agents.current().resolve_again(&thread, &options))
    } else {
        None
    };
    let reservation = core.budgets.reservation(agent.as_ref())?;
    let input = ResumeInput { input, replaced, reservation };
    let (driver_core, driver_request) = (core.clone(), request.clone());
    let make_driver = move |run: StoredRun<'_>| {
        let core = driver_core;
        let agent = agent.unwrap_or_else(|| core.agents.current().resolve_again(run.thread, &options));
        answer_driver(&core, agent, &run, None, &driver_request)
    };
    let started = core.engine.resume(permit, user_id, thread_id, input, key, request, make_driver).await;
    started.map_err(|error| core.budgets.explain(error))
}

/// Returns what a stored user message asks for.
pub(super) fn inference_options_of(message: &ItemRow) -> InferenceOptions {
    match serde_json::from_str(&message.body) {
        Ok(ThreadItem::UserMessage(message)) => message.inference_options,
        _ => InferenceOptions::default(),
    }
}

/// Returns the agent of a thread, where it must be known before the message is stored: the message asks for a model or a
/// tool, the run is charged, or the agent decides about the title. `None` where it can be found out later.
async fn agent_if_needed(
    core: &Core,
    user_id: UserId,
    thread_id: ThreadId,
    options: &InferenceOptions,
) -> Result<Option<ResolvedAgent>, Error> {
    let agents = core.agents.current();
    if !(agents.must_check(options) || agents.may_leave_untitled() || core.config.budget.cost_micros.is_some()) {
        return Ok(None);
    }
    let thread: ThreadRow = core.store.thread_get(user_id, thread_id).await?;
    agents.resolve_with_options(&thread.metadata, options).map(Some)
}

fn answer_driver(
    core: &Arc<Core>,
    agent: ResolvedAgent,
    run: &StoredRun<'_>,
    words: Option<&str>,
    request: &RequestContext,
) -> Box<dyn RunDriver> {
    let has_cost_budget = core.config.budget.cost_micros.is_some();
    let title = words.and_then(|words| {
        start_title(&core.agent_services, &core.engine, &agent, has_cost_budget, run, words, &request.request_id)
    });
    Box::new(AnswerDriver::new(core.agent_services.clone(), agent, title))
}

/// Makes the item of a message.
fn complete_message(
    core: &Core,
    thread_id: ThreadId,
    input: UserMessageInput,
    attached: &[AttachmentRow],
    policy: TitlePolicy,
    reservation: Option<Reservation>,
) -> Result<CheckedMessage, Error> {
    // By the clock that all processes share: the day of the run is the day of the budget.
    let created_at = core.clock.now();
    let id = core.clock.new_id::<ItemId>();
    let title = (policy == TitlePolicy::FromMessage).then(|| title_of(&input, attached));
    let message = ThreadItem::UserMessage(UserMessage {
        id: id.0,
        thread_id: thread_id.0,
        created_at: created_at.utc(),
        content: input.content,
        attachments: core.attachments.in_thread(attached, thread_id)?,
        // ChatKit's front end sends an empty quote with every message that quotes nothing.
        quoted_text: input.quoted_text.filter(|quote| !quote.trim().is_empty()),
        inference_options: input.inference_options,
        extra: Extra::new(),
    });
    let body = serde_json::to_string(&message)?;
    let item = NewItem { id, kind: ItemKind::UserMessage, hidden: false, body, created_at };
    let attachments = attached.iter().map(|row| row.id).collect();
    Ok(CheckedMessage { item, message, title, attachments, reservation })
}
