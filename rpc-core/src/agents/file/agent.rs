//! `[agents.NAME]`

use super::shape::{Agent, Text};
use super::{Result, Source};
use crate::config::{AgentProfile, AgentsConfig, ModelParameters, StarterTitle, Tell, ToolPick};
use std::sync::Arc;
use toml::Spanned;

/// Texts at which a model stops; more are refused by OpenAI.
const STOPS: usize = 4;

impl Source<'_> {
    /// Checks an agent against what the file offers it.
    pub(super) fn agent(&self, config: &AgentsConfig, name: &Text, mut table: Agent) -> Result<AgentProfile> {
        let instructions = self.instructions(name, table.instructions.take(), table.instructions_file.take())?;
        let texts = |list: &[Text]| list.iter().map(|text| self.text(text)).collect::<Result<Vec<_>>>();
        let model = table.model.as_ref().map(|model| self.text(model)).transpose()?;
        let models = texts(&table.models)?;
        let fallback_models = texts(&table.fallback_models)?;
        let tools = match &table.tools {
            None => vec![ToolPick::BuiltIn],
            Some(entries) => entries.iter().map(|entry| self.pick(config, entry)).collect::<Result<_>>()?,
        };
        let client_tools = self.client_tools(config, std::mem::take(&mut table.client_tools))?;
        let tell = table.tell.iter().map(|what| self.tell(what)).collect::<Result<_>>()?;
        let starter_title = self.starter_title(table.starter_title.as_ref())?;
        let title_model = table.title_model.as_ref().map(|model| self.text(model)).transpose()?;
        let max_turns = self.number(table.max_turns.take(), 1..=100)?;
        let parameters = self.parameters(table)?;
        Ok(AgentProfile {
            instructions,
            model,
            models,
            fallback_models,
            parameters,
            tools,
            client_tools,
            tell,
            starter_title,
            title_model,
            max_turns,
        })
    }

    fn tell(&self, what: &Text) -> Result<Tell> {
        match what.as_ref().as_str() {
            "languages" => Ok(Tell::Languages),
            "metadata" => Ok(Tell::Metadata),
            "time" => Ok(Tell::Time),
            _ => Err(self.wrong(what.span(), "this is not \"languages\", \"metadata\" or \"time\"")),
        }
    }

    fn starter_title(&self, policy: Option<&Text>) -> Result<StarterTitle> {
        let Some(policy) = policy else { return Ok(StarterTitle::default()) };
        match policy.as_ref().as_str() {
            "message" => Ok(StarterTitle::Message),
            "none" => Ok(StarterTitle::None),
            _ => Err(self.wrong(policy.span(), "this is not \"message\" or \"none\"")),
        }
    }

    fn instructions(&self, name: &Text, text: Option<Text>, file: Option<Text>) -> Result<Option<Arc<str>>> {
        match (text, file) {
            (None, None) => Ok(None),
            (Some(text), None) => self.text(&text).map(Some),
            (None, Some(file)) => {
                // As seen from the file that names it, wherever the process was started.
                let path = self.path.parent().map_or_else(|| file.as_ref().into(), |folder| folder.join(file.as_ref()));
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| self.wrong(file.span(), format!("{} cannot be read: {error}", path.display())))?;
                self.text(&Spanned::new(file.span(), text)).map(Some)
            }
            (Some(_), Some(file)) => {
                let problem = format!("agent {} has `instructions` as well; keep one of the two", name.as_ref());
                Err(self.wrong(file.span(), problem))
            }
        }
    }

    fn parameters(&self, table: Agent) -> Result<ModelParameters> {
        if let Some(fifth) = table.stop.get(STOPS) {
            return Err(self.wrong(fifth.span(), format!("`stop` has at most {STOPS} texts")));
        }
        if let Some(empty) = table.stop.iter().find(|text| text.as_ref().is_empty()) {
            return Err(self.wrong(empty.span(), "this must not be empty"));
        }
        Ok(ModelParameters {
            temperature: self.number(table.temperature, 0.0..=2.0)?,
            top_p: self.number(table.top_p, f64::MIN_POSITIVE..=1.0)?,
            max_tokens: self.number(table.max_tokens, 1..=u32::MAX)?,
            max_completion_tokens: self.number(table.max_completion_tokens, 1..=u32::MAX)?,
            frequency_penalty: self.number(table.frequency_penalty, -2.0..=2.0)?,
            presence_penalty: self.number(table.presence_penalty, -2.0..=2.0)?,
            seed: table.seed,
            stop: table.stop.into_iter().map(Spanned::into_inner).collect(),
            reasoning_effort: table
                .reasoning_effort
                .map(|text| self.text(&text))
                .transpose()?
                .map(|text| text.to_string()),
        })
    }
}
