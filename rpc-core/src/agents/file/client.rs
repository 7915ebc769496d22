//! `[[agents.NAME.client_tools]]`

use super::shape::Client;
use super::{Result, Source};
use crate::built_in_tools;
use crate::config::{AgentsConfig, ClientTool};

impl Source<'_> {
    pub(super) fn client_tools(&self, config: &AgentsConfig, tables: Vec<Client>) -> Result<Vec<ClientTool>> {
        let mut tools: Vec<ClientTool> = Vec::with_capacity(tables.len());
        for table in tables {
            let name = self.name(&table.name)?;
            let taken = built_in_tools::names().any(|other| *other == *name)
                || config.tools.contains_key(&name)
                || tools.iter().any(|tool| tool.name == name);
            if taken {
                return Err(self.wrong(table.name.span(), "there is another tool of this name"));
            }
            let description = self.text(&table.description)?;
            tools.push(ClientTool { name, description, parameters: self.schema(table.parameters)? });
        }
        Ok(tools)
    }
}
