//! All tools that agents can have.

use super::deps::AgentDeps;
use crate::config::{AgentsConfig, ApprovalMode, ClientTool, ToolSelector};
use futures::future::join_all;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use threadline_tools::endpoint::EndpointTool;
use threadline_tools::mcp::{McpServer, McpStatus};
use threadline_tools::{Tool, Toolbox, ask_user, record_unknown_outcome};

/// The built-in tools, and those of the agents file.
pub(super) struct ToolCatalog {
    built_in: Vec<Arc<dyn Tool>>,
    endpoints: BTreeMap<Arc<str>, Arc<dyn Tool>>,
    mcp_servers: BTreeMap<Arc<str>, Arc<McpServer>>,
}

impl ToolCatalog {
    /// Creates the tools and starts the MCP servers. Servers of `previous` with the same configuration are kept.
    ///
    /// # Errors
    /// If a tool cannot be created. No server is started then. The text is for the operator.
    pub(super) fn new(
        config: Option<&AgentsConfig>,
        deps: &AgentDeps,
        previous: Option<&Self>,
    ) -> Result<Self, String> {
        let mut endpoints: BTreeMap<Arc<str>, Arc<dyn Tool>> = BTreeMap::new();
        for (name, config) in config.iter().flat_map(|config| &config.tools) {
            let tool = EndpointTool::new(name, config, &deps.endpoints);
            endpoints.insert(name.clone(), Arc::new(tool.map_err(|problem| format!("tools.{name}: {problem}"))?));
        }
        let mcp_servers = config.iter().flat_map(|config| &config.mcp).map(|(name, config)| {
            let running = previous.and_then(|previous| previous.mcp_servers.get(name));
            let running = running.filter(|server| server.has_config(config)).cloned();
            let start = || McpServer::start(name, config, &deps.endpoints.client, &deps.mcp_tasks);
            (name.clone(), running.unwrap_or_else(start))
        });
        Ok(Self { built_in: deps.built_in_tools.clone(), endpoints, mcp_servers: mcp_servers.collect() })
    }

    /// Returns a number that is another one after the tools of an MCP server have changed.
    pub(super) fn generation(&self) -> u64 {
        self.mcp_servers.values().map(|server| server.version()).sum()
    }

    /// Returns the selected tools.
    pub(super) fn toolbox(&self, selectors: &[ToolSelector], client_tools: &[ClientTool]) -> Toolbox {
        let selects_ask_user = |selector: &ToolSelector| match selector {
            ToolSelector::BuiltIn => true,
            ToolSelector::Named(name) => **name == *ask_user::NAME,
            ToolSelector::Mcp(_) => false,
        };
        let tools = selectors.iter().flat_map(|selector| self.select(selector));
        Toolbox::new(tools, selectors.iter().any(selects_ask_user), client_tools)
    }

    /// Returns the approval rules of an agent, by the names of tools. Rules of single tools come last, and win.
    pub(super) fn approval_rules(&self, rules: &[(ToolSelector, ApprovalMode)]) -> Vec<(String, ApprovalMode)> {
        let is_single = |selector: &ToolSelector| matches!(selector, ToolSelector::Named(_));
        let (single, groups): (Vec<_>, Vec<_>) = rules.iter().partition(|(selector, _)| is_single(selector));
        let in_order = groups.into_iter().chain(single);
        let of_tools = in_order
            .flat_map(|(selector, mode)| self.select(selector).into_iter().map(|tool| (tool.name().to_owned(), *mode)));
        of_tools.collect()
    }

    /// Returns the built-in tools.
    pub(super) fn built_in(&self) -> &[Arc<dyn Tool>] {
        &self.built_in
    }

    /// Counts a call that was in flight when its process died.
    pub(super) fn record_unknown_outcome(&self, tool: &str) {
        let mcp_tools = self.mcp_servers.values().flat_map(McpServer::tools);
        let all = self.built_in.iter().chain(self.endpoints.values()).cloned().chain(mcp_tools);
        record_unknown_outcome(all, tool);
    }

    /// Returns the states of the MCP servers, by name.
    pub(super) fn mcp_status(&self) -> Vec<(Arc<str>, McpStatus)> {
        let status = self.mcp_servers.iter().map(|(name, server)| (name.clone(), server.status()));
        self.with_conflicts(status.collect())
    }

    /// Returns the states of the MCP servers after their first start, by name.
    pub(super) async fn first_mcp_status(&self, patience: Duration) -> Vec<(Arc<str>, McpStatus)> {
        let servers = self.mcp_servers.iter();
        let status = join_all(servers.map(async |(name, server)| (name.clone(), server.first_status(patience).await)));
        self.with_conflicts(status.await)
    }

    /// Adds the tools that have the name of another one. Which of them an agent has depends on its `tools`.
    fn with_conflicts(&self, mut status: Vec<(Arc<str>, McpStatus)>) -> Vec<(Arc<str>, McpStatus)> {
        let own = self.built_in.iter().chain(self.endpoints.values());
        let mut owners: HashMap<String, String> =
            own.map(|tool| (tool.name().to_owned(), "this service".to_owned())).collect();
        for (server, status) in &mut status {
            for tool in self.mcp_servers.get(server).map(McpServer::tools).unwrap_or_default() {
                match owners.entry(tool.name().to_owned()) {
                    Entry::Vacant(free) => _ = free.insert(format!("the MCP server {server}")),
                    Entry::Occupied(taken) => {
                        let (name, owner) = (taken.key(), taken.get());
                        status
                            .left_out
                            .push(format!("tool {name} has the name of a tool of {owner}; an agent has one of them"));
                    }
                }
            }
        }
        status
    }

    pub(super) fn stop_mcp_servers(&self) {
        for server in self.mcp_servers.values() {
            server.stop();
        }
    }

    fn select(&self, selector: &ToolSelector) -> Vec<Arc<dyn Tool>> {
        match selector {
            ToolSelector::BuiltIn => self.built_in.clone(),
            ToolSelector::Mcp(name) => self.mcp_servers.get(name).map(McpServer::tools).unwrap_or_default(),
            ToolSelector::Named(name) => {
                let built_in = self.built_in.iter().find(|tool| tool.name() == &**name);
                let of_mcp_server = || {
                    let mut tools = self.mcp_servers.values().flat_map(McpServer::tools);
                    tools.find(|tool| tool.name() == &**name)
                };
                let tool = built_in.or_else(|| self.endpoints.get(name)).cloned();
                tool.or_else(of_mcp_server).into_iter().collect()
            }
        }
    }
}
