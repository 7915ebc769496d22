//! The agents file.

use super::AdminMethods;
use crate::config::{AgentsConfig, AgentsFile};
use crate::error::Error;
use crate::page;
use crate::rpc::call::CallContext;
use std::sync::Arc;
use threadline_schema::RpcMethod;
use threadline_schema::admin::{AdminAgentsCheck, AdminAgentsFile, AdminCheckAgentsParams, AdminReloadAgentsFile};
use threadline_schema::auth::Nothing;

/// Maximum number of characters of a text that is checked.
const TEXT_CHARS: usize = 500_000;

impl AdminMethods {
    pub(super) async fn agents_file(self: Arc<Self>, _: CallContext, _: Nothing) -> Result<AdminAgentsFile, Error> {
        Ok(self.shown_agents())
    }

    pub(super) async fn check_agents_file(
        self: Arc<Self>,
        _: CallContext,
        params: AdminCheckAgentsParams,
    ) -> Result<AdminAgentsCheck, Error> {
        let text = page::text("text", params.text, TEXT_CHARS)?;
        let file = self.file()?;
        let checked = tokio::task::spawn_blocking(move || file.check(&text)).await.map_err(Error::internal)?;
        Ok(match checked {
            Ok(agents) => AdminAgentsCheck { is_valid: true, problem: None, agents: names(&agents) },
            Err(problem) => AdminAgentsCheck { is_valid: false, problem: Some(problem), agents: Vec::new() },
        })
    }

    pub(super) async fn reload_agents_file(
        self: Arc<Self>,
        call: CallContext,
        _: Nothing,
    ) -> Result<AdminAgentsFile, Error> {
        let file = self.file()?;
        self.record(&call, AdminReloadAgentsFile::NAME, None).await?;
        let agents = self.agents.clone();
        let reload = move || -> Result<(), String> {
            let config = file.read()?;
            agents.replace(&config).map_err(|error| error.to_string())
        };
        let reloaded = tokio::task::spawn_blocking(reload).await.map_err(Error::internal)?;
        let outcome = if reloaded.is_ok() { "ok" } else { "refused" };
        metrics::counter!("threadline_agents_reloads_total", "outcome" => outcome).increment(1);
        reloaded.map_err(|problem| {
            Error::invalid(format!("The agents file has an error, so the agents do not change: {problem}"))
        })?;
        Ok(self.shown_agents())
    }

    fn file(&self) -> Result<Arc<dyn AgentsFile>, Error> {
        let missing =
            || Error::invalid("There is no agents file. Set AGENTS_FILE to its path, and start the service again.");
        self.agents_file.clone().ok_or_else(missing)
    }

    fn shown_agents(&self) -> AdminAgentsFile {
        let agents = self.agents.current();
        AdminAgentsFile {
            path: self.agents_file.as_ref().map(|file| file.path()),
            loaded_at: agents.loaded_at(),
            agents: agents.all().map(|agent| agent.agent.name.to_string()).collect(),
            default: agents.default_agent().agent.name.to_string(),
            text: agents.shown_text().map(Into::into),
        }
    }
}

fn names(agents: &AgentsConfig) -> Vec<String> {
    agents.agents.keys().map(ToString::to_string).collect()
}
