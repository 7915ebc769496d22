//! What the three ways to run have in common: telemetry, listeners, gateways, and the stop in order.

use super::handlers::{self, Hosts, RpcPages};
use crate::banner::{self, Addresses};
use crate::config::{ConfigError, ServerConfig, Settings};
use crate::listen::{self, Certificates, ConnectionLimits, Listener};
use crate::telemetry::{self, ErrorReports, MetricsPage, Telemetry, Traces, Volume};
use crate::{reload, shutdown};
use http::Request;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use threadline_core::config::CoreConfig;
use threadline_core::{Core, GatewayTrust, HiddenMethods, RpcHttpConfig, RpcServer};
use threadline_gateway::{Gateway, GatewayConfig, Pages, Upstream};
use threadline_runtime::{ByteBudget, Supervisor, TaskFailure, TaskKind};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Maximum time for a request's body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum time without bytes on a stream. Then it sends a comment, so that proxies do not close it.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Maximum time for connections to close after the runs have ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory for bodies of requests that are not answered yet, in bodies of the maximum size. At least
/// [`MIN_INPUT_BYTES`].
const INPUT_BODIES: usize = 64;
const MIN_INPUT_BYTES: usize = 256 * 1024 * 1024;
/// Bytes that a gateway adds to a body on its way to the core. The core accepts this much more than the maximum body.
pub(super) const META_BYTES: usize = 8 * 1024;

/// A process that serves: its listeners, and what these share.
pub(super) struct Process {
    pub(super) server: ServerConfig,
    pub(super) supervisor: Supervisor,
    stop: CancellationToken,
    certificates: Option<Certificates>,
    metrics: MetricsPage,
    /// Memory for bodies that are not answered yet.
    input: ByteBudget,
    /// The listener of operators, until it is served.
    ops: Option<Listener>,
    serving: Vec<JoinHandle<Option<usize>>>,
    telemetry: Telemetry,
}

/// A core in this process, with its RPC server.
pub(super) struct RunningCore {
    pub(super) core: Arc<Core>,
    pub(super) rpc_server: RpcServer,
}

impl RunningCore {
    /// Starts the core. Gateways without the secret are trusted as `without_secret` says.
    pub(super) async fn start(
        process: &Process,
        settings: &Settings,
        config: CoreConfig,
        without_secret: GatewayTrust,
    ) -> anyhow::Result<Self> {
        let core = Core::start(config, &process.supervisor).await?;
        reload::on_signal(settings, &core, &process.supervisor)?;
        let server = &process.server;
        let rpc_server = core.rpc_server(RpcHttpConfig {
            max_sockets: server.max_connections,
            body_timeout: BODY_TIMEOUT,
            origins: server.page_origins.clone(),
            gateways: server.gateway_secret.clone().map_or(without_secret, GatewayTrust::Secret),
            input: process.input.clone(),
            ..RpcHttpConfig::default()
        });
        Ok(Self { core, rpc_server })
    }

    /// Ends the runs first and the sockets after them, so that streams get the terminal events.
    async fn drain(&self, grace: Duration) {
        self.core.drain(grace).await;
        if tokio::time::timeout(CLOSE_TIMEOUT, self.rpc_server.close_sockets()).await.is_err() {
            tracing::warn!("some WebSockets did not close in time");
        }
    }
}

impl Process {
    /// Starts the log and the metrics, handles the signals that stop the process, reads the certificate, and opens the
    /// listener of operators.
    pub(super) async fn start(settings: &Settings, warnings: &[String], volumes: Vec<Volume>) -> anyhow::Result<Self> {
        let server = settings.server()?;
        let supervisor = Supervisor::default();
        let telemetry = start_telemetry(settings, warnings, volumes, &supervisor)?;
        let stop = shutdown::on_signal(&supervisor)?;
        reload::survive_hangups(server.tls.is_some(), settings, &supervisor)?;
        let certificates = server.tls.as_ref().map(Certificates::load).transpose()?;
        if let Some(certificates) = &certificates {
            certificates.keep_current(&supervisor)?;
        }
        let input = ByteBudget::new(server.body_bytes.saturating_mul(INPUT_BODIES).max(MIN_INPUT_BYTES));
        let mut process = Self {
            server,
            supervisor,
            stop,
            certificates,
            metrics: telemetry.metrics.clone(),
            input,
            ops: None,
            serving: Vec::new(),
            telemetry,
        };
        if let Some(address) = process.server.ops_listen {
            process.ops = Some(process.bind("ops", "OPS_LISTEN", address).await?);
        }
        Ok(process)
    }

    pub(super) async fn bind(
        &self,
        name: &'static str,
        variable: &'static str,
        address: SocketAddr,
    ) -> Result<Listener, ConfigError> {
        let tls = self.certificates.as_ref().map(Certificates::acceptor).transpose()?;
        Listener::bind(name, variable, address, tls).await
    }

    /// Returns the listener of operators, if it is configured and not served yet.
    pub(super) fn ops(&self) -> Option<&Listener> {
        self.ops.as_ref()
    }

    pub(super) fn announce(
        &self,
        settings: &Settings,
        addresses: &Addresses,
        core: Option<&Core>,
    ) -> std::io::Result<()> {
        banner::announce(addresses, core, &self.server, &settings.log())
    }

    /// Returns the gateway of the REST listener.
    pub(super) fn public_gateway(&self, upstream: &Arc<dyn Upstream>) -> Gateway {
        self.gateway(if self.server.ops_listen.is_some() { Pages::Public } else { Pages::All }, upstream)
    }

    fn gateway(&self, pages: Pages, upstream: &Arc<dyn Upstream>) -> Gateway {
        let server = &self.server;
        let config = GatewayConfig {
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
            input: self.input.clone(),
        };
        let metrics = self.metrics.clone();
        Gateway::new(config, upstream.clone(), Arc::new(move || metrics.render()))
    }

    /// Returns the methods that JSON-RPC on the REST listener does not serve: those whose rows the REST API has not.
    pub(super) fn hidden_on_rest(&self) -> HiddenMethods {
        let has_ops = self.server.ops_listen.is_some();
        HiddenMethods { admin: has_ops || !is_for_this_machine(&self.server), health: has_ops }
    }

    /// Returns the host names that a listener answers to. A page on the machine of a user can reach a local listener
    /// under a name of its own (DNS rebinding); behind a proxy on the same machine, the names are those of the proxy.
    pub(super) fn hosts_of(&self, listener: &Listener) -> std::io::Result<Hosts> {
        let address = listener.local_addr()?.ip();
        let has_local_proxy = self.server.trusted_proxies.iter().any(|net| net.contains(&address));
        if !address.is_loopback() || has_local_proxy || self.server.cors_origins.iter().any(|origin| origin == "*") {
            return Ok(Hosts::Any);
        }
        Ok(Hosts::Local(self.server.host_names.clone()))
    }

    /// Serves a listener in a background task.
    pub(super) fn serve<H, F, B>(&mut self, listener: Listener, handler: H)
    where
        H: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = http::Response<B>> + Send + 'static,
        B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let limits = connection_limits(&self.server);
        let serve = listen::serve(listener, handler, limits, self.stop.clone(), self.supervisor.clone());
        self.serving.push(self.supervisor.spawn_with_result(TaskKind::Listener, serve));
    }

    pub(super) fn serve_rpc(&mut self, listener: Listener, rpc_server: &RpcServer) -> std::io::Result<()> {
        let has_ops = self.server.ops_listen.is_some();
        let pages = if has_ops { RpcPages::Health } else { RpcPages::WithMetrics(self.metrics.clone()) };
        let (rpc_server, hosts) = (rpc_server.clone(), self.hosts_of(&listener)?);
        self.serve(listener, move |peer, request| {
            handlers::rpc(rpc_server.clone(), pages.clone(), hosts.clone(), peer.ip(), request)
        });
        Ok(())
    }

    /// Serves the listener of operators, if it is configured.
    pub(super) fn serve_ops(&mut self, upstream: &Arc<dyn Upstream>) -> std::io::Result<()> {
        let Some(listener) = self.ops.take() else { return Ok(()) };
        let (gateway, hosts) = (self.gateway(Pages::Operators, upstream), self.hosts_of(&listener)?);
        self.serve(listener, move |peer, request| {
            handlers::gateway_alone(gateway.clone(), hosts.clone(), peer, request)
        });
        Ok(())
    }

    /// Waits for the stop. Then ends the runs, the listeners and the background tasks, in this order.
    ///
    /// # Errors
    /// When the failure of a background task has caused the stop.
    pub(super) async fn wait_and_drain(self, running: Option<RunningCore>) -> anyhow::Result<()> {
        let failure = wait_for_stop(&self.supervisor, &self.stop).await;
        if let Some(running) = &running {
            running.drain(self.server.drain).await;
        }
        for serving in self.serving {
            serving.await?;
        }
        self.supervisor.shut_down();
        let _log = self.telemetry.finish().await;
        failure.map_or(Ok(()), Err)?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Waits for the signal to stop, or for the failure of a background task without which the process cannot keep its
/// promises. Returns the failure. In both cases `stop` is cancelled then.
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

fn start_telemetry(
    settings: &Settings,
    warnings: &[String],
    volumes: Vec<Volume>,
    supervisor: &Supervisor,
) -> anyhow::Result<Telemetry> {
    let reports = settings.error_report_url().map(|url| (url, telemetry::error_reports()));
    let (reports, layer) = match reports {
        Some((url, (layer, queue))) => (Some((url, queue)), Some(layer)),
        None => (None, None),
    };
    let log = telemetry::install_log(&settings.log(), layer)?;
    let error_reports = reports.map(|(url, queue)| ErrorReports::start(queue, url, supervisor)).transpose()?;
    threadline_trace::set_slow_limits(settings.slow_limits());
    let traces = settings.traces().as_ref().map(Traces::start).transpose()?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let metrics = telemetry::install_metrics()?;
    supervisor.spawn(TaskKind::MetricsUpkeep, metrics.clone().upkeep(volumes, log.dropped_lines()));
    Ok(Telemetry { metrics, traces, error_reports, _log: log })
}

/// Returns whether only this machine reaches the REST listener. Behind a proxy of this machine, others may reach it
/// too.
fn is_for_this_machine(server: &ServerConfig) -> bool {
    let address = server.rest_listen.ip();
    address.is_loopback() && !server.trusted_proxies.iter().any(|net| net.contains(&address))
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
