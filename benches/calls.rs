//! Whole calls in one process, as the gateway makes them in `serve` mode: pipeline, method, SQLite, reply.

use anyhow::{Context, Result, bail};
use criterion::Criterion;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use threadline::config::Settings;
use threadline_core::{Core, RpcHttpConfig, RpcServer};
use threadline_runtime::Supervisor;
use threadline_schema::call::Caller;
use tokio::runtime::Runtime;

/// Number of threads in the list.
const THREADS: usize = 20;

fn main() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("threadline-bench-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&directory)?;
    let measured = measure(&directory.join("threadline.db").to_string_lossy());
    std::fs::remove_dir_all(&directory)?;
    measured
}

fn measure(database: &str) -> Result<()> {
    let runtime = Runtime::new()?;
    let (_core, server, token) = runtime.block_on(start(database))?;
    let params = to_raw_value(&json!({"limit": THREADS}))?;
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("threads.list of 20", |bencher| {
        bencher.to_async(&runtime).iter(|| server.call("threads.list", &params, caller(Some(&token))));
    });
    criterion.final_summary();
    Ok(())
}

/// Starts a service with one user and the user's threads.
async fn start(database: &str) -> Result<(Arc<Core>, RpcServer, String)> {
    let lookup = |name: &str| match name {
        "DATABASE_URL" => Some(format!("sqlite://{database}")),
        "RATE_LIMIT_REQUESTS_PER_MINUTE" | "MAX_SESSIONS_PER_USER" => Some("0".to_owned()),
        _ => None,
    };
    let (config, _) = Settings::read(&lookup)?.core()?;
    let http = RpcHttpConfig {
        max_sockets: 1,
        body_timeout: Duration::from_secs(1),
        ping_interval: Duration::from_secs(30),
        ..RpcHttpConfig::default()
    };
    let core = Core::start(config, &Supervisor::default()).await?;
    let server = core.rpc_server(http);
    let credentials = json!({"email": "ada@example.com", "password": "correct horse"});
    call(&server, "auth.register", &credentials, None).await?;
    let login = call(&server, "auth.login", &credentials, None).await?;
    let token = login.get("token").and_then(Value::as_str).context("a login has a token")?.to_owned();
    for _ in 0..THREADS {
        call(&server, "threads.create", &json!({}), Some(&token)).await?;
    }
    // The benchmark must measure a success.
    let page = call(&server, "threads.list", &json!({"limit": THREADS}), Some(&token)).await?;
    anyhow::ensure!(page.get("data").and_then(Value::as_array).map(Vec::len) == Some(THREADS), "not the list: {page}");
    Ok((core, server, token))
}

async fn call(server: &RpcServer, method: &str, params: &Value, token: Option<&str>) -> Result<Value> {
    match server.call(method, &to_raw_value(params)?, caller(token)).await {
        Ok(response) => Ok(serde_json::from_str(response.result.get())?),
        Err(error) => bail!("{method}: {error}"),
    }
}

fn caller(token: Option<&str>) -> Caller {
    Caller {
        token: token.map(Into::into),
        acts_for: None,
        ip: Ipv4Addr::LOCALHOST.into(),
        request_id: "bench".into(),
        hints: None,
    }
}
