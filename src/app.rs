//! The three ways to run: gateway and core in one process, the core alone, the gateway alone.
//!
//! Each of them reads the settings, opens the listeners, creates the parts, serves, and drains.

mod handlers;

use crate::config::{ConfigError, ServerConfig, Settings};
use crate::in_process::InProcess;
use crate::listen::{self, Certificates, ConnectionLimits, Listener};
use crate::telemetry::{self, MetricsPage, Telemetry, Volume};
use crate::{banner, reload, shutdown};
use handlers::{Hosts, RpcPages};
use http::Request;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use threadline_core::config::CoreConfig;
use threadline_core::{Core, GatewayTrust, RpcHttpConfig, RpcServer};
use threadline_gateway::{Gateway, GatewayConfig, Pages, Remote, RemoteConfig, Upstream};
use threadline_runtime::{ByteBudget, Supervisor, TaskFailure, TaskKind};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Maximum time for a request's body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum silence of a stream. Then it sends a comment, so that proxies do not close it.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Maximum time for connections to close after the runs have ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory for what peers have sent and is not answered yet, in bodies of the maximum size. At least [`MIN_INPUT_BYTES`].
const INPUT_BODIES: usize = 64;
const MIN_INPUT_BYTES: usize = 256 * 1024 * 1024;
/// Bytes that a gateway adds to a body on its way to the core. The core accepts this much more than the maximum body.
const META_BYTES: usize = 8 * 1024;

/// What all listeners of a process share.
struct Listeners<'s> {
    server: &'s ServerConfig,
    certificates: Option<Certificates>,
    stop: CancellationToken,
    supervisor: &'s Supervisor,
    serving: Vec<JoinHandle<Option<usize>>>,
}

/// Runs gateway and core in one process, until a signal stops it.
///
/// # Errors
/// When a setting is wrong, a port is in use, the database cannot be used, or the model's client cannot be created.
pub async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let (config, warnings) = settings.core()?;
    let server = settings.server()?;
    let supervisor = Supervisor::default();
    let Telemetry { metrics, _log } = start_telemetry(settings, &warnings, telemetry::volumes(settings), &supervisor)?;
    let mut listeners = Listeners::new(&server, &supervisor)?;
    let rest = listeners.bind("rest", "REST_LISTEN", server.rest_listen).await?;
    let rpc = listeners.bind("rpc", "RPC_LISTEN", server.rpc_listen).await?;
    let ops = listeners.bind_ops().await?;

    // The port is known only now if the setting has port 0.
    let config = CoreConfig { attachments: settings.attachments(rest.local_addr()?), ..config };
    let core = Core::start(config, &supervisor).await?;
    reload::on_signal(settings, &core, &supervisor)?;
    let input = input_budget(&server);
    let rpc_server = rpc_server(&core, &server, GatewayTrust::Nobody, input.clone());
    let upstream: Arc<dyn Upstream> = Arc::new(InProcess(rpc_server.clone()));
    let gateway = |pages| {
        Gateway::new(gateway_config(&server, pages, input.clone()), upstream.clone(), metrics_renderer(&metrics))
    };
    let addresses = banner::Addresses::new(Some(&rest), Some(&rpc), ops.as_ref())?;
    banner::announce(&addresses, Some(&core), &server, &settings.log())?;

    let (api, hosts) = (gateway(public_pages(&server)), hosts_of(&rest, &server)?);
    let (served, rpc_hosts) = (rpc_server.clone(), hosts_of(&rpc, &server)?);
    listeners.serve(rest, move |peer, request| {
        handlers::rest_with_rpc(api.clone(), served.clone(), hosts.clone(), peer, request)
    });
    listeners.serve_rpc(rpc, rpc_server.clone(), rpc_pages(&server, &metrics), rpc_hosts);
    listeners.serve_ops(ops, gateway(Pages::Operators));
    let drained = drain(&core, rpc_server, server.drain, (&supervisor, &listeners.stop)).await;
    listeners.finish().await?;
    drained?;
    tracing::info!("stopped");
    Ok(())
}

/// Runs the core alone.
///
/// # Errors
/// As for [`serve`].
pub async fn core(settings: &Settings) -> anyhow::Result<()> {
    let (config, warnings) = settings.core()?;
    let server = settings.server()?;
    let supervisor = Supervisor::default();
    let Telemetry { metrics, _log } = start_telemetry(settings, &warnings, telemetry::volumes(settings), &supervisor)?;
    let mut listeners = Listeners::new(&server, &supervisor)?;
    let rpc = listeners.bind("rpc", "RPC_LISTEN", server.rpc_listen).await?;
    let ops = listeners.bind_ops().await?;

    let core = Core::start(config, &supervisor).await?;
    reload::on_signal(settings, &core, &supervisor)?;
    if server.gateway_secret.is_none() && !server.rpc_listen.ip().is_loopback() {
        tracing::warn!(
            "GATEWAY_SECRET is not set: whoever reaches RPC_LISTEN can say that it is a gateway. Set it here and at the gateways, or let only gateways reach the port"
        );
    }
    let input = input_budget(&server);
    let rpc_server = rpc_server(&core, &server, GatewayTrust::Claimed, input.clone());
    let addresses = banner::Addresses::new(None, Some(&rpc), ops.as_ref())?;
    banner::announce(&addresses, Some(&core), &server, &settings.log())?;

    let hosts = hosts_of(&rpc, &server)?;
    listeners.serve_rpc(rpc, rpc_server.clone(), rpc_pages(&server, &metrics), hosts);
    let upstream: Arc<dyn Upstream> = Arc::new(InProcess(rpc_server.clone()));
    let operators = gateway_config(&server, Pages::Operators, input);
    listeners.serve_ops(ops, Gateway::new(operators, upstream, metrics_renderer(&metrics)));
    let drained = drain(&core, rpc_server, server.drain, (&supervisor, &listeners.stop)).await;
    listeners.finish().await?;
    drained?;
    tracing::info!("stopped");
    Ok(())
}

/// Runs the gateway alone, in front of a core in another process.
///
/// # Errors
/// When a setting is wrong or the port is in use. A core that cannot be reached is no error: requests are answered 503
/// until it can.
pub async fn gateway(settings: &Settings) -> anyhow::Result<()> {
    let core_url = settings.core_url()?.to_owned();
    let server = settings.server()?;
    let supervisor = Supervisor::default();
    let Telemetry { metrics, _log } = start_telemetry(settings, &[], Vec::new(), &supervisor)?;
    let mut listeners = Listeners::new(&server, &supervisor)?;
    let rest = listeners.bind("rest", "REST_LISTEN", server.rest_listen).await?;
    let ops = listeners.bind_ops().await?;

    let config = RemoteConfig {
        request_bytes: server.body_bytes + META_BYTES,
        secret: server.gateway_secret.clone(),
        ..RemoteConfig::new(core_url)
    };
    let remote =
        Remote::connect(config, &supervisor).map_err(|error| ConfigError::new("CORE_URL", error.to_string()))?;
    let upstream: Arc<dyn Upstream> = Arc::new(remote);
    let input = input_budget(&server);
    let gateway = |pages| {
        Gateway::new(gateway_config(&server, pages, input.clone()), upstream.clone(), metrics_renderer(&metrics))
    };
    let addresses = banner::Addresses::new(Some(&rest), None, ops.as_ref())?;
    banner::announce(&addresses, None, &server, &settings.log())?;

    let (api, hosts) = (gateway(public_pages(&server)), hosts_of(&rest, &server)?);
    listeners.serve(rest, move |peer, request| handlers::gateway_alone(api.clone(), hosts.clone(), peer, request));
    listeners.serve_ops(ops, gateway(Pages::Operators));
    let failure = wait_for_stop(&supervisor, &listeners.stop).await;
    listeners.finish().await?;
    supervisor.shut_down();
    failure.map_or(Ok(()), Err)?;
    tracing::info!("stopped");
    Ok(())
}

impl<'s> Listeners<'s> {
    /// Handles the signals that stop the process, and reads the certificate.
    fn new(server: &'s ServerConfig, supervisor: &'s Supervisor) -> anyhow::Result<Self> {
        let stop = shutdown::on_signal(supervisor)?;
        let certificates = server.tls.as_ref().map(Certificates::load).transpose()?;
        if let Some(certificates) = &certificates {
            certificates.keep_current(supervisor)?;
        }
        Ok(Self { server, certificates, stop, supervisor, serving: Vec::new() })
    }

    async fn bind(
        &self,
        name: &'static str,
        variable: &'static str,
        address: SocketAddr,
    ) -> Result<Listener, ConfigError> {
        let tls = self.certificates.as_ref().map(Certificates::acceptor).transpose()?;
        Listener::bind(name, variable, address, tls).await
    }

    /// Opens the listener of operators, if it is configured.
    async fn bind_ops(&self) -> Result<Option<Listener>, ConfigError> {
        match self.server.ops_listen {
            Some(address) => self.bind("ops", "OPS_LISTEN", address).await.map(Some),
            None => Ok(None),
        }
    }

    fn serve<H, F, B>(&mut self, listener: Listener, handler: H)
    where
        H: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = http::Response<B>> + Send + 'static,
        B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let limits = connection_limits(self.server);
        let serve = listen::serve(listener, handler, limits, self.stop.clone(), self.supervisor.clone());
        self.serving.push(self.supervisor.spawn_with_result(TaskKind::Listener, serve));
    }

    fn serve_rpc(&mut self, listener: Listener, rpc_server: RpcServer, pages: RpcPages, hosts: Hosts) {
        self.serve(listener, move |peer, request| {
            handlers::rpc(rpc_server.clone(), pages.clone(), hosts.clone(), peer.ip(), request)
        });
    }

    fn serve_ops(&mut self, listener: Option<Listener>, gateway: Gateway) {
        if let Some(listener) = listener {
            // Operators name it as they like: it is theirs alone.
            let handler = move |peer, request| handlers::gateway_alone(gateway.clone(), Hosts::Any, peer, request);
            self.serve(listener, handler);
        }
    }

    /// Waits until all listeners have ended, after the stop.
    async fn finish(self) -> anyhow::Result<()> {
        for serving in self.serving {
            serving.await?;
        }
        Ok(())
    }
}

/// Waits for the signal to stop, or for the failure of a background task without which the process cannot keep its
/// promises. Returns the failure. `stop` is cancelled then in either case.
async fn wait_for_stop(supervisor: &Supervisor, stop: &CancellationToken) -> Option<TaskFailure> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        failure = supervisor.failed() => {
            tracing::error!(task = failure.task.name(), "shutting down: a background task has failed");
            stop.cancel();
            Some(failure)
        }
    }
}

/// Waits for the stop, then ends the runs first and the sockets after them, so that streams get the terminal events.
/// Returns the failure that caused the stop, if it was one.
async fn drain(
    core: &Core,
    rpc_server: RpcServer,
    grace: Duration,
    (supervisor, stop): (&Supervisor, &CancellationToken),
) -> Result<(), TaskFailure> {
    let failure = wait_for_stop(supervisor, stop).await;
    core.drain(grace).await;
    if tokio::time::timeout(CLOSE_TIMEOUT, rpc_server.close_sockets()).await.is_err() {
        tracing::warn!("some WebSockets did not close in time");
    }
    failure.map_or(Ok(()), Err)
}

fn start_telemetry(
    settings: &Settings,
    warnings: &[String],
    volumes: Vec<Volume>,
    supervisor: &Supervisor,
) -> anyhow::Result<Telemetry> {
    let log = telemetry::install_log(&settings.log())?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let metrics = telemetry::install_metrics()?;
    supervisor.spawn(TaskKind::MetricsUpkeep, metrics.clone().upkeep(volumes, log.dropped_lines()));
    Ok(Telemetry { metrics, _log: log })
}

/// Returns the names that a listener answers to. A page on the machine of a user can reach a local listener under a name of
/// its own (DNS rebinding); behind a proxy on the same machine, the names are those of the proxy.
fn hosts_of(listener: &Listener, server: &ServerConfig) -> std::io::Result<Hosts> {
    let address = listener.local_addr()?.ip();
    let has_local_proxy = server.trusted_proxies.iter().any(|net| net.contains(&address));
    if !address.is_loopback() || has_local_proxy || server.cors_origins.iter().any(|origin| origin == "*") {
        return Ok(Hosts::Any);
    }
    Ok(Hosts::Local(server.host_names.clone()))
}

fn rpc_server(core: &Core, server: &ServerConfig, without_secret: GatewayTrust, input: ByteBudget) -> RpcServer {
    core.rpc_server(RpcHttpConfig {
        max_sockets: server.max_connections,
        body_timeout: BODY_TIMEOUT,
        origins: server.page_origins.clone(),
        gateways: server.gateway_secret.clone().map_or(without_secret, GatewayTrust::Secret),
        input,
        ..RpcHttpConfig::default()
    })
}

fn gateway_config(server: &ServerConfig, pages: Pages, input: ByteBudget) -> GatewayConfig {
    GatewayConfig {
        cors_origins: server.cors_origins.clone(),
        trusted_proxies: server.trusted_proxies.clone(),
        body_bytes: server.body_bytes,
        body_timeout: BODY_TIMEOUT,
        heartbeat: HEARTBEAT,
        hsts: server.hsts,
        chat_page: server.chat_page,
        chat_images: server.chat_images.clone(),
        pages,
        console: pages == Pages::Operators || is_for_this_machine(server),
        input,
    }
}

/// Whether only this machine reaches the REST listener. Behind a proxy of this machine, others may reach it too.
fn is_for_this_machine(server: &ServerConfig) -> bool {
    let address = server.rest_listen.ip();
    address.is_loopback() && !server.trusted_proxies.iter().any(|net| net.contains(&address))
}

fn public_pages(server: &ServerConfig) -> Pages {
    if server.ops_listen.is_some() { Pages::Public } else { Pages::All }
}

fn rpc_pages(server: &ServerConfig, metrics: &MetricsPage) -> RpcPages {
    if server.ops_listen.is_some() { RpcPages::Health } else { RpcPages::WithMetrics(metrics.clone()) }
}

fn input_budget(server: &ServerConfig) -> ByteBudget {
    ByteBudget::new(server.body_bytes.saturating_mul(INPUT_BODIES).max(MIN_INPUT_BYTES))
}

fn metrics_renderer(metrics: &MetricsPage) -> Arc<dyn Fn() -> String + Send + Sync> {
    let metrics = metrics.clone();
    Arc::new(move || metrics.render())
}

fn connection_limits(server: &ServerConfig) -> ConnectionLimits {
    ConnectionLimits {
        connections: server.max_connections,
        per_address: server.max_connections_per_address,
        proxies: server.trusted_proxies.clone(),
        drain: server.drain + CLOSE_TIMEOUT,
        ..ConnectionLimits::default()
    }
}
