//! Agents: who answers a run, with which model and which tools.

mod answerer;
mod catalog;
mod file;

pub(crate) use answerer::{Agent, Answerer};
pub use file::AgentsFileError;

use crate::config::{AgentConfig, AgentProfile, AgentsConfig, StarterTitle};
use crate::error::Error;
use crate::store::rows::ThreadRow;
use crate::tools::{Tool, endpoint};
use answerer::Prices;
use catalog::{Catalog, Means};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use threadline_schema::chatkit::InferenceOptions;
use tokio_util::task::TaskTracker;

/// Name of the one agent that there is without a file.
const ONLY: &str = "default";
/// How long the MCP servers may take to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// The agents of this process. A run keeps those it began with.
pub(crate) struct Agents {
    common: AgentConfig,
    means: Means,
    roster: RwLock<Arc<Roster>>,
}

/// Why there are no such agents.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
    /// The client for tools of internal services could not be made.
    #[error("the client for tools could not be made: {0}")]
    Client(#[from] reqwest::Error),
    /// A tool cannot be made as it is configured.
    #[error("{0}")]
    Tool(String),
}

/// The agents of one reading of the file, and what they may call.
pub(crate) struct Roster {
    default: Arc<Agent>,
    agents: BTreeMap<Arc<str>, Arc<Agent>>,
    catalog: Catalog,
    prices: Arc<Prices>,
    /// Without a file, what a message asks of the model is kept with it and not followed.
    from_file: bool,
}

impl Agents {
    /// `common` is what agents have where the file says nothing else.
    ///
    /// # Errors
    /// When a tool, or the client that tools share, cannot be made.
    pub(crate) fn new(
        common: &AgentConfig,
        config: Option<&AgentsConfig>,
        built_in: Vec<Arc<dyn Tool>>,
    ) -> Result<Self, AgentsError> {
        let means = Means { client: endpoint::http_client()?, built_in, servers: TaskTracker::new() };
        let roster = RwLock::new(Arc::new(Roster::new(common, config, &means, None)?));
        Ok(Self { common: common.clone(), means, roster })
    }

    /// Has new runs answered by these agents. Runs that have begun go on with theirs.
    ///
    /// # Errors
    /// When a tool cannot be made; nothing changes then.
    pub(crate) fn replace(&self, config: &AgentsConfig) -> Result<(), AgentsError> {
        let before = self.roster();
        let roster = Arc::new(Roster::new(&self.common, Some(config), &self.means, Some(&before.catalog))?);
        *self.roster.write().unwrap_or_else(PoisonError::into_inner) = roster;
        Ok(())
    }

    /// Ends the MCP servers, those that runs still hold included, and waits a little for them.
    pub(crate) async fn stop(&self) {
        self.means.servers.close();
        self.roster().catalog.stop();
        if tokio::time::timeout(FAREWELL, self.means.servers.wait()).await.is_err() {
            tracing::warn!("some MCP servers did not end and are killed");
        }
    }

    /// The agents as they are now.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Roster {
    fn new(
        common: &AgentConfig,
        config: Option<&AgentsConfig>,
        means: &Means,
        before: Option<&Catalog>,
    ) -> Result<Self, AgentsError> {
        let catalog = Catalog::new(config, means, before).map_err(AgentsError::Tool)?;
        let Some(config) = config else {
            let default = Arc::new(Agent::without_file(ONLY.into(), common));
            let agents = BTreeMap::from([(ONLY.into(), default.clone())]);
            return Ok(Self { default, agents, catalog, prices: Arc::default(), from_file: false });
        };
        let agent = |(name, profile): (&Arc<str>, &AgentProfile)| {
            (name.clone(), Arc::new(Agent::new(name.clone(), profile, common)))
        };
        let agents: BTreeMap<_, _> = config.agents.iter().map(agent).collect();
        let default = agents.get(&config.default).cloned();
        // Whoever read the file has seen to it that the default is there.
        let default = default.unwrap_or_else(|| Arc::new(Agent::new(ONLY.into(), &AgentProfile::default(), common)));
        Ok(Self { default, agents, catalog, prices: Arc::new(config.models.clone()), from_file: true })
    }

    /// The metadata of a new thread in which this agent is to answer; the default one where none is named.
    ///
    /// # Errors
    /// `INVALID_REQUEST` with the names there are.
    pub(crate) fn metadata(&self, agent: Option<&str>) -> Result<String, Error> {
        let Some(name) = agent else { return Ok("{}".to_owned()) };
        if !self.agents.contains_key(name) {
            let names = self.agents.keys().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
            return Err(Error::invalid(format!("`agent` names no agent of this server; there are: {names}.")));
        }
        Ok(serde_json::to_string(&Chosen { agent: Some(name.into()) })?)
    }

    /// Who answers in a thread with this metadata, when nothing in particular is asked. A thread whose agent is not
    /// there any more gets the default one.
    pub(crate) fn answerer(&self, thread: &ThreadRow) -> Answerer {
        Answerer::new(self.agent_of(&thread.metadata), &self.catalog, &self.prices)
    }

    /// The same for a message that asks for a model or a tool.
    ///
    /// # Errors
    /// `INVALID_REQUEST` with what the agent allows.
    pub(crate) fn answerer_as_asked(&self, metadata: &str, options: &InferenceOptions) -> Result<Answerer, Error> {
        let answerer = Answerer::new(self.agent_of(metadata), &self.catalog, &self.prices);
        if self.from_file { answerer.heeding(options) } else { Ok(answerer) }
    }

    /// The same for a message that was checked when it came, and is answered now: what is not allowed any more is not
    /// followed.
    pub(crate) fn answerer_again(&self, thread: &ThreadRow, options: &InferenceOptions) -> Answerer {
        self.answerer_as_asked(&thread.metadata, options).unwrap_or_else(|_| self.answerer(thread))
    }

    /// Who carries an action of the user's out: the tools of the thread's agent that users may call, and those that are
    /// built in, since what is the user's own to do needs no leave of an agent.
    pub(crate) fn actor(&self, thread: &ThreadRow) -> Answerer {
        let answerer = self.answerer(thread);
        let tools = Arc::new(answerer.tools.for_actions(self.catalog.built_in().to_vec()));
        Answerer { tools, ..answerer }
    }

    /// Whether a message that asks for this is to be checked before it is stored.
    pub(crate) fn heeds(&self, options: &InferenceOptions) -> bool {
        self.from_file && (options.model.is_some() || options.tool_choice.is_some())
    }

    /// Whether some agent's threads are not called after their first message.
    pub(crate) fn leaves_untitled(&self) -> bool {
        self.agents.values().any(|agent| agent.starter_title == StarterTitle::None)
    }

    /// Counts a call whose process died while it was in flight.
    pub(crate) fn count_unknown(&self, tool: &str) {
        self.catalog.count_unknown(tool);
    }

    fn agent_of(&self, metadata: &str) -> &Arc<Agent> {
        if !self.from_file {
            return &self.default;
        }
        // Metadata is an integration's to write: what is no name of an agent names none.
        let chosen = serde_json::from_str::<Chosen>(metadata).ok().and_then(|chosen| chosen.agent);
        chosen.and_then(|name| self.agents.get(&*name)).unwrap_or(&self.default)
    }
}

/// What a thread's metadata says of its agent.
#[derive(serde::Serialize, Deserialize)]
struct Chosen {
    #[serde(default)]
    agent: Option<Arc<str>>,
}
