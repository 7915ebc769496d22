//! The three ways to run: gateway and core in one process, the core alone, the gateway alone.
//!
//! Each of them starts a process (`app/process.rs`), makes the upstream of its gateways, serves its listeners, and
//! waits for the stop.

mod handlers;
mod process;

use crate::banner::Addresses;
use crate::config::{ConfigError, Settings};
use crate::in_process::InProcess;
use crate::telemetry;
use process::{META_BYTES, Process, RunningCore};
use std::sync::Arc;
use threadline_core::GatewayTrust;
use threadline_core::config::{CoreConfig, ProcessConfig};
use threadline_gateway::{Remote, RemoteConfig, Upstream};

/// Runs gateway and core in one process, until a signal stops it.
///
/// # Errors
/// When a setting is wrong, a port is in use, the database cannot be used, or the model's client cannot be created.
pub async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let (config, warnings) = settings.core()?;
    let mut process = Process::start(settings, &warnings, telemetry::volumes(settings)).await?;
    let rest = process.bind("rest", "REST_LISTEN", process.server.rest_listen).await?;
    let rpc = process.bind("rpc", "RPC_LISTEN", process.server.rpc_listen).await?;

    // The port is known only now if the setting has port 0.
    let config = CoreConfig {
        attachments: settings.attachments(rest.local_addr()?),
        process: ProcessConfig { address: rest.local_addr()?.to_string(), ..config.process },
        ..config
    };
    let running = RunningCore::start(&process, settings, config, GatewayTrust::NoGateways).await?;
    let upstream: Arc<dyn Upstream> = Arc::new(InProcess(running.rpc_server.clone()));
    let addresses = Addresses::new(Some(&rest), Some(&rpc), process.ops())?;
    process.announce(settings, &addresses, Some(&running.core))?;

    let (gateway, hosts) = (process.public_gateway(&upstream), process.hosts_of(&rest)?);
    let rpc_server = running.rpc_server.without(process.hidden_on_rest());
    process.serve(rest, move |peer, request| {
        handlers::rest_with_rpc(gateway.clone(), rpc_server.clone(), hosts.clone(), peer, request)
    });
    process.serve_rpc(rpc, &running.rpc_server)?;
    process.serve_ops(&upstream)?;
    process.wait_and_drain(Some(running)).await
}

/// Runs the core alone.
///
/// # Errors
/// As for [`serve`].
pub async fn core(settings: &Settings) -> anyhow::Result<()> {
    let (config, warnings) = settings.core()?;
    let mut process = Process::start(settings, &warnings, telemetry::volumes(settings)).await?;
    let rpc = process.bind("rpc", "RPC_LISTEN", process.server.rpc_listen).await?;

    let address = rpc.local_addr()?.to_string();
    let config = CoreConfig { process: ProcessConfig { address, ..config.process }, ..config };
    let running = RunningCore::start(&process, settings, config, GatewayTrust::Claimed).await?;
    if process.server.gateway_secret.is_none() && !process.server.rpc_listen.ip().is_loopback() {
        tracing::warn!(
            "GATEWAY_SECRET is not set: every client that reaches RPC_LISTEN can claim to be a gateway. Set the secret \
             here and at the gateways, or let only gateways reach the port"
        );
    }
    let upstream: Arc<dyn Upstream> = Arc::new(InProcess(running.rpc_server.clone()));
    let addresses = Addresses::new(None, Some(&rpc), process.ops())?;
    process.announce(settings, &addresses, Some(&running.core))?;

    process.serve_rpc(rpc, &running.rpc_server)?;
    process.serve_ops(&upstream)?;
    process.wait_and_drain(Some(running)).await
}

/// Runs the gateway alone, in front of a core in another process.
///
/// # Errors
/// When a setting is wrong or the port is in use. A core that cannot be reached is not an error: requests are answered
/// 503 until it can.
pub async fn gateway(settings: &Settings) -> anyhow::Result<()> {
    let core_url = settings.core_url()?.to_owned();
    let mut process = Process::start(settings, &[], Vec::new()).await?;
    let rest = process.bind("rest", "REST_LISTEN", process.server.rest_listen).await?;

    let config = RemoteConfig {
        request_bytes: process.server.body_bytes + META_BYTES,
        secret: process.server.gateway_secret.clone(),
        ..RemoteConfig::new(core_url)
    };
    let remote = Remote::connect(config, &process.supervisor)
        .map_err(|error| ConfigError::new("CORE_URL", error.to_string()))?;
    let upstream: Arc<dyn Upstream> = Arc::new(remote);
    let addresses = Addresses::new(Some(&rest), None, process.ops())?;
    process.announce(settings, &addresses, None)?;

    let (gateway, hosts) = (process.public_gateway(&upstream), process.hosts_of(&rest)?);
    process.serve(rest, move |peer, request| handlers::gateway_alone(gateway.clone(), hosts.clone(), peer, request));
    process.serve_ops(&upstream)?;
    process.wait_and_drain(None).await
}
