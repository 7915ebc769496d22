//! The three ways to run: gateway and core in one process, the core alone, the gateway alone.
//!
//! Each of them reads the settings, opens the listeners, creates the parts, serves, and drains.

use crate::config::{ConfigError, ServerConfig, Settings};
use crate::in_process::InProcess;
use crate::listen::{self, ConnectionLimits, Listener};
use crate::telemetry::{self, MetricsPage, Volume};
use crate::{banner, reload, shutdown};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use threadline_core::config::CoreConfig;
use threadline_core::{Core, RpcHttpConfig, RpcServer};
use threadline_gateway::{Gateway, GatewayConfig, Remote, RemoteConfig, Upstream};
use threadline_runtime::{Supervisor, TaskFailure, TaskKind};
use tokio_util::sync::CancellationToken;

/// Maximum time for a request's body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum silence of a stream. Then it sends a comment, so that proxies do not close it.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Interval of the pings on an idle WebSocket.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Maximum time for connections to close after the runs have ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs gateway and core in one process, until a signal stops it.
///
/// # Errors
/// When a setting is wrong, a port is in use, the database cannot be used, or the model's client cannot be created.
pub async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let (config, warnings) = settings.core()?;
    let server = settings.server()?;
    let supervisor = Supervisor::default();
    let metrics = start_telemetry(settings, &warnings, telemetry::volumes(settings), &supervisor)?;
    let stop = shutdown::on_signal(&supervisor)?;
    let rest = listener("rest", "REST_LISTEN", server.rest_listen, &server).await?;
    let rpc = listener("rpc", "RPC_LISTEN", server.rpc_listen, &server).await?;

    // The port is known only now if the setting has port 0.
    let config = CoreConfig { attachments: settings.attachments(rest.local_addr()?), ..config };
    let core = Core::start(config, &supervisor).await?;
    reload::on_signal(settings, &core, &supervisor)?;
    let rpc_server = rpc_server(&core, &server);
    let upstream: Arc<dyn Upstream> = Arc::new(InProcess(rpc_server.clone()));
    let gateway = Gateway::new(gateway_config(&server), upstream, metrics_renderer(&metrics));
    banner::announce(Some(rest.local_addr()?), Some(rpc.local_addr()?), Some(&core), &server, &settings.log())?;

    let limits = connection_limits(&server);
    let rest_handler = {
        let rpc_server = rpc_server.clone();
        move |peer: SocketAddr, request: Request<Incoming>| {
            let (gateway, rpc_server) = (gateway.clone(), rpc_server.clone());
            async move {
                if request.uri().path() != RPC_PATH {
                    return gateway.handle(peer.ip(), request).await.map(Either::Left);
                }
                let headers = request.headers().clone();
                if request.method() == Method::OPTIONS {
                    return gateway.preflight(&headers).map(Either::Left);
                }
                let mut response = rpc_server.handle(peer.ip(), request).await;
                gateway.apply_headers(&headers, &mut response);
                response.map(Either::Right)
            }
        }
    };
    let rpc_handler = {
        let rpc_server = rpc_server.clone();
        move |peer, request| handle_rpc_port(rpc_server.clone(), metrics.clone(), peer, request)
    };
    let serve_rest = listen::serve(rest, rest_handler, limits, stop.clone(), supervisor.clone());
    let serve_rpc = listen::serve(rpc, rpc_handler, limits, stop.clone(), supervisor.clone());
    let serve_rest = supervisor.spawn_with_result(TaskKind::Listener, serve_rest);
    let serve_rpc = supervisor.spawn_with_result(TaskKind::Listener, serve_rpc);
    let drained = drain(&core, rpc_server, server.drain, (&supervisor, &stop)).await;
    tokio::try_join!(serve_rest, serve_rpc)?;
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
    let metrics = start_telemetry(settings, &warnings, telemetry::volumes(settings), &supervisor)?;
    let stop = shutdown::on_signal(&supervisor)?;
    let rpc = listener("rpc", "RPC_LISTEN", server.rpc_listen, &server).await?;

    let core = Core::start(config, &supervisor).await?;
    reload::on_signal(settings, &core, &supervisor)?;
    let rpc_server = rpc_server(&core, &server);
    banner::announce(None, Some(rpc.local_addr()?), Some(&core), &server, &settings.log())?;

    let rpc_handler = {
        let rpc_server = rpc_server.clone();
        move |peer, request| handle_rpc_port(rpc_server.clone(), metrics.clone(), peer, request)
    };
    let serve = listen::serve(rpc, rpc_handler, connection_limits(&server), stop.clone(), supervisor.clone());
    let serving = supervisor.spawn_with_result(TaskKind::Listener, serve);
    let drained = drain(&core, rpc_server, server.drain, (&supervisor, &stop)).await;
    serving.await?;
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
    let metrics = start_telemetry(settings, &[], Vec::new(), &supervisor)?;
    let stop = shutdown::on_signal(&supervisor)?;
    let rest = listener("rest", "REST_LISTEN", server.rest_listen, &server).await?;

    let config = RemoteConfig { request_bytes: server.body_bytes + META_BYTES, ..RemoteConfig::new(core_url) };
    let remote =
        Remote::connect(config, &supervisor).map_err(|error| ConfigError::new("CORE_URL", error.to_string()))?;
    let gateway = Gateway::new(gateway_config(&server), Arc::new(remote), metrics_renderer(&metrics));
    banner::announce(Some(rest.local_addr()?), None, None, &server, &settings.log())?;

    let handler = move |peer: SocketAddr, request: Request<Incoming>| {
        let gateway = gateway.clone();
        async move { gateway.handle(peer.ip(), request).await }
    };
    let serve = listen::serve(rest, handler, connection_limits(&server), stop.clone(), supervisor.clone());
    let serving = supervisor.spawn_with_result(TaskKind::Listener, serve);
    let failure = wait_for_stop(&supervisor, &stop).await;
    serving.await?;
    supervisor.shut_down();
    failure.map_or(Ok(()), Err)?;
    tracing::info!("stopped");
    Ok(())
}

/// Bytes that a gateway adds to a body on its way to the core. The core accepts this much more than the maximum body.
const META_BYTES: usize = 8 * 1024;

/// The path of JSON-RPC on the REST port.
const RPC_PATH: &str = "/rpc";

/// A response of the JSON-RPC port.
type RpcResponse = Response<Full<Bytes>>;

/// Handles a request to the JSON-RPC port: JSON-RPC, `/health` and `/metrics`.
async fn handle_rpc_port(
    rpc_server: RpcServer,
    metrics: MetricsPage,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> RpcResponse {
    let is_get = *request.method() == Method::GET || *request.method() == Method::HEAD;
    match request.uri().path() {
        "/health" if is_get => text(StatusCode::OK, "application/json", r#"{"status":"healthy"}"#.into()),
        "/metrics" if is_get => text(StatusCode::OK, "text/plain; version=0.0.4", metrics.render().into()),
        "/" | RPC_PATH => rpc_server.handle(peer.ip(), request).await,
        _ => text(StatusCode::NOT_FOUND, "text/plain", "JSON-RPC is spoken at / and at /rpc.\n".into()),
    }
}

fn text(status: StatusCode, kind: &'static str, body: Bytes) -> RpcResponse {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
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
) -> anyhow::Result<MetricsPage> {
    telemetry::install_log(&settings.log())?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let metrics = telemetry::install_metrics()?;
    supervisor.spawn(TaskKind::MetricsUpkeep, metrics.clone().upkeep(volumes));
    Ok(metrics)
}

async fn listener(
    name: &'static str,
    variable: &'static str,
    address: SocketAddr,
    server: &ServerConfig,
) -> Result<Listener, ConfigError> {
    let tls = server.tls.as_ref().map(listen::acceptor).transpose()?;
    Listener::bind(name, variable, address, tls).await
}

fn rpc_server(core: &Core, server: &ServerConfig) -> RpcServer {
    let http =
        RpcHttpConfig { max_sockets: server.max_connections, body_timeout: BODY_TIMEOUT, ping_interval: PING_INTERVAL };
    core.rpc_server(http)
}

fn gateway_config(server: &ServerConfig) -> GatewayConfig {
    GatewayConfig {
        cors_origins: server.cors_origins.clone(),
        trusted_proxies: server.trusted_proxies.clone(),
        body_bytes: server.body_bytes,
        body_timeout: BODY_TIMEOUT,
        heartbeat: HEARTBEAT,
        hsts: server.hsts,
        chat_page: server.chat_page,
    }
}

fn metrics_renderer(metrics: &MetricsPage) -> Arc<dyn Fn() -> String + Send + Sync> {
    let metrics = metrics.clone();
    Arc::new(move || metrics.render())
}

fn connection_limits(server: &ServerConfig) -> ConnectionLimits {
    ConnectionLimits {
        connections: server.max_connections,
        drain: server.drain + CLOSE_TIMEOUT,
        ..ConnectionLimits::default()
    }
}
