//! Titles by a model: asked with a thread's first message, beside its answer, and in nobody's way.

mod clean;

use super::changes::thread_changed;
use super::hub::Entry;
use super::output::Account;
use super::runner::{Job, count_tokens};
use crate::config::{ModelParameters, ModelPrices};
use crate::core::Core;
use crate::model::{Message, ModelError, ModelEvent, ModelRequest};
use crate::store::rows::ThreadRow;
use crate::store::{Bill, StoreError};
use crate::wire;
use chrono::{DateTime, Utc};
use clean::clean;
use futures::StreamExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use threadline_schema::chatkit::{ThreadItem, ThreadStreamEvent};
use threadline_schema::runs::Usage;

/// How long the model may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Characters of the message that the model is shown: what a conversation is about stands at its beginning.
const WORDS: usize = 2_000;
/// Tokens it may write: a hundred characters, in scripts that take most.
const MAX_TOKENS: u32 = 64;
/// Bytes of its answer that are read: not every server cares how long it may be.
const ANSWER_BYTES: usize = 4_096;

const INSTRUCTIONS: &str = "Write a title for a conversation that begins with the user's message: at most six words, in \
    the language of the message. Do not answer the message. Write nothing but the title.";

/// A title that is being thought of, as the run beside it sees it.
#[derive(Debug)]
pub(super) struct Titling(Mutex<State>);

#[derive(Debug)]
enum State {
    /// The run goes on: its log is still open, and its bill.
    Beside,
    /// The title came to its end first, and has used this.
    Ended(Usage, Bill),
    /// The run has come to its end: nothing goes into its log and its bill any more.
    Left,
}

impl Titling {
    /// The run comes to its end. Gives what the title has used, if that is the run's to book; else it is booked by itself.
    pub(super) fn leave(&self) -> Option<(Usage, Bill)> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Left) {
            State::Ended(usage, bill) => Some((usage, bill)),
            State::Beside | State::Left => None,
        }
    }
}

/// The user's own words in a message, as far as a title needs them.
pub(super) fn words(message: &ThreadItem) -> String {
    let ThreadItem::UserMessage(message) = message else { return String::new() };
    let words = message.content.iter().map(|part| part.text()).collect::<Vec<_>>().join("\n");
    words.trim().chars().take(WORDS).collect()
}

/// Has a title thought of beside a run that is about to begin, where a model does that: `words` are those of the thread's
/// first message.
pub(super) fn beside(core: &Arc<Core>, job: Job, thread: &ThreadRow, words: Option<String>) -> Job {
    let (Some(words), Some(model)) = (words, job.answerer.agent.title_model.clone()) else { return job };
    if words.is_empty() || !core.model.gives_titles() {
        return job;
    }
    let prices = job.answerer.prices_of(&model);
    if prices.is_none() && core.config.budget.cost_micros.is_some() {
        tracing::warn!(%model, "the title model has no price, so with a budget of money it is not asked");
        return job;
    }
    let titling = Arc::new(Titling(Mutex::new(State::Beside)));
    let task = Task {
        core: core.clone(),
        titling: titling.clone(),
        entry: job.entry.clone(),
        thread: thread.clone(),
        began: job.created_at,
        prices,
        spent: Spent::default(),
    };
    let parameters = ModelParameters { max_tokens: Some(MAX_TOKENS), ..ModelParameters::default() };
    let request = ModelRequest {
        model: Some(model),
        parameters: Arc::new(parameters),
        messages: vec![Message::System(INSTRUCTIONS.to_owned()), Message::User(words.into())],
        request_id: job.origin.request_id.clone(),
        ..ModelRequest::default()
    };
    core.hub.tasks.spawn(task.run(request));
    Job { titling: Some(titling), ..job }
}

/// One title, from the question to its end.
struct Task {
    core: Arc<Core>,
    titling: Arc<Titling>,
    entry: Arc<Entry>,
    /// As it was when the message had been stored.
    thread: ThreadRow,
    began: DateTime<Utc>,
    prices: Option<ModelPrices>,
    spent: Spent,
}

/// What the call used: as the server says, and as it is charged.
#[derive(Default)]
struct Spent {
    usage: Usage,
    account: Account,
}

/// Why there is no better title.
#[derive(Debug, thiserror::Error)]
enum Untitled {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it took longer than {} s", PATIENCE.as_secs())]
    TooLong,
    #[error("the service stops")]
    Stopping,
}

impl Task {
    async fn run(mut self, request: ModelRequest) {
        let titled = self.title(request).await;
        let outcome = match &titled {
            Ok(Some(_)) => "stored",
            Ok(None) => "kept",
            Err(error) => {
                let (run_id, thread_id) = (self.entry.run_id, self.thread.id.0);
                tracing::warn!(%run_id, %thread_id, %error, "a thread has got no better title");
                "failed"
            }
        };
        metrics::counter!("threadline_titles_total", "outcome" => outcome).increment(1);
        self.end(titled.ok().flatten()).await;
    }

    /// Asks for a title and stores it. Gives the thread if that has another one now.
    async fn title(&mut self, request: ModelRequest) -> Result<Option<ThreadRow>, Untitled> {
        let core = self.core.clone();
        let answer = tokio::select! {
            answer = tokio::time::timeout(PATIENCE, self.ask(request)) => answer.map_err(|_| Untitled::TooLong)??,
            // A title is not worth waiting for.
            () = core.hub.stopping() => return Err(Untitled::Stopping),
        };
        let (id, first) = (self.thread.id, self.thread.title.clone());
        match clean(&answer) {
            Some(title) if title != first => Ok(core.store.thread_retitle(id, first, title).await?),
            _ => Ok(None),
        }
    }

    async fn ask(&mut self, request: ModelRequest) -> Result<String, ModelError> {
        let Spent { usage, account } = &mut self.spent;
        account.asks(request.messages.iter().map(Message::bytes).sum(), self.prices);
        let mut stream = self.core.model.stream(request);
        let mut answer = String::new();
        while let Some(event) = stream.next().await {
            match event? {
                ModelEvent::Text(delta) => {
                    account.wrote(delta.len());
                    answer.push_str(&delta);
                    if answer.len() > ANSWER_BYTES {
                        break;
                    }
                }
                ModelEvent::Usage(used) => {
                    account.reported(used);
                    *usage += used;
                }
                ModelEvent::Thought(_)
                | ModelEvent::Citation(_)
                | ModelEvent::ToolCall(_)
                | ModelEvent::Finished(_) => {}
            }
        }
        Ok(answer)
    }

    /// Says what has changed and books what was used: with the run as long as that goes on, else by itself.
    async fn end(self, changed: Option<ThreadRow>) {
        let Spent { usage, account } = self.spent;
        let bill = account.bill();
        {
            let mut state = self.titling.0.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*state, State::Beside) {
                if let Some(event) = changed.as_ref().and_then(updated) {
                    self.entry.log.append(event);
                }
                *state = State::Ended(usage, bill);
                return;
            }
        }
        // The run was over first. Those who follow the thread are told all the same.
        if changed.is_some() {
            thread_changed(&self.core, self.thread.id.0);
        }
        count_tokens(usage);
        if bill == Bill::default() {
            return;
        }
        // Tried once: whether a try that failed was stored nobody knows, and nobody is to pay twice.
        match self.core.store.usage_add(self.entry.user_id.into(), self.began.into(), bill).await {
            Ok(()) => metrics::counter!("threadline_model_cost_micros_total")
                .increment(bill.cost_micros.and_then(|cost| u64::try_from(cost).ok()).unwrap_or_default()),
            Err(error) => {
                tracing::error!(run_id = %self.entry.run_id, %error, "what a title used could not be booked");
            }
        }
    }
}

/// The event that tells of a thread's title.
fn updated(thread: &ThreadRow) -> Option<String> {
    let event = wire::thread(thread).map(|thread| ThreadStreamEvent::ThreadUpdated { thread: Box::new(thread) });
    let event = event.and_then(|event| Ok(serde_json::to_string(&event)?));
    event.inspect_err(|error| tracing::error!(error = error.log_text(), "a thread could not be shown")).ok()
}
