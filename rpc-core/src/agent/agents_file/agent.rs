//! `[agents.NAME]`

use super::raw::{RawAgent, SpannedText};
use super::{AgentsFileReader, Result};
use crate::config::{
    AgentProfile, AgentsConfig, CrashPolicy, ModelParameters, PromptFact, Retention, TitlePolicy, ToolSelector,
};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// Longest retention: a hundred years.
const MAX_RETENTION_DAYS: u32 = 36_500;
/// Maximum number of stop sequences: the limit of OpenAI.
const MAX_STOPS: usize = 4;

impl AgentsFileReader<'_> {
    /// Validates an agent. `config` has the tools that it can refer to.
    pub(super) fn agent(&self, config: &AgentsConfig, name: &SpannedText, mut table: RawAgent) -> Result<AgentProfile> {
        let instructions = self.instructions(name, table.instructions.take(), table.instructions_file.take())?;
        let texts = |list: &[SpannedText]| list.iter().map(|text| self.text(text)).collect::<Result<Vec<_>>>();
        let model = table.model.as_ref().map(|model| self.text(model)).transpose()?;
        let selectable_models = texts(&table.models)?;
        let fallback_models = texts(&table.fallback_models)?;
        let tools = match &table.tools {
            None => vec![ToolSelector::BuiltIn],
            Some(entries) => entries.iter().map(|entry| self.tool_selector(config, entry)).collect::<Result<_>>()?,
        };
        let client_tools = self.client_tools(config, std::mem::take(&mut table.client_tools))?;
        let prompt_facts = table.tell.iter().map(|fact| self.prompt_fact(fact)).collect::<Result<_>>()?;
        let title_policy = self.title_policy(table.starter_title.as_ref())?;
        let title_model = table.title_model.as_ref().map(|model| self.text(model)).transpose()?;
        let summary_model = table.summary_model.as_ref().map(|model| self.text(model)).transpose()?;
        let on_crash = self.crash_policy(table.on_crash.as_ref())?;
        let approvals = self.agent_approvals(config, &table.approval)?;
        let approval_expires = self.approval_expires(table.approval_expires_seconds.take())?;
        let max_turns = self.number(table.max_turns.take(), 1..=100)?;
        let allow = table.allow.take().map(|roles| texts(&roles)).transpose()?;
        let budget = self.daily_budget(table.budget_tokens_per_day.take(), table.budget_cost_per_day.take())?;
        let retention = self.retention(table.retention_days.take())?;
        let parameters = self.parameters(table)?;
        Ok(AgentProfile {
            instructions,
            model,
            selectable_models,
            fallback_models,
            parameters,
            tools,
            client_tools,
            prompt_facts,
            title_policy,
            title_model,
            summary_model,
            max_turns,
            budget,
            retention,
            allow,
            on_crash,
            approvals,
            approval_expires: approval_expires.or(config.approval_expires),
        })
    }

    fn prompt_fact(&self, fact: &SpannedText) -> Result<PromptFact> {
        match fact.as_ref().as_str() {
            "languages" => Ok(PromptFact::Languages),
            "metadata" => Ok(PromptFact::Metadata),
            "time" => Ok(PromptFact::Time),
            _ => Err(self.error_at(fact.span(), "this is not \"languages\", \"metadata\" or \"time\"")),
        }
    }

    fn title_policy(&self, policy: Option<&SpannedText>) -> Result<TitlePolicy> {
        let Some(policy) = policy else { return Ok(TitlePolicy::default()) };
        match policy.as_ref().as_str() {
            "message" => Ok(TitlePolicy::FromMessage),
            "none" => Ok(TitlePolicy::Untitled),
            _ => Err(self.error_at(policy.span(), "this is not \"message\" or \"none\"")),
        }
    }

    fn retention(&self, days: Option<Spanned<u32>>) -> Result<Retention> {
        Ok(match self.number(days, 0..=MAX_RETENTION_DAYS)? {
            None => Retention::OfService,
            Some(0) => Retention::ForGood,
            Some(days) => Retention::For(Duration::from_secs(u64::from(days) * 86_400)),
        })
    }

    fn crash_policy(&self, policy: Option<&SpannedText>) -> Result<CrashPolicy> {
        let Some(policy) = policy else { return Ok(CrashPolicy::default()) };
        match policy.as_ref().as_str() {
            "continue" => Ok(CrashPolicy::Continue),
            "interrupt" => Ok(CrashPolicy::Interrupt),
            _ => Err(self.error_at(policy.span(), "this is not \"continue\" or \"interrupt\"")),
        }
    }

    fn instructions(
        &self,
        name: &SpannedText,
        text: Option<SpannedText>,
        file: Option<SpannedText>,
    ) -> Result<Option<Arc<str>>> {
        match (text, file) {
            (None, None) => Ok(None),
            (Some(text), None) => self.text(&text).map(Some),
            (None, Some(file)) => {
                // Relative to the agents file, not to the working directory.
                let path = self.path.parent().map_or_else(|| file.as_ref().into(), |folder| folder.join(file.as_ref()));
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    self.error_at(file.span(), format!("{} cannot be read: {error}", path.display()))
                })?;
                self.text(&Spanned::new(file.span(), text)).map(Some)
            }
            (Some(_), Some(file)) => {
                let problem = format!("agent {} has `instructions` as well; keep one of the two", name.as_ref());
                Err(self.error_at(file.span(), problem))
            }
        }
    }

    fn parameters(&self, table: RawAgent) -> Result<ModelParameters> {
        if let Some(first_extra) = table.stop.get(MAX_STOPS) {
            return Err(self.error_at(first_extra.span(), format!("`stop` has at most {MAX_STOPS} texts")));
        }
        if let Some(empty) = table.stop.iter().find(|text| text.as_ref().is_empty()) {
            return Err(self.error_at(empty.span(), "this must not be empty"));
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
