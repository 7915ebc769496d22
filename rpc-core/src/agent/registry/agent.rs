//! One agent.

use super::tool_catalog::ToolCatalog;
use crate::config::{
    AgentConfig, AgentProfile, ApprovalMode, ClientTool, CrashPolicy, DailyBudget, ModelParameters, PromptFact,
    Retention, TitlePolicy, ToolSelector,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use threadline_tools::Toolbox;

/// One agent of the agents file, or the only agent without a file.
pub(crate) struct Agent {
    pub(crate) name: Arc<str>,
    pub(crate) instructions: Arc<str>,
    pub(crate) parameters: Arc<ModelParameters>,
    pub(crate) max_turns: u32,
    /// What all its runs together may use per day.
    pub(crate) budget: DailyBudget,
    /// How long its unused threads are kept.
    pub(super) retention: Retention,
    /// Roles whose users may use it; `None` is all users.
    allow: Option<Vec<Arc<str>>>,
    pub(crate) prompt_facts: Vec<PromptFact>,
    pub(crate) title_policy: TitlePolicy,
    pub(super) on_crash: CrashPolicy,
    /// The model that writes the titles of threads; `None` if titles are not written by a model.
    pub(crate) title_model: Option<Arc<str>>,
    /// The model that summarises the turns that prompts leave out; `None` if they are only left out.
    pub(crate) summary_model: Option<Arc<str>>,
    /// `None` is the service's default.
    pub(super) model: Option<Arc<str>>,
    /// Further models that a message may ask for.
    pub(super) selectable_models: Vec<Arc<str>>,
    fallback_models: Vec<Arc<str>>,
    tools: Vec<ToolSelector>,
    client_tools: Vec<ClientTool>,
    approvals: Vec<(ToolSelector, ApprovalMode)>,
    approval_expires: Option<Duration>,
    /// Whether the model gets the tool `ask_user`.
    shows_ask_user: bool,
    /// The tools, with the catalog generation that they are from.
    toolbox: Mutex<Option<(u64, Arc<Toolbox>)>>,
}

impl Agent {
    pub(super) fn new(name: Arc<str>, profile: &AgentProfile, defaults: &AgentConfig) -> Self {
        Self {
            name,
            instructions: profile.instructions.clone().unwrap_or_else(|| defaults.instructions.clone()),
            parameters: Arc::new(profile.parameters.clone()),
            max_turns: profile.max_turns.unwrap_or(defaults.max_turns),
            budget: profile.budget,
            retention: profile.retention,
            allow: profile.allow.clone(),
            prompt_facts: profile.prompt_facts.clone(),
            title_policy: profile.title_policy,
            on_crash: profile.on_crash,
            title_model: profile.title_model.clone().or_else(|| defaults.title_model.clone()),
            summary_model: profile.summary_model.clone().or_else(|| defaults.summary_model.clone()),
            model: profile.model.clone(),
            selectable_models: profile.selectable_models.clone(),
            fallback_models: profile.fallback_models.clone(),
            tools: profile.tools.clone(),
            client_tools: profile.client_tools.clone(),
            approvals: profile.approvals.clone(),
            approval_expires: profile.approval_expires,
            shows_ask_user: true,
            toolbox: Mutex::new(None),
        }
    }

    /// Creates the only agent without an agents file. It accepts calls of `ask_user`, but its model does not get the
    /// tool: only ChatKit front ends show the questions, and small models have no room for more tools.
    pub(super) fn without_file(name: Arc<str>, defaults: &AgentConfig) -> Self {
        let profile = AgentProfile { tools: vec![ToolSelector::BuiltIn], ..AgentProfile::default() };
        Self { shows_ask_user: false, ..Self::new(name, &profile, defaults) }
    }

    /// Returns whether only users with some roles may use it.
    pub(super) fn is_restricted(&self) -> bool {
        self.allow.is_some()
    }

    /// Returns whether a user with these roles may use it.
    pub(crate) fn allows(&self, roles: &[String]) -> bool {
        let Some(allowed) = &self.allow else { return true };
        allowed.iter().any(|allowed| roles.iter().any(|role| **role == **allowed))
    }

    /// Returns the current tools. They are rebuilt only after the catalog has changed.
    pub(super) fn toolbox(&self, catalog: &ToolCatalog) -> Arc<Toolbox> {
        let mut cached = self.toolbox.lock();
        let generation = catalog.generation();
        match &*cached {
            Some((of, toolbox)) if *of == generation => toolbox.clone(),
            _ => {
                let toolbox = catalog.toolbox(&self.tools, &self.client_tools);
                let rules = catalog.approval_rules(&self.approvals);
                let toolbox = toolbox.with_approvals(rules, self.approval_expires);
                let toolbox = if self.shows_ask_user { toolbox } else { toolbox.hide_ask_user() };
                cached.insert((generation, Arc::new(toolbox))).1.clone()
            }
        }
    }

    /// Returns whether a message may ask for this model.
    pub(super) fn allows_model(&self, model: &str) -> bool {
        self.model.iter().chain(&self.selectable_models).any(|allowed| **allowed == *model)
    }

    /// Returns the models in the order in which they are tried, if this one comes first.
    pub(super) fn models_from(&self, first: Option<&Arc<str>>) -> Arc<[Option<Arc<str>>]> {
        let others = self.fallback_models.iter().filter(|other| Some(*other) != first);
        std::iter::once(first.cloned()).chain(others.cloned().map(Some)).collect()
    }
}
