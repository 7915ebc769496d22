//! The announcement of a started server: its addresses as a line of the log, and on a terminal a first request to try.

use crate::config::{LogConfig, LogFormat, ServerConfig};
use crate::listen::Listener;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use threadline_core::Core;
use threadline_core::config::Registration;

/// Where a process listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    rest: Option<SocketAddr>,
    rpc: Option<SocketAddr>,
    ops: Option<SocketAddr>,
}

impl Addresses {
    /// Reads the addresses of the listeners.
    ///
    /// # Errors
    /// When the operating system returns an error.
    pub fn new(rest: Option<&Listener>, rpc: Option<&Listener>, ops: Option<&Listener>) -> std::io::Result<Self> {
        let address = |listener: Option<&Listener>| listener.map(Listener::local_addr).transpose();
        Ok(Self { rest: address(rest)?, rpc: address(rpc)?, ops: address(ops)? })
    }
}

/// Logs the addresses of the process. Prints them to stdout too if that is a terminal: in a container, stdout and
/// stderr are one stream, in which each line must be a line of the log.
///
/// # Errors
/// When the terminal is closed.
pub fn announce(
    addresses: &Addresses,
    core: Option<&Core>,
    server: &ServerConfig,
    log: &LogConfig,
) -> std::io::Result<()> {
    let Addresses { rest, rpc, ops } = *addresses;
    tracing::info!(
        target: "threadline::started",
        version = env!("CARGO_PKG_VERSION"),
        rest = rest.map(tracing::field::display),
        rpc = rpc.map(tracing::field::display),
        ops = ops.map(tracing::field::display),
        tls = server.tls.is_some(),
        database = core.map(|core| core.store().kind()).map(tracing::field::display),
        model = core.map(|core| core.model().name()),
        "listening"
    );
    if log.format == Some(LogFormat::Json) || !std::io::stdout().is_terminal() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text(addresses, core, server).as_bytes())?;
    out.flush()
}

fn text(addresses: &Addresses, core: Option<&Core>, server: &ServerConfig) -> String {
    let Addresses { rest, rpc, ops } = *addresses;
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
    if let Some(ops) = ops {
        text.push_str(&format!("  operators {http}://{ops}/metrics\n"));
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
    if let Some(rest) = rest
        && core.is_some_and(|core| core.registration() == Registration::Open)
    {
        text.push_str(&format!(
            "\nTry:\n  curl -s {http}://{rest}/api/v1/auth/register -H 'content-type: application/json' \\\n    \
             -d '{{\"email\":\"ada@example.com\",\"password\":\"correct horse\"}}'\n\
             The README continues from here. Ctrl-C stops the server.\n"
        ));
    }
    text.push('\n');
    text
}
