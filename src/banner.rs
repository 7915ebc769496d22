//! The text that a started server prints: where it listens, and a first request.

use crate::config::ServerConfig;
use std::io::Write;
use std::net::SocketAddr;
use threadline_core::Core;

/// Prints where the process listens, to stdout. The log goes to stderr.
///
/// # Errors
/// When stdout is closed.
pub fn print(
    rest: Option<SocketAddr>,
    rpc: Option<SocketAddr>,
    core: Option<&Core>,
    server: &ServerConfig,
) -> std::io::Result<()> {
    let (http, ws) = if server.tls.is_some() { ("https", "wss") } else { ("http", "ws") };
    let mut text = format!("Threadline {}\n\n", env!("CARGO_PKG_VERSION"));
    if let Some(rest) = rest {
        text.push_str(&format!("  REST      {http}://{rest}\n"));
        text.push_str(&format!("  docs      {http}://{rest}/docs\n"));
        if server.chat_page {
            text.push_str(&format!("  chat      {http}://{rest}/chat\n"));
        }
    }
    if let Some(rpc) = rpc {
        text.push_str(&format!("  JSON-RPC  {http}://{rpc}  and  {ws}://{rpc}\n"));
    }
    if let Some(core) = core {
        text.push_str(&format!("  database  {}\n", core.store().kind()));
        let model = core.model();
        let name = match model.kind() {
            "demo" => "demo, built in (set OPENROUTER_API_KEY for a real one)".to_owned(),
            kind => format!("{} ({kind})", model.name()),
        };
        text.push_str(&format!("  model     {name}\n"));
    }
    if let Some(rest) = rest {
        text.push_str(&format!(
            "\nTry:\n  curl -s {http}://{rest}/api/v1/auth/register -H 'content-type: application/json' \\\n    \
             -d '{{\"email\":\"ada@example.com\",\"password\":\"correct horse\"}}'\n\
             The README continues from here. Ctrl-C stops the server.\n"
        ));
    }
    text.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
