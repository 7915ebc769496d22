//! `[mcp.NAME]`

use super::shape::{Mcp, Text};
use super::{Result, Source};
use crate::config::{McpConfig, McpTransport};
use toml::Spanned;

/// Characters of a server's name: it stands before the names of its tools.
const NAME_CHARS: usize = 32;

impl Source<'_> {
    pub(super) fn mcp(&self, name: &Text, table: Mcp) -> Result<McpConfig> {
        if name.as_ref().len() > NAME_CHARS {
            return Err(self.wrong(name.span(), format!("the name of an MCP server has at most {NAME_CHARS} letters")));
        }
        let of_other =
            |key: &str, span| Err(self.wrong(span, format!("`{key}` does not go with how this server is reached")));
        let transport = match (table.command, table.url) {
            (Some(command), None) => {
                if let Some(headers) = table.headers {
                    return of_other("headers", headers.span());
                }
                McpTransport::Command {
                    program: self.text(&command)?.to_string(),
                    arguments: table.args.map(Spanned::into_inner).unwrap_or_default(),
                    environment: self.environment(table.env.map(Spanned::into_inner).unwrap_or_default())?,
                }
            }
            (None, Some(url)) => {
                if let Some(args) = table.args {
                    return of_other("args", args.span());
                }
                if let Some(env) = table.env {
                    return of_other("env", env.span());
                }
                McpTransport::Http {
                    url: self.url(&url)?,
                    headers: self.headers(table.headers.map(Spanned::into_inner).unwrap_or_default())?,
                }
            }
            (Some(_), Some(url)) => {
                return Err(self.wrong(url.span(), "there is a `command` as well; keep one of the two"));
            }
            (None, None) => return Err(self.wrong(name.span(), "an MCP server needs a `command` or a `url`")),
        };
        let limits = self.limits(table.timeout_seconds, table.max_concurrency, table.max_result_bytes)?;
        let actions = table.actions.iter().map(|name| self.text(name)).collect::<Result<_>>()?;
        Ok(McpConfig {
            transport,
            sends_user_context: table.user_context,
            limits,
            allows_widgets: table.widgets,
            actions,
        })
    }
}
