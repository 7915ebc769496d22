//! `[mcp.NAME]`

use super::raw::{RawMcp, SpannedText};
use super::{AgentsFileReader, Result};
use crate::config::{McpConfig, McpTransport};
use std::sync::Arc;
use threadline_tools::mcp::is_fingerprint;
use toml::Spanned;

/// Maximum length of a server's name, which is the prefix of the names of its tools.
const MAX_NAME_CHARS: usize = 32;

impl AgentsFileReader<'_> {
    pub(super) fn mcp(&self, name: &SpannedText, table: RawMcp) -> Result<McpConfig> {
        if name.as_ref().len() > MAX_NAME_CHARS {
            let problem = format!("the name of an MCP server has at most {MAX_NAME_CHARS} letters");
            return Err(self.error_at(name.span(), problem));
        }
        let of_other_transport =
            |key: &str, span| Err(self.error_at(span, format!("`{key}` does not go with how this server is reached")));
        let transport = match (table.command, table.url) {
            (Some(command), None) => {
                if let Some(headers) = table.headers {
                    return of_other_transport("headers", headers.span());
                }
                McpTransport::Command {
                    program: self.text(&command)?.to_string(),
                    arguments: table.args.map(Spanned::into_inner).unwrap_or_default(),
                    environment: self.environment(table.env.map(Spanned::into_inner).unwrap_or_default())?,
                }
            }
            (None, Some(url)) => {
                if let Some(args) = table.args {
                    return of_other_transport("args", args.span());
                }
                if let Some(env) = table.env {
                    return of_other_transport("env", env.span());
                }
                McpTransport::Http {
                    url: self.url(&url)?,
                    headers: self.headers(table.headers.map(Spanned::into_inner).unwrap_or_default())?,
                }
            }
            (Some(_), Some(url)) => {
                return Err(self.error_at(url.span(), "there is a `command` as well; keep one of the two"));
            }
            (None, None) => return Err(self.error_at(name.span(), "an MCP server needs a `command` or a `url`")),
        };
        let (approval, approval_of) = self.mcp_approval(table.approval)?;
        let pin = table.pin.as_ref().map(|pin| self.fingerprint(pin)).transpose()?;
        let only = table.tools.as_ref();
        let only = only.map(|names| names.iter().map(|name| self.text(name)).collect::<Result<_>>()).transpose()?;
        Ok(McpConfig {
            transport,
            sends_user_context: table.user_context,
            limits: self.limits(table.timeout_seconds, table.max_concurrency, table.max_result_bytes)?,
            allows_widgets: table.widgets,
            actions: table.actions.iter().map(|name| self.text(name)).collect::<Result<_>>()?,
            approval,
            approval_of,
            idempotent: table.idempotent.iter().map(|name| self.text(name)).collect::<Result<_>>()?,
            pin,
            only,
            trusts_hints: table.trust_hints,
        })
    }

    fn fingerprint(&self, pin: &SpannedText) -> Result<Arc<str>> {
        let text = self.text(pin)?;
        match is_fingerprint(&text) {
            true => Ok(text),
            false => Err(self.error_at(
                pin.span(),
                "this is not a fingerprint: `sha256:` and 64 digits from 0 to f; `threadline doctor` prints that of the server",
            )),
        }
    }
}
