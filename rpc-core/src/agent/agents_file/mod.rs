//! Reads and validates the agents file. One error refuses the whole file.
//!
//! `raw.rs` has the TOML tables; each of the other files validates one of them.

mod agent;
mod approval;
mod budget;
mod client_tools;
mod endpoint;
mod masked;
mod mcp;
mod model;
mod raw;
mod values;

use crate::built_in_tools;
use crate::config::{AgentsConfig, ToolSelector};
use masked::masked_text;
use raw::{RawFile, SpannedText};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An error in an agents file, with its position. The text is one line and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {problem}", .path.display())]
pub struct AgentsFileError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what is expected.
    pub problem: String,
}

type Result<T> = std::result::Result<T, AgentsFileError>;

impl AgentsConfig {
    /// Reads an agents file. `variable` returns the environment variables that the file names.
    ///
    /// # Errors
    /// The first error in the file.
    pub fn read(path: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| AgentsFileError {
            path: path.to_owned(),
            line: 1,
            column: 1,
            problem: format!("the file cannot be read: {error}"),
        })?;
        Self::parse(path, &text, variable)
    }

    /// Parses the text of an agents file. `path` is for error messages.
    ///
    /// # Errors
    ///
    /// The first problem that is found.
    pub fn parse(path: &Path, text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        AgentsFileReader { path, text, variable }.read()
    }
}

/// Validates the text of one agents file.
struct AgentsFileReader<'a> {
    path: &'a Path,
    text: &'a str,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl AgentsFileReader<'_> {
    fn read(&self) -> Result<AgentsConfig> {
        let file = toml::Deserializer::parse(self.text).and_then(RawFile::deserialize);
        let file = file.map_err(|error| self.error_at(error.span().unwrap_or_default(), error.message()))?;
        let mut config = AgentsConfig {
            default: self.default_agent(&file)?,
            agents: BTreeMap::new(),
            models: BTreeMap::new(),
            mcp: BTreeMap::new(),
            tools: BTreeMap::new(),
            approval_expires: self.approval_expires(file.approval_expires_seconds.clone())?,
            budget_classes: BTreeMap::new(),
            shown_text: masked_text(self.text).into(),
        };
        for (name, table) in file.models {
            config.models.insert(self.text(&name)?, self.model(&name, table)?);
        }
        for (name, table) in file.mcp {
            config.mcp.insert(self.name(&name)?, self.mcp(&name, table)?);
        }
        for (name, table) in file.tools {
            if built_in_tools::names().any(|other| other == name.as_ref()) {
                let problem = format!("{} is a built-in tool; choose another name", name.as_ref());
                return Err(self.error_at(name.span(), problem));
            }
            config.tools.insert(self.name(&name)?, self.endpoint(&name, table)?);
        }
        for (name, table) in file.budget_classes {
            config.budget_classes.insert(self.name(&name)?, self.budget_class(&name, table)?.into());
        }
        for (name, table) in file.agents {
            let agent = self.agent(&config, &name, table)?;
            config.agents.insert(self.name(&name)?, agent);
        }
        Ok(config)
    }

    fn default_agent(&self, file: &RawFile) -> Result<Arc<str>> {
        let names = || file.agents.keys().map(|name| name.as_ref().as_str()).collect::<Vec<_>>().join(", ");
        match (&file.default, file.agents.keys().next()) {
            (_, None) => Err(self.error_at(0..0, "there is no agent: add a table [agents.NAME]")),
            (Some(default), _) if file.agents.contains_key(default) => Ok(default.as_ref().as_str().into()),
            (Some(default), _) => {
                Err(self.error_at(default.span(), format!("there is no agent of this name; there are: {}", names())))
            }
            (None, Some(only)) if file.agents.len() == 1 => Ok(only.as_ref().as_str().into()),
            (None, _) => Err(self.error_at(0..0, format!("`default` is missing: name one of {}", names()))),
        }
    }

    /// Validates an entry of an agent's `tools`.
    fn tool_selector(&self, config: &AgentsConfig, entry: &SpannedText) -> Result<ToolSelector> {
        let name = entry.as_ref().as_str();
        if name == "built-in" {
            return Ok(ToolSelector::BuiltIn);
        }
        if let Some(server) = name.strip_prefix("mcp:") {
            return match config.mcp.get_key_value(server) {
                Some((server, _)) => Ok(ToolSelector::Mcp(server.clone())),
                None => Err(self.error_at(entry.span(), format!("there is no table [mcp.{server}]"))),
            };
        }
        let of_server = |server: &Arc<str>| name.strip_prefix(&**server).is_some_and(|rest| rest.starts_with('_'));
        if built_in_tools::names().any(|other| other == name)
            || config.tools.contains_key(name)
            || config.mcp.keys().any(of_server)
        {
            return Ok(ToolSelector::Named(name.into()));
        }
        let mut known: Vec<String> = vec!["built-in".to_owned()];
        known.extend(built_in_tools::names().map(ToOwned::to_owned));
        known.extend(config.tools.keys().map(ToString::to_string));
        known.extend(config.mcp.keys().map(|server| format!("mcp:{server}, {server}_TOOL")));
        Err(self.error_at(entry.span(), format!("there is no such tool; there are: {}", known.join(", "))))
    }

    /// Returns an error about the bytes at `span`.
    fn error_at(&self, span: Range<usize>, problem: impl Into<String>) -> AgentsFileError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        AgentsFileError {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
            // Messages of the parser can have several lines.
            problem: problem.into().lines().map(str::trim).collect::<Vec<_>>().join("; "),
        }
    }
}

#[cfg(test)]
mod tests;
