//! User messages: each starts a run, in a thread that exists or is new, or is answered again.

use super::InputRequest;
use super::answer_run::{AnswerRuns, ResumedAnswer, inference_options_of};
use super::message_text::{check_message, title_of};
use super::repetition::Repeated;
use crate::agent::title_words;
use crate::attachments::Attachments;
use crate::config::{LimitsConfig, TitlePolicy};
use crate::error::Error;
use crate::store::Clock;
use crate::store::rows::{AttachmentRow, NewItem};
use std::sync::Arc;
use threadline_engine::{NewThreadInput, RunRequest, StartedRun, StoredRun, UserMessageInput as CheckedMessage};
use threadline_schema::chatkit::{Extra, ThreadItem, UserMessage, UserMessageInput};
use threadline_schema::error::Chain;
use threadline_schema::ids::{ItemId, ThreadId, UserId};
use threadline_schema::items::ItemKind;
use threadline_store::{Reservation, RunInput};

/// The title of a thread until it has a first message.
const NEW_TITLE: &str = "New Chat";

/// Maximum number of temporary threads that one request deletes.
const MAX_DELETIONS: u32 = 20;

/// What a request says about a thread that it creates.
pub(crate) struct NewThreadOptions {
    /// Name of the agent; `None` for the default.
    pub(crate) agent: Option<String>,
    /// Whether it is listed nowhere, and deleted some hours after its last use.
    pub(crate) temporary: bool,
}

/// Accepts messages of users.
pub(crate) struct UserMessages {
    pub(crate) runs: Arc<AnswerRuns>,
    pub(crate) attachments: Arc<Attachments>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) limits: LimitsConfig,
}

impl UserMessages {
    /// Stores a message and starts the run that answers it.
    pub(crate) async fn add(
        &self,
        request: InputRequest,
        thread_id: ThreadId,
        input: UserMessageInput,
    ) -> Result<StartedRun, Error> {
        let runs = &self.runs;
        if let Some(run) = request.find_run(&runs.engine, Repeated::Message(Some(thread_id), &input)).await? {
            return Ok(run);
        }
        let permit = runs.engine.start_permit()?;
        check_message(&input, self.limits.message_chars)?;
        let key = request.idempotency_key("threads.add_user_message", Some(thread_id), &input)?;
        let agent = match runs.agent_if_needed(&request, thread_id, &input.inference_options).await {
            Ok(agent) => agent,
            // What an agent allows may have changed since the same request was made before.
            Err(error) => return runs.engine.find_replay(request.user_id, key.as_ref()).await?.ok_or(error),
        };
        let InputRequest { user_id, context, .. } = request;
        let reservation = runs.budgets.reservation(agent.as_ref())?;
        let attached = self.attachments.for_message(user_id, &input).await?;
        let policy = agent.as_ref().map_or(TitlePolicy::FromMessage, |agent| agent.agent.title_policy);
        let message = self.complete(thread_id, input, &attached, policy, reservation)?;
        let words = title_words(&message.message);
        let (driver_runs, driver_context) = (runs.clone(), context.clone());
        let make_driver = move |run: StoredRun<'_>| {
            let agent = agent.unwrap_or_else(|| driver_runs.agents.current().resolve(run.thread));
            let words = run.is_first_message.then_some(words);
            driver_runs.driver(agent, &run, words.as_deref(), None, &driver_context)
        };
        let request = RunRequest { permit, user_id, key, context, make_driver: Box::new(make_driver) };
        let started = runs.engine.start_with_message(request, thread_id, message).await;
        started.map_err(|error| runs.budgets.explain(error))
    }

    /// Stores a new thread. With a first message, starts the run that answers it.
    pub(crate) async fn create_thread(
        &self,
        request: InputRequest,
        input: Option<UserMessageInput>,
        options: NewThreadOptions,
    ) -> Result<StartedRun, Error> {
        let NewThreadOptions { agent: agent_name, temporary } = options;
        let runs = &self.runs;
        if let Some(input) = &input
            && let Some(run) = request.find_run(&runs.engine, Repeated::Message(None, input)).await?
        {
            return Ok(run);
        }
        let agents = runs.agents.current();
        let metadata = agents.thread_metadata(agent_name.as_deref(), &runs.roles_of(request.user_id).await?)?;
        let options = input.as_ref().map(|input| input.inference_options.clone()).unwrap_or_default();
        let agent = agents.resolve_with_options(&metadata, &options)?;
        // A thread without a message starts no run, and is made also while the process shuts down.
        let permit = match &input {
            Some(input) => {
                let permit = runs.engine.start_permit()?;
                check_message(input, self.limits.message_chars)?;
                permit
            }
            None => runs.engine.permit_without_run(),
        };
        let key = match temporary {
            false => request.idempotency_key("threads.create", None, &(&input, &agent_name))?,
            true => request.idempotency_key("threads.create", None, &(&input, &agent_name, temporary))?,
        };
        let InputRequest { user_id, key_id, context, .. } = request;
        let agent = runs.for_user(agent, user_id, key_id).await?;
        let thread_id = self.clock.new_id::<ThreadId>();
        let message = match input {
            Some(input) => {
                let reservation = runs.budgets.reservation(Some(&agent))?;
                let attached = self.attachments.for_message(user_id, &input).await?;
                let policy = agent.agent.title_policy;
                Some(self.complete(thread_id, input, &attached, policy, reservation)?)
            }
            None => None,
        };
        let words = message.as_ref().map(|message| title_words(&message.message));
        let max_threads = self.limits.sessions_per_user;
        let title = NEW_TITLE.to_owned();
        let new = NewThreadInput { thread_id, title, metadata, max_threads, temporary, message };
        let (driver_runs, driver_context) = (runs.clone(), context.clone());
        let make_driver =
            move |run: StoredRun<'_>| driver_runs.driver(agent, &run, words.as_deref(), None, &driver_context);
        let request = RunRequest { permit, user_id, key, context, make_driver: Box::new(make_driver) };
        let created = runs.engine.create_thread(request, new).await;
        let created = created.map_err(|error| runs.budgets.explain_new_thread(error, max_threads))?;
        if temporary && !created.is_replayed {
            self.limit_temporary(user_id).await;
        }
        Ok(created)
    }

    /// Deletes the temporary threads that a user has too many, those first that were not used for the longest time. A
    /// failure is logged: the next thread tries again, and all end some time after their last use.
    async fn limit_temporary(&self, user_id: UserId) {
        let Some(keep) = self.limits.sessions_per_user else { return };
        let AnswerRuns { store, engine, .. } = &*self.runs;
        let beyond = match store.temporary_threads_beyond(user_id, keep, MAX_DELETIONS).await {
            Ok(beyond) => beyond,
            Err(error) => return tracing::warn!(%user_id, error = %Chain(&error), "temporary threads cannot be listed"),
        };
        for thread_id in beyond {
            if let Err(error) = engine.delete_thread(user_id, thread_id).await {
                tracing::info!(%thread_id, error = %Chain(&error), "a temporary thread beyond the limit cannot be deleted yet");
            }
        }
    }

    /// Answers a user message again. The items after it are removed when the new answer is complete.
    pub(crate) async fn retry(
        &self,
        request: InputRequest,
        thread_id: ThreadId,
        item_id: ItemId,
    ) -> Result<StartedRun, Error> {
        if let Some(run) = request.find_run(&self.runs.engine, Repeated::Retry(thread_id, item_id)).await? {
            return Ok(run);
        }
        let key = request.idempotency_key("threads.retry_after_item", Some(thread_id), &item_id)?;
        // The transaction that starts the run refuses what is not a user message.
        let message = self.runs.store.item_get(request.user_id, thread_id, item_id).await.ok();
        let options = message.as_ref().map(inference_options_of).unwrap_or_default();
        let input = ResumedAnswer { input: RunInput::Retry(item_id), replaced: None, options, approved: None };
        self.runs.resume(request, key, thread_id, input).await
    }

    /// Makes the item of a message.
    fn complete(
        &self,
        thread_id: ThreadId,
        input: UserMessageInput,
        attached: &[AttachmentRow],
        policy: TitlePolicy,
        reservation: Option<Reservation>,
    ) -> Result<CheckedMessage, Error> {
        // By the clock that all processes share: the day of the run is the day of the budget.
        let created_at = self.clock.now();
        let id = self.clock.new_id::<ItemId>();
        let title = (policy == TitlePolicy::FromMessage).then(|| title_of(&input, attached));
        let message = ThreadItem::UserMessage(UserMessage {
            id,
            thread_id,
            created_at: created_at.utc(),
            content: input.content,
            attachments: self.attachments.in_thread(attached, thread_id)?,
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
}
