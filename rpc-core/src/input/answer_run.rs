//! Starts runs that answer: with the agent of the thread, within the budget of the user.

use super::InputRequest;
use crate::agent::{AgentRegistry, AgentServices, AnswerDriver, ApprovedCall, ResolvedAgent, start_title};
use crate::budget::Budgets;
use crate::error::Error;
use crate::store::Store;
use crate::store::rows::{ItemRow, ThreadRow};
use std::sync::Arc;
use threadline_engine::{Engine, ResumeInput, RunDriver, RunRequest, StartedRun, StoredRun};
use threadline_schema::ErrorCode;
use threadline_schema::call::RequestContext;
use threadline_schema::chatkit::{InferenceOptions, ThreadItem};
use threadline_schema::ids::{ServiceKeyId, ThreadId, UserId};
use threadline_store::{IdempotencyKey, RunInput};

/// Starts runs that answer. All kinds of input that the agent answers use it.
pub(crate) struct AnswerRuns {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) agents: Arc<AgentRegistry>,
    pub(crate) services: Arc<AgentServices>,
    pub(crate) budgets: Arc<Budgets>,
}

/// Input of a run that answers without a new message.
pub(super) struct ResumedAnswer {
    pub(super) input: RunInput,
    /// The item that changes with the start, as clients see it.
    pub(super) replaced: Option<ThreadItem>,
    /// The options of the user message that is answered.
    pub(super) options: InferenceOptions,
    /// The call that the run begins with.
    pub(super) approved: Option<ApprovedCall>,
}

impl AnswerRuns {
    /// Starts a run that answers without a new message.
    pub(super) async fn resume(
        self: &Arc<Self>,
        request: InputRequest,
        key: Option<IdempotencyKey>,
        thread_id: ThreadId,
        input: ResumedAnswer,
    ) -> Result<StartedRun, Error> {
        let permit = self.engine.start_permit()?;
        let InputRequest { user_id, key_id, context, .. } = request;
        let ResumedAnswer { input, replaced, options, approved } = input;
        // The agent must be known before the run is stored only where its prices decide what the run reserves.
        let agent = if self.budgets.limits_cost() || self.must_know_agent() {
            let thread = self.store.thread_get(user_id, thread_id).await?;
            let agent = self.agents.current().resolve_again(&thread, &options);
            self.check_allowed(user_id, &agent).await?;
            Some(self.for_user(agent, user_id, key_id).await?)
        } else {
            None
        };
        let reservation = self.budgets.reservation(agent.as_ref())?;
        let (this, driver_context) = (self.clone(), context.clone());
        let make_driver = move |run: StoredRun<'_>| {
            let agent = agent.unwrap_or_else(|| this.agents.current().resolve_again(run.thread, &options));
            this.driver(agent, &run, None, approved, &driver_context)
        };
        let request = RunRequest { permit, user_id, key, context, make_driver: Box::new(make_driver) };
        let started = self.engine.resume(request, thread_id, ResumeInput { input, replaced, reservation }).await;
        started.map_err(|error| self.budgets.explain(error))
    }

    /// Returns the agent of a thread, where it must be known before the message is stored: the message asks for a model
    /// or a tool, the run is charged, or the agent decides about the title. `None` where the run can look it up later.
    pub(super) async fn agent_if_needed(
        &self,
        request: &InputRequest,
        thread_id: ThreadId,
        options: &InferenceOptions,
    ) -> Result<Option<ResolvedAgent>, Error> {
        let user_id = request.user_id;
        let agents = self.agents.current();
        if !(agents.must_check(options)
            || agents.may_leave_untitled()
            || self.budgets.limits_cost()
            || self.must_know_agent())
        {
            return Ok(None);
        }
        let thread: ThreadRow = self.store.thread_get(user_id, thread_id).await?;
        let agent = agents.resolve_with_options(&thread.metadata, options)?;
        self.check_allowed(user_id, &agent).await?;
        Ok(Some(self.for_user(agent, user_id, request.key_id).await?))
    }

    /// Returns an agent with the budget class of what a user starts.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(super) async fn for_user(
        &self,
        agent: ResolvedAgent,
        user_id: UserId,
        key_id: Option<ServiceKeyId>,
    ) -> Result<ResolvedAgent, Error> {
        Ok(agent.with_budget_class(self.budgets.class_of(user_id, key_id).await?))
    }

    /// Whether the agent must be known before a run is stored, because of budgets or of who may use it.
    fn must_know_agent(&self) -> bool {
        let agents = self.agents.current();
        agents.have_budgets() || agents.have_restrictions() || self.budgets.has_classes()
    }

    /// Returns the roles of a user, if some agent is for some roles only.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn roles_of(&self, user_id: UserId) -> Result<Vec<String>, Error> {
        roles_of(&self.store, &self.agents, user_id).await
    }

    /// Checks that a user may still use the agent of a thread.
    async fn check_allowed(&self, user_id: UserId, agent: &ResolvedAgent) -> Result<(), Error> {
        check_allowed(&self.store, &self.agents, user_id, agent).await
    }

    /// Makes the driver of a run. `first_words` are the words of the first message of a thread: a model may be asked
    /// for a title. `approved` is the call that the run begins with.
    pub(super) fn driver(
        &self,
        agent: ResolvedAgent,
        run: &StoredRun<'_>,
        first_words: Option<&str>,
        approved: Option<ApprovedCall>,
        context: &RequestContext,
    ) -> Box<dyn RunDriver> {
        let title = first_words
            .and_then(|words| start_title(&self.services, &self.engine, &agent, run, words, &context.request_id));
        Box::new(AnswerDriver::new(self.services.clone(), agent, title, approved).with_summaries(self.engine.clone()))
    }
}

/// Returns the roles of a user, if some agent is for some roles only.
///
/// # Errors
/// `SERVICE_UNAVAILABLE` if the database cannot be reached.
pub(crate) async fn roles_of(store: &Store, agents: &AgentRegistry, user_id: UserId) -> Result<Vec<String>, Error> {
    if !agents.current().have_restrictions() {
        return Ok(Vec::new());
    }
    Ok(store.user_roles(user_id).await?)
}

/// Checks that a user may use an agent.
///
/// # Errors
/// `FORBIDDEN`.
pub(super) async fn check_allowed(
    store: &Store,
    agents: &AgentRegistry,
    user_id: UserId,
    agent: &ResolvedAgent,
) -> Result<(), Error> {
    match agent.agent.allows(&roles_of(store, agents, user_id).await?) {
        true => Ok(()),
        false => Err(Error::new(ErrorCode::Forbidden, "The agent of this thread is not for you any more.")),
    }
}

/// Returns the options of a stored user message.
pub(super) fn inference_options_of(message: &ItemRow) -> InferenceOptions {
    match serde_json::from_str(&message.body) {
        Ok(ThreadItem::UserMessage(message)) => message.inference_options,
        _ => InferenceOptions::default(),
    }
}
