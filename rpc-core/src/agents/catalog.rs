//! Every tool that an agent can be given.

use crate::config::{AgentsConfig, ClientTool, ToolPick};
use crate::tools::endpoint::EndpointTool;
use crate::tools::mcp::McpServer;
use crate::tools::{self, Tool, Toolbox, ask_user};
use reqwest::Client;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// The tools there are.
pub(super) struct Catalog {
    built_in: Vec<Arc<dyn Tool>>,
    endpoints: BTreeMap<Arc<str>, Arc<dyn Tool>>,
    servers: BTreeMap<Arc<str>, Arc<McpServer>>,
}

/// What tools have in common from one reading of the file to the next.
pub(super) struct Means {
    pub(super) client: Client,
    pub(super) built_in: Vec<Arc<dyn Tool>>,
    /// The MCP servers that stand.
    pub(super) servers: TaskTracker,
}

impl Catalog {
    /// MCP servers that `before` has, and that are to be as they are, go on.
    ///
    /// # Errors
    /// In words, when a tool of the file cannot be made; no server is started then.
    pub(super) fn new(config: Option<&AgentsConfig>, means: &Means, before: Option<&Self>) -> Result<Self, String> {
        let mut endpoints: BTreeMap<Arc<str>, Arc<dyn Tool>> = BTreeMap::new();
        for (name, config) in config.iter().flat_map(|config| &config.tools) {
            let tool = EndpointTool::new(name, config, &means.client);
            endpoints.insert(name.clone(), Arc::new(tool.map_err(|problem| format!("tools.{name}: {problem}"))?));
        }
        let servers = config.iter().flat_map(|config| &config.mcp).map(|(name, config)| {
            let standing =
                before.and_then(|before| before.servers.get(name)).filter(|server| server.has_config(config));
            let started = || McpServer::start(name, config, &means.client, &means.servers);
            (name.clone(), standing.cloned().unwrap_or_else(started))
        });
        Ok(Self { built_in: means.built_in.clone(), endpoints, servers: servers.collect() })
    }

    /// Differs whenever what there is has changed.
    pub(super) fn generation(&self) -> u64 {
        self.servers.values().map(|server| server.version()).sum()
    }

    /// The tools that are part of the service.
    pub(super) fn built_in(&self) -> &[Arc<dyn Tool>] {
        &self.built_in
    }

    /// What an agent with these picks is given, and tools of the client's.
    pub(super) fn toolbox(&self, picks: &[ToolPick], client_tools: &[ClientTool]) -> Toolbox {
        let asks = |pick: &ToolPick| match pick {
            ToolPick::BuiltIn => true,
            ToolPick::Named(name) => **name == *ask_user::NAME,
            ToolPick::Mcp(_) => false,
        };
        Toolbox::new(picks.iter().flat_map(|pick| self.picked(pick)), picks.iter().any(asks), client_tools)
    }

    /// Counts a call whose process died while it was in flight.
    pub(super) fn count_unknown(&self, tool: &str) {
        let of_servers = self.servers.values().flat_map(McpServer::tools);
        let all = self.built_in.iter().chain(self.endpoints.values()).cloned().chain(of_servers);
        tools::record_unknown_outcome(all, tool);
    }

    /// Ends every MCP server.
    pub(super) fn stop(&self) {
        for server in self.servers.values() {
            server.stop();
        }
    }

    fn picked(&self, pick: &ToolPick) -> Vec<Arc<dyn Tool>> {
        match pick {
            ToolPick::BuiltIn => self.built_in.clone(),
            ToolPick::Mcp(name) => self.servers.get(name).map(McpServer::tools).unwrap_or_default(),
            ToolPick::Named(name) => {
                let built_in = self.built_in.iter().find(|tool| tool.name() == &**name);
                let own = built_in.or_else(|| self.endpoints.get(name)).cloned();
                let of_server = || {
                    let mut tools = self.servers.values().flat_map(McpServer::tools);
                    tools.find(|tool| tool.name() == &**name)
                };
                own.or_else(of_server).into_iter().collect()
            }
        }
    }
}
