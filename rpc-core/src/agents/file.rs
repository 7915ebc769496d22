//! `agents.toml`: read, checked, and refused whole where something is wrong.

mod agent;
mod client;
mod endpoint;
mod mcp;
mod shape;
mod values;

use crate::built_in_tools;
use crate::config::{AgentsConfig, ModelPrices, ToolPick};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;

/// What is wrong with an agents file, and where. Its text is one line and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {problem}", .path.display())]
pub struct AgentsFileError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what is expected.
    pub problem: String,
}

type Result<T> = std::result::Result<T, AgentsFileError>;

impl AgentsConfig {
    /// Reads an agents file. `variable` gives the environment's variables that it names.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(path: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| AgentsFileError {
            path: path.to_owned(),
            line: 1,
            column: 1,
            problem: format!("the file cannot be read: {error}"),
        })?;
        Source { path, text: &text, variable }.config()
    }
}

/// A file that is being read.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Source<'_> {
    fn config(&self) -> Result<AgentsConfig> {
        let file = toml::Deserializer::parse(self.text).and_then(shape::File::deserialize);
        let file = file.map_err(|error| self.wrong(error.span().unwrap_or_default(), error.message()))?;
        let mut config = AgentsConfig {
            default: self.default(&file)?,
            agents: BTreeMap::new(),
            models: self.models(file.models)?,
            mcp: BTreeMap::new(),
            tools: BTreeMap::new(),
        };
        for (name, table) in file.mcp {
            config.mcp.insert(self.name(&name)?, self.mcp(&name, table)?);
        }
        for (name, table) in file.tools {
            if built_in_tools::names().any(|other| other == name.as_ref()) {
                return Err(
                    self.wrong(name.span(), format!("{} is a built-in tool; choose another name", name.as_ref()))
                );
            }
            config.tools.insert(self.name(&name)?, self.endpoint(&name, table)?);
        }
        for (name, table) in file.agents {
            let agent = self.agent(&config, &name, table)?;
            config.agents.insert(self.name(&name)?, agent);
        }
        Ok(config)
    }

    fn default(&self, file: &shape::File) -> Result<Arc<str>> {
        let names = || file.agents.keys().map(|name| name.as_ref().as_str()).collect::<Vec<_>>().join(", ");
        match (&file.default, file.agents.keys().next()) {
            (_, None) => Err(self.wrong(0..0, "there is no agent: add a table [agents.NAME]")),
            (Some(default), _) if file.agents.contains_key(default) => Ok(default.as_ref().as_str().into()),
            (Some(default), _) => {
                Err(self.wrong(default.span(), format!("there is no agent of this name; there are: {}", names())))
            }
            (None, Some(only)) if file.agents.len() == 1 => Ok(only.as_ref().as_str().into()),
            (None, _) => Err(self.wrong(0..0, format!("`default` is missing: name one of {}", names()))),
        }
    }

    fn models(&self, tables: shape::Named<shape::Prices>) -> Result<BTreeMap<Arc<str>, ModelPrices>> {
        let price = |price: Spanned<f64>| {
            let worth = *price.as_ref();
            let right = worth.is_finite() && worth >= 0.0;
            right.then_some(worth).ok_or_else(|| self.wrong(price.span(), "a price is a number, 0 or more"))
        };
        let prices = tables.into_iter().map(|(name, table)| {
            let prices = ModelPrices {
                input_per_million: price(table.input_per_million)?,
                output_per_million: price(table.output_per_million)?,
            };
            Ok((self.text(&name)?, prices))
        });
        prices.collect()
    }

    /// What an entry of `tools` stands for.
    fn pick(&self, config: &AgentsConfig, entry: &shape::Text) -> Result<ToolPick> {
        let name = entry.as_ref().as_str();
        if name == "built-in" {
            return Ok(ToolPick::BuiltIn);
        }
        if let Some(server) = name.strip_prefix("mcp:") {
            return match config.mcp.get_key_value(server) {
                Some((server, _)) => Ok(ToolPick::Mcp(server.clone())),
                None => Err(self.wrong(entry.span(), format!("there is no table [mcp.{server}]"))),
            };
        }
        let of_server = |server: &Arc<str>| name.strip_prefix(&**server).is_some_and(|rest| rest.starts_with('_'));
        if built_in_tools::names().any(|other| other == name)
            || config.tools.contains_key(name)
            || config.mcp.keys().any(of_server)
        {
            return Ok(ToolPick::Named(name.into()));
        }
        let mut known: Vec<String> = vec!["built-in".to_owned()];
        known.extend(built_in_tools::names().map(ToOwned::to_owned));
        known.extend(config.tools.keys().map(ToString::to_string));
        known.extend(config.mcp.keys().map(|server| format!("mcp:{server}, {server}_TOOL")));
        Err(self.wrong(entry.span(), format!("there is no such tool; there are: {}", known.join(", "))))
    }

    /// An error about what stands at `span`.
    fn wrong(&self, span: Range<usize>, problem: impl Into<String>) -> AgentsFileError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        AgentsFileError {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
            // The parser's words can be several lines.
            problem: problem.into().lines().map(str::trim).collect::<Vec<_>>().join("; "),
        }
    }
}

#[cfg(test)]
mod tests;
