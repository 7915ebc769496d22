//! The agent of one run.

use super::agent::Agent;
use super::tool_catalog::ToolCatalog;
use crate::config::{BudgetClass, DialectOverrides, ModelPrices, ModelSettings};
use crate::error::Error;
use crate::error_counts::ErrorCounts;
use std::collections::BTreeMap;
use std::sync::Arc;
use threadline_schema::chatkit::InferenceOptions;
use threadline_tools::Toolbox;

/// An agent with its tools and models as they were when the run started.
#[derive(Clone)]
pub(crate) struct ResolvedAgent {
    pub(crate) agent: Arc<Agent>,
    pub(crate) tools: Arc<Toolbox>,
    /// The models in the order in which they are tried; `None` is the service's default.
    pub(crate) models: Arc<[Option<Arc<str>>]>,
    /// The tool that the model must call in its first turn.
    pub(crate) tool_choice: Option<Arc<str>>,
    /// The budget class of the user.
    pub(crate) budget_class: Option<Arc<BudgetClass>>,
    pub(super) settings: Arc<ModelSettingsList>,
    /// The health of the service, for failures of models and tools.
    pub(crate) errors: Arc<ErrorCounts>,
}

/// What the agents file sets of models, by name.
pub(super) type ModelSettingsList = BTreeMap<Arc<str>, ModelSettings>;

impl ResolvedAgent {
    pub(super) fn new(
        agent: &Arc<Agent>,
        catalog: &ToolCatalog,
        settings: &Arc<ModelSettingsList>,
        errors: &Arc<ErrorCounts>,
    ) -> Self {
        Self {
            tools: agent.toolbox(catalog),
            models: agent.models_from(agent.model.as_ref()),
            tool_choice: None,
            budget_class: None,
            settings: settings.clone(),
            errors: errors.clone(),
            agent: agent.clone(),
        }
    }

    /// Returns the agent for a user of this budget class.
    pub(crate) fn with_budget_class(self, budget_class: Option<Arc<BudgetClass>>) -> Self {
        Self { budget_class, ..self }
    }

    /// Returns the prices of a model; `None` if the agents file has none.
    pub(crate) fn prices_of(&self, model: &str) -> Option<ModelPrices> {
        self.settings.get(model)?.prices
    }

    /// Returns the dialect settings of a model in the agents file.
    pub(crate) fn dialect_of(&self, model: &str) -> Option<Arc<DialectOverrides>> {
        self.settings.get(model)?.dialect.clone()
    }

    /// Returns how many tokens a model can read and write; `None` if the agents file does not say.
    pub(crate) fn context_tokens_of(&self, model: &str) -> Option<u64> {
        self.settings.get(model)?.context_tokens
    }

    /// Applies the model and the tool that a message asks for.
    pub(super) fn with_inference_options(mut self, options: &InferenceOptions) -> Result<Self, Error> {
        if let Some(model) = &options.model {
            let allowed = || self.agent.model.iter().chain(&self.agent.selectable_models);
            let Some(model) = allowed().find(|allowed| ***allowed == **model) else {
                let names = allowed().map(AsRef::as_ref).collect::<Vec<_>>();
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
        [] => format!("`{field}` cannot be followed: this agent does not let clients choose a {what}."),
        names => format!("`{field}` is not a {what} of this agent; there are: {}.", names.join(", ")),
    })
}
