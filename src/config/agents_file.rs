//! The agents file for the console of operators.

use super::Settings;
use std::sync::Arc;
use threadline_core::config::{AgentsConfig, AgentsFile};

/// The agents file as the console of operators reads it.
struct ConsoleFile {
    path: String,
    settings: Settings,
}

/// Returns the agents file for the console; `None` if none is configured.
pub(super) fn agents_file(settings: &Settings) -> Option<Arc<dyn AgentsFile>> {
    let path = settings.agents_file.as_ref()?.display().to_string();
    Some(Arc::new(ConsoleFile { path, settings: settings.clone() }))
}

impl ConsoleFile {
    fn agents_from(&self, text: Option<&str>) -> Result<AgentsConfig, String> {
        let agents = self.settings.agents_from(text).map_err(|error| error.to_string())?;
        agents.ok_or_else(|| "no agents file is configured".to_owned())
    }
}

impl AgentsFile for ConsoleFile {
    fn path(&self) -> String {
        self.path.clone()
    }

    fn read(&self) -> Result<AgentsConfig, String> {
        self.agents_from(None)
    }

    fn check(&self, text: &str) -> Result<AgentsConfig, String> {
        self.agents_from(Some(text))
    }
}

impl std::fmt::Debug for ConsoleFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The settings have secrets.
        f.debug_struct("ConsoleFile").field("path", &self.path).finish_non_exhaustive()
    }
}
