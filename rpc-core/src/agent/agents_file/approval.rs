//! `approval` and `approval_expires_seconds`

use super::raw::{RawMcpApproval, SpannedText, TableOf};
use super::{AgentsFileReader, Result};
use crate::config::{AgentsConfig, ApprovalMode, ToolSelector};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use threadline_tools::ask_user;
use toml::Spanned;

/// The key of all tools of an MCP server that have no key of their own.
const ALL_OTHERS: &str = "*";
/// Maximum time that a call waits for approval: one year.
const MAX_EXPIRES_SECONDS: u32 = 365 * 24 * 60 * 60;

/// The approval rules of an MCP server: of its tools, and of single ones by the server's own names.
pub(super) type McpApproval = (ApprovalMode, BTreeMap<Arc<str>, ApprovalMode>);

impl AgentsFileReader<'_> {
    pub(super) fn approval_mode(&self, mode: &SpannedText) -> Result<ApprovalMode> {
        match mode.as_ref().as_str() {
            "never" => Ok(ApprovalMode::Never),
            "first" => Ok(ApprovalMode::First),
            "always" => Ok(ApprovalMode::Always),
            _ => Err(self.error_at(mode.span(), "this is not \"never\", \"first\" or \"always\"")),
        }
    }

    /// Validates the approval of an MCP server: one mode for all of its tools, or a table by the server's own names.
    pub(super) fn mcp_approval(&self, approval: Option<Spanned<RawMcpApproval>>) -> Result<McpApproval> {
        let Some(approval) = approval else { return Ok(McpApproval::default()) };
        let span = approval.span();
        let at = |text: String| Spanned::new(span.clone(), text);
        match approval.into_inner() {
            RawMcpApproval::All(mode) => Ok((self.approval_mode(&at(mode))?, BTreeMap::new())),
            RawMcpApproval::ByTool(modes) => {
                let (mut others, mut single) = McpApproval::default();
                for (name, mode) in modes {
                    let mode = self.approval_mode(&at(mode))?;
                    let name = self.text(&at(name))?;
                    if *name == *ALL_OTHERS {
                        others = mode;
                    } else {
                        single.insert(name, mode);
                    }
                }
                Ok((others, single))
            }
        }
    }

    /// Validates the approval rules of an agent: names of tools as in its `tools`.
    pub(super) fn agent_approvals(
        &self,
        config: &AgentsConfig,
        approval: &TableOf<SpannedText>,
    ) -> Result<Vec<(ToolSelector, ApprovalMode)>> {
        let rule = |(name, mode): (&SpannedText, &SpannedText)| {
            if name.as_ref() == ask_user::NAME {
                return Err(self.error_at(name.span(), "this tool asks the user anyway"));
            }
            Ok((self.tool_selector(config, name)?, self.approval_mode(mode)?))
        };
        approval.iter().map(rule).collect()
    }

    pub(super) fn approval_expires(&self, seconds: Option<Spanned<u32>>) -> Result<Option<Duration>> {
        let seconds = self.number(seconds, 1..=MAX_EXPIRES_SECONDS)?;
        Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
    }
}
