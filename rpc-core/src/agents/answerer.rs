//! One agent, and how it answers one run.

use super::catalog::Catalog;
use crate::config::{
    AgentConfig, AgentProfile, ClientTool, ModelParameters, ModelPrices, StarterTitle, Tell, ToolPick,
};
use crate::error::Error;
use crate::tools::Toolbox;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use threadline_schema::chatkit::InferenceOptions;

/// An agent.
pub(crate) struct Agent {
    pub(crate) name: Arc<str>,
    pub(crate) instructions: Arc<str>,
    pub(crate) parameters: Arc<ModelParameters>,
    pub(crate) max_turns: u32,
    /// What its model is told of the request that it answers.
    pub(crate) tell: Vec<Tell>,
    /// What its threads are called at first.
    pub(crate) starter_title: StarterTitle,
    /// Who gives its threads their titles, if anybody does.
    pub(crate) title_model: Option<Arc<str>>,
    /// `None` is the service's own.
    model: Option<Arc<str>>,
    /// What a message may ask for beside that.
    models: Vec<Arc<str>>,
    fallback_models: Vec<Arc<str>>,
    picks: Vec<ToolPick>,
    client_tools: Vec<ClientTool>,
    /// Whether its model is told that it may ask the user.
    tells_of_questions: bool,
    /// Its tools, and the generation of the catalog they are from.
    toolbox: Mutex<Option<(u64, Arc<Toolbox>)>>,
}

/// Who answers a run, and how.
#[derive(Clone)]
pub(crate) struct Answerer {
    pub(crate) agent: Arc<Agent>,
    /// What it may call, as it stood when the run began.
    pub(crate) tools: Arc<Toolbox>,
    /// The models in the order in which they are tried; `None` is the service's own.
    pub(crate) models: Arc<[Option<Arc<str>>]>,
    /// The tool that the first answer has to call.
    pub(crate) tool_choice: Option<Arc<str>>,
    pub(super) prices: Arc<Prices>,
}

/// What models cost, by their names.
pub(super) type Prices = BTreeMap<Arc<str>, ModelPrices>;

impl Agent {
    pub(super) fn new(name: Arc<str>, profile: &AgentProfile, common: &AgentConfig) -> Self {
        Self {
            name,
            instructions: profile.instructions.clone().unwrap_or_else(|| common.instructions.clone()),
            parameters: Arc::new(profile.parameters.clone()),
            max_turns: profile.max_turns.unwrap_or(common.max_turns),
            tell: profile.tell.clone(),
            starter_title: profile.starter_title,
            title_model: profile.title_model.clone().or_else(|| common.title_model.clone()),
            model: profile.model.clone(),
            models: profile.models.clone(),
            fallback_models: profile.fallback_models.clone(),
            picks: profile.tools.clone(),
            client_tools: profile.client_tools.clone(),
            tells_of_questions: true,
            toolbox: Mutex::new(None),
        }
    }

    /// The agent that there is without a file. It may ask the user, and its model is not told so: only ChatKit's front ends
    /// show such questions, and small models have no room for what they do not need.
    pub(super) fn without_file(name: Arc<str>, common: &AgentConfig) -> Self {
        let profile = AgentProfile { tools: vec![ToolPick::BuiltIn], ..AgentProfile::default() };
        Self { tells_of_questions: false, ..Self::new(name, &profile, common) }
    }

    /// What it may call now. Made anew only when the catalog has changed.
    fn toolbox(&self, catalog: &Catalog) -> Arc<Toolbox> {
        let mut cached = self.toolbox.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = catalog.generation();
        match &*cached {
            Some((of, toolbox)) if *of == generation => toolbox.clone(),
            _ => {
                let toolbox = catalog.toolbox(&self.picks, &self.client_tools);
                let toolbox = if self.tells_of_questions { toolbox } else { toolbox.hide_ask_user() };
                cached.insert((generation, Arc::new(toolbox))).1.clone()
            }
        }
    }

    /// The models that answer when this one is asked first.
    fn models_from(&self, first: Option<&Arc<str>>) -> Arc<[Option<Arc<str>>]> {
        let others = self.fallback_models.iter().filter(|other| Some(*other) != first);
        std::iter::once(first.cloned()).chain(others.cloned().map(Some)).collect()
    }
}

impl Answerer {
    pub(super) fn new(agent: &Arc<Agent>, catalog: &Catalog, prices: &Arc<Prices>) -> Self {
        Self {
            prices: prices.clone(),
            tools: agent.toolbox(catalog),
            models: agent.models_from(agent.model.as_ref()),
            tool_choice: None,
            agent: agent.clone(),
        }
    }

    /// What a model costs; `None` when the file does not say.
    pub(crate) fn prices_of(&self, model: &str) -> Option<ModelPrices> {
        self.prices.get(model).copied()
    }

    /// The same for a message that asks for a model or a tool.
    pub(super) fn heeding(mut self, options: &InferenceOptions) -> Result<Self, Error> {
        if let Some(model) = &options.model {
            let mut allowed = self.agent.model.iter().chain(&self.agent.models);
            let Some(model) = allowed.find(|allowed| ***allowed == **model) else {
                let names = self.agent.model.iter().chain(&self.agent.models).map(AsRef::as_ref).collect::<Vec<_>>();
                return Err(not_allowed("inference_options.model", "model", &names));
            };
            self.models = self.agent.models_from(Some(model));
        }
        if let Some(choice) = &options.tool_choice {
            let specs = self.tools.specs();
            if !specs.iter().any(|spec| spec.name == choice.id) {
                let names: Vec<_> = specs.iter().map(|spec| spec.name.as_str()).collect();
                return Err(not_allowed("inference_options.tool_choice.id", "tool", &names));
            }
            self.tool_choice = Some(choice.id.as_str().into());
        }
        Ok(self)
    }
}

fn not_allowed(field: &str, what: &str, names: &[&str]) -> Error {
    Error::invalid(match names {
        [] => format!("`{field}` cannot be followed: this agent lets nobody choose a {what}."),
        names => format!("`{field}` is no {what} of this agent; there are: {}.", names.join(", ")),
    })
}
