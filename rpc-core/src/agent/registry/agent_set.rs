//! The agents of one agents file.

use super::agent::Agent;
use super::deps::{AgentDeps, AgentsError};
use super::resolved_agent::{ModelSettingsList, ResolvedAgent};
use super::tool_catalog::ToolCatalog;
use crate::config::{
    AgentConfig, AgentProfile, AgentsConfig, BudgetClass, CrashPolicy, DailyBudget, Retention, TitlePolicy,
};
use crate::error::Error;
use crate::error_counts::ErrorCounts;
use crate::store::rows::ThreadRow;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ErrorCode;
use threadline_schema::chatkit::InferenceOptions;
use threadline_tools::mcp::McpStatus;

/// Name of the only agent without an agents file.
const DEFAULT_NAME: &str = "default";

/// All agents and their tools.
pub(crate) struct AgentSet {
    default: Arc<Agent>,
    agents: BTreeMap<Arc<str>, Arc<Agent>>,
    catalog: ToolCatalog,
    settings: Arc<ModelSettingsList>,
    budget_classes: BTreeMap<Arc<str>, Arc<BudgetClass>>,
    errors: Arc<ErrorCounts>,
    loaded_at: DateTime<Utc>,
    /// The text of the agents file without comments and secrets.
    shown_text: Option<Arc<str>>,
    /// Without an agents file, inference options are stored with the message and ignored.
    has_file: bool,
}

/// The part of a thread's metadata that names its agent.
#[derive(Serialize, Deserialize)]
struct ThreadAgent {
    #[serde(default)]
    agent: Option<Arc<str>>,
}

impl AgentSet {
    /// Creates the agents. Without a file there is one, with every built-in tool.
    ///
    /// # Errors
    /// If a tool cannot be created.
    pub(super) fn new(
        defaults: &AgentConfig,
        config: Option<&AgentsConfig>,
        deps: &AgentDeps,
        previous: Option<&Self>,
    ) -> Result<Self, AgentsError> {
        let catalog =
            ToolCatalog::new(config, deps, previous.map(|previous| &previous.catalog)).map_err(AgentsError::Tool)?;
        let errors = deps.errors.clone();
        let loaded_at = (deps.endpoints.now)();
        let Some(config) = config else {
            let default = Arc::new(Agent::without_file(DEFAULT_NAME.into(), defaults));
            let agents = BTreeMap::from([(DEFAULT_NAME.into(), default.clone())]);
            let (settings, budget_classes) = (Arc::default(), BTreeMap::new());
            return Ok(Self {
                default,
                agents,
                catalog,
                settings,
                budget_classes,
                errors,
                loaded_at,
                shown_text: None,
                has_file: false,
            });
        };
        let agent = |(name, profile): (&Arc<str>, &AgentProfile)| {
            (name.clone(), Arc::new(Agent::new(name.clone(), profile, defaults)))
        };
        let agents: BTreeMap<_, _> = config.agents.iter().map(agent).collect();
        // Reading the file has checked that the default exists.
        let default = agents
            .get(&config.default)
            .cloned()
            .unwrap_or_else(|| Arc::new(Agent::new(DEFAULT_NAME.into(), &AgentProfile::default(), defaults)));
        let (settings, budget_classes) = (Arc::new(config.models.clone()), config.budget_classes.clone());
        let shown_text = Some(config.shown_text.clone());
        Ok(Self { default, agents, catalog, settings, budget_classes, errors, loaded_at, shown_text, has_file: true })
    }

    /// Returns the metadata of a new thread for this agent; for the default agent if it names none. `roles` are those
    /// of the user.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if there is no such agent for this user; the message lists the agents that there are.
    /// `FORBIDDEN` if the user may not use the default agent.
    pub(crate) fn thread_metadata(&self, agent: Option<&str>, roles: &[String]) -> Result<String, Error> {
        let allowed = || self.agents.iter().filter(|(_, agent)| agent.allows(roles)).map(|(name, _)| &**name);
        let names = || allowed().collect::<Vec<_>>().join(", ");
        match agent {
            None if self.default.allows(roles) => Ok("{}".to_owned()),
            None => Err(Error::new(
                ErrorCode::Forbidden,
                format!("The default agent is not for you. Name one as `agent`; there are: {}.", names()),
            )),
            Some(name) if allowed().any(|allowed| allowed == name) => {
                Ok(serde_json::to_string(&ThreadAgent { agent: Some(name.into()) })?)
            }
            Some(_) => Err(Error::invalid(format!("`agent` names no agent of this server; there are: {}.", names()))),
        }
    }

    /// Whether an agent is for users with some roles only.
    pub(crate) fn have_restrictions(&self) -> bool {
        self.agents.values().any(|agent| agent.is_restricted())
    }

    /// Returns the agent of a thread, without inference options. If the agent no longer exists, it is the default.
    pub(crate) fn resolve(&self, thread: &ThreadRow) -> ResolvedAgent {
        ResolvedAgent::new(self.agent_of(&thread.metadata), &self.catalog, &self.settings, &self.errors)
    }

    /// Returns the agent of a thread with this metadata, with the model and the tool that a message asks for.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if the agent does not allow them, with what it allows.
    pub(crate) fn resolve_with_options(
        &self,
        metadata: &str,
        options: &InferenceOptions,
    ) -> Result<ResolvedAgent, Error> {
        let agent = ResolvedAgent::new(self.agent_of(metadata), &self.catalog, &self.settings, &self.errors);
        if self.has_file { agent.with_inference_options(options) } else { Ok(agent) }
    }

    /// Returns the agent of a thread for a message that was accepted earlier. Options that are no longer allowed are
    /// ignored.
    pub(crate) fn resolve_again(&self, thread: &ThreadRow, options: &InferenceOptions) -> ResolvedAgent {
        self.resolve_with_options(&thread.metadata, options).unwrap_or_else(|_| self.resolve(thread))
    }

    /// Checks that a run in this thread may continue after its process has died. `options` are those of the message
    /// that it answers.
    ///
    /// # Errors
    /// Why it may not, for the log.
    pub(crate) fn may_continue(&self, thread: &ThreadRow, options: &InferenceOptions) -> Result<(), &'static str> {
        if !self.has_file {
            return Ok(());
        }
        let agent = match named_agent(&thread.metadata) {
            None => &self.default,
            Some(name) => self.agents.get(&*name).ok_or("the agents file does not have its agent any more")?,
        };
        if agent.on_crash == CrashPolicy::Interrupt {
            return Err("its agent has on_crash = \"interrupt\"");
        }
        match &options.model {
            Some(model) if !agent.allows_model(model) => Err("its agent does not have its model any more"),
            _ => Ok(()),
        }
    }

    /// Waits until the MCP servers have started, or could not: right after the start of this process they have no
    /// tools.
    pub(crate) async fn wait_for_mcp_servers(&self, patience: Duration) {
        self.catalog.first_mcp_status(patience).await;
    }

    /// Returns the agent that executes the widget actions of a thread. Its tools are those that users may call: the
    /// built-in ones, whatever the agent, and those of the thread's agent.
    pub(crate) fn action_agent(&self, thread: &ThreadRow) -> ResolvedAgent {
        let agent = self.resolve(thread);
        let tools = Arc::new(agent.tools.for_actions(self.catalog.built_in().to_vec()));
        ResolvedAgent { tools, ..agent }
    }

    /// Returns all agents, without inference options.
    pub(crate) fn all(&self) -> impl Iterator<Item = ResolvedAgent> + '_ {
        self.agents.values().map(|agent| ResolvedAgent::new(agent, &self.catalog, &self.settings, &self.errors))
    }

    /// Returns the default agent.
    pub(crate) fn default_agent(&self) -> ResolvedAgent {
        ResolvedAgent::new(&self.default, &self.catalog, &self.settings, &self.errors)
    }

    /// Returns when these agents were loaded.
    pub(crate) fn loaded_at(&self) -> DateTime<Utc> {
        self.loaded_at
    }

    /// Returns the text of the agents file without comments and secrets; `None` without a file.
    pub(crate) fn shown_text(&self) -> Option<&str> {
        self.shown_text.as_deref()
    }

    /// Returns the budget classes by name.
    pub(crate) fn budget_classes(&self) -> &BTreeMap<Arc<str>, Arc<BudgetClass>> {
        &self.budget_classes
    }

    /// Returns how long a thread with this metadata is kept that is not used; `None` for good. `service` is for agents
    /// that do not say, and for those that the file does not have any more.
    pub(crate) fn retention_of(&self, metadata: &str, service: Option<Duration>) -> Option<Duration> {
        let named = named_agent(metadata).filter(|_| self.has_file);
        let agent = match &named {
            None => Some(&self.default),
            Some(name) => self.agents.get(name),
        };
        retention(agent.map_or(Retention::OfService, |agent| agent.retention), service)
    }

    /// Returns the shortest retention; `None` if everything is kept for good.
    pub(crate) fn shortest_retention(&self, service: Option<Duration>) -> Option<Duration> {
        let of_agents = self.agents.values().filter_map(|agent| retention(agent.retention, service));
        of_agents.chain(service).min()
    }

    /// Whether an agent has a budget of its own.
    pub(crate) fn have_budgets(&self) -> bool {
        self.agents.values().any(|agent| agent.budget != DailyBudget::default())
    }

    /// Whether a message with these options must be checked before it is stored.
    pub(crate) fn must_check(&self, options: &InferenceOptions) -> bool {
        self.has_file && (options.model.is_some() || options.tool_choice.is_some())
    }

    /// Whether an agent exists that does not name threads after their first message.
    pub(crate) fn may_leave_untitled(&self) -> bool {
        self.agents.values().any(|agent| agent.title_policy == TitlePolicy::Untitled)
    }

    /// Counts a call that was in flight when its process died.
    pub(crate) fn record_unknown_outcome(&self, tool: &str) {
        self.catalog.record_unknown_outcome(tool);
    }

    /// Returns the states of the MCP servers, by name.
    pub(crate) fn mcp_status(&self) -> Vec<(Arc<str>, McpStatus)> {
        self.catalog.mcp_status()
    }

    pub(super) fn stop_mcp_servers(&self) {
        self.catalog.stop_mcp_servers();
    }

    fn agent_of(&self, metadata: &str) -> &Arc<Agent> {
        if !self.has_file {
            return &self.default;
        }
        named_agent(metadata).and_then(|name| self.agents.get(&*name)).unwrap_or(&self.default)
    }
}

fn retention(of_agent: Retention, service: Option<Duration>) -> Option<Duration> {
    match of_agent {
        Retention::OfService => service,
        Retention::ForGood => None,
        Retention::For(time) => Some(time),
    }
}

/// Integrations can write any metadata: a value of another type names no agent.
fn named_agent(metadata: &str) -> Option<Arc<str>> {
    serde_json::from_str::<ThreadAgent>(metadata).ok().and_then(|metadata| metadata.agent)
}
