//! `[[agents.NAME.client_tools]]`

use super::raw::RawClientTool;
use super::{AgentsFileReader, Result};
use crate::built_in_tools;
use crate::config::{AgentsConfig, ClientTool};

impl AgentsFileReader<'_> {
    pub(super) fn client_tools(&self, config: &AgentsConfig, tables: Vec<RawClientTool>) -> Result<Vec<ClientTool>> {
        let mut tools: Vec<ClientTool> = Vec::with_capacity(tables.len());
        for table in tables {
            let name = self.name(&table.name)?;
            let is_taken = built_in_tools::names().any(|other| *other == *name)
                || config.tools.contains_key(&name)
                || tools.iter().any(|tool| tool.name == name);
            if is_taken {
                return Err(self.error_at(table.name.span(), "there is another tool of this name"));
            }
            let description = self.text(&table.description)?;
            tools.push(ClientTool { name, description, parameters: self.parameters_schema(table.parameters)? });
        }
        Ok(tools)
    }
}
