//! Asks a model for the title of a thread, beside the answer to its first message.

mod clean;

use super::AgentServices;
use super::registry::ResolvedAgent;
use super::side_request::SideUsage;
use crate::model::{Message, ModelError, ModelRequest};
use crate::store::StoreError;
use crate::store::rows::ThreadRow;
use clean::clean_title;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use threadline_engine::{AskedModel, Engine, RunHandle, StoredRun, UsageMeter, wire};
use threadline_model::config::ModelParameters;
use threadline_runtime::TaskKind;
use threadline_schema::chatkit::ThreadItem;
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Chain;
use threadline_schema::event::{Event, ThreadStreamEvent};
use threadline_schema::runs::Usage;

/// How long the model may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Characters of the message that the model reads: the subject of a conversation is at its start.
const PROMPT_CHARS: usize = 2_000;
/// Tokens that the model may write: a hundred characters, in scripts that take most tokens.
const MAX_TOKENS: u32 = 64;
/// Bytes of the answer that are read: not every server respects the limit of tokens.
const ANSWER_BYTES: usize = 4_096;

const INSTRUCTIONS: &str = "Write a title for a conversation that begins with the user's message: at most six words, in \
    the language of the message. Do not answer the message. Write nothing but the title.";

/// The title request as the run beside it sees it.
///
/// One lock decides which of the two ends first. If the title does, its event goes into the log of the run, and its
/// usage is charged with the run. If the run does, the title is announced and booked by itself.
#[derive(Debug, Clone)]
pub(crate) struct TitleHandle(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    /// The title request is under way, and so is the run.
    Pending,
    /// The title request ended first, and has used this.
    TitleEnded(Usage, UsageMeter),
    /// The run ended first: nothing goes into its log any more.
    RunEnded,
}

impl TitleHandle {
    /// Called at the end of the run. Returns what the title has used, if it is charged with the run.
    pub(super) fn run_ends(&self) -> Option<(Usage, UsageMeter)> {
        match std::mem::replace(&mut *self.0.lock(), State::RunEnded) {
            State::TitleEnded(usage, meter) => Some((usage, meter)),
            State::Pending | State::RunEnded => None,
        }
    }
}

/// Returns the text of a user message, as much of it as a title needs.
pub(crate) fn title_words(message: &ThreadItem) -> String {
    let ThreadItem::UserMessage(message) = message else { return String::new() };
    let words = message.content.iter().map(|part| part.text()).collect::<Vec<_>>().join("\n");
    words.trim().chars().take(PROMPT_CHARS).collect()
}

/// Starts a title request beside a new run, if the agent has a title model. `words` are those of the first message.
pub(crate) fn start_title(
    services: &Arc<AgentServices>,
    engine: &Engine,
    agent: &ResolvedAgent,
    run: &StoredRun<'_>,
    words: &str,
    request_id: &Arc<str>,
) -> Option<TitleHandle> {
    let model = agent.agent.title_model.clone()?;
    if words.is_empty() || !services.model.follows_instructions() {
        return None;
    }
    let prices = agent.prices_of(&model);
    if prices.is_none() && services.budgets.limits_cost_of(agent) {
        tracing::warn!(%model, "title model has no price, so with a budget in money it is not asked");
        return None;
    }
    let handle = TitleHandle(Arc::new(Mutex::new(State::Pending)));
    let parameters = ModelParameters { max_tokens: Some(MAX_TOKENS), ..ModelParameters::default() };
    let asked = AskedModel { agent: agent.agent.name.clone(), name: model.clone(), prices };
    let request = ModelRequest {
        dialect: agent.dialect_of(&model),
        model: Some(model),
        parameters: Arc::new(parameters),
        messages: vec![Message::System(INSTRUCTIONS.to_owned()), Message::User(words.to_owned().into())],
        request_id: request_id.clone(),
        ..ModelRequest::default()
    };
    let task = TitleTask {
        services: services.clone(),
        engine: engine.clone(),
        title: handle.clone(),
        run: run.handle.clone(),
        thread: run.thread.clone(),
        run_created_at: run.run.created_at,
        used: SideUsage::default(),
        scopes: services.budgets.scopes_beside_runs(agent),
        asked,
    };
    engine.spawn_beside_run(TaskKind::Title, task.run(request));
    Some(handle)
}

/// One title request, from the question to its end.
struct TitleTask {
    services: Arc<AgentServices>,
    engine: Engine,
    title: TitleHandle,
    run: Arc<RunHandle>,
    /// The thread as it was when the message had been stored.
    thread: ThreadRow,
    run_created_at: UtcTime,
    used: SideUsage,
    /// The shared budgets that it is booked on if the run has ended before.
    scopes: String,
    asked: AskedModel,
}

/// Why the first message stays the title.
#[derive(Debug, thiserror::Error)]
enum TitleError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it took longer than {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("the process shuts down")]
    ShuttingDown,
}

impl TitleTask {
    async fn run(mut self, request: ModelRequest) {
        let titled = self.set_title(request).await;
        let outcome = match &titled {
            Ok(Some(_)) => "stored",
            Ok(None) => "kept",
            Err(error) => {
                let (run_id, thread_id) = (self.run.run_id(), self.thread.id);
                tracing::warn!(%run_id, %thread_id, error = %Chain(error), "title request failed; the first message stays the title");
                "failed"
            }
        };
        metrics::counter!("threadline_titles_total", "outcome" => outcome).increment(1);
        self.end(titled.ok().flatten()).await;
    }

    /// Asks for a title and stores it. Returns the thread if its title has changed.
    async fn set_title(&mut self, request: ModelRequest) -> Result<Option<ThreadRow>, TitleError> {
        let engine = self.engine.clone();
        let answer = tokio::select! {
            biased;
            // A shutdown does not wait for a title.
            () = engine.shutting_down() => return Err(TitleError::ShuttingDown),
            answer = tokio::time::timeout(TIMEOUT, self.used.ask(&*self.services.model, request, self.asked.clone(), ANSWER_BYTES)) => answer.map_err(|_| TitleError::TimedOut)??,
        };
        let (id, current) = (self.thread.id, self.thread.title.clone());
        match clean_title(&answer) {
            Some(title) if title != current => Ok(self.services.store.thread_retitle(id, current, title).await?),
            _ => Ok(None),
        }
    }

    /// Announces the new title and books the usage: with the run while that is active, otherwise separately.
    async fn end(self, changed: Option<ThreadRow>) {
        {
            let mut state = self.title.0.lock();
            if matches!(*state, State::Pending) {
                if let Some(event) = changed.as_ref().and_then(thread_updated) {
                    self.run.append(event);
                }
                let (usage, meter) = self.used.total();
                *state = State::TitleEnded(usage, meter);
                return;
            }
        }
        if changed.is_some() {
            self.engine.thread_changed(self.thread.id);
        }
        let user_id = self.run.user_id();
        self.used.book(&self.services, self.scopes, user_id, self.thread.id, self.run_created_at).await;
    }
}

fn thread_updated(thread: &ThreadRow) -> Option<Event> {
    let thread = wire::thread(thread)
        .inspect_err(|error| tracing::error!(error = %Chain(error), "stored thread cannot be read"))
        .ok()?;
    Event::new(&ThreadStreamEvent::ThreadUpdated { thread: Box::new(thread) })
        .inspect_err(|error| tracing::error!(%error, "event cannot be serialised"))
        .ok()
}
