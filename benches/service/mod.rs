//! A service in this process with one user and data to read, and the operations that are measured on it.

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use threadline::config::Settings;
use threadline_core::{Core, RpcHttpConfig, RpcServer};
use threadline_runtime::Supervisor;
use threadline_schema::call::Caller;
use uuid::Uuid;

/// Number of threads in the list.
const THREADS: usize = 20;
/// Messages of the thread that is read, half of them answers.
const ITEMS: usize = 20;

/// What is measured: calls as the gateway makes them in `serve` mode, from the pipeline to the reply.
pub const OPERATIONS: [&str; 6] = [
    "threads.list of 10",
    "threads.list of 20",
    "threads.get_by_id of 20",
    "threads.create",
    "create and delete",
    "run",
];

/// The service.
pub struct Service {
    server: RpcServer,
    token: String,
    /// A thread with [`ITEMS`] items.
    thread: String,
    _core: Arc<Core>,
}

impl Service {
    /// Starts a service whose database and attachments are in `directory`.
    pub async fn start(directory: &Path) -> Result<Self> {
        let lookup = |name: &str| match name {
            "DATABASE_URL" => Some(format!("sqlite://{}", directory.join("threadline.db").display())),
            "SQLITE_SYNCHRONOUS" => Some("normal".to_owned()),
            "RATE_LIMIT_REQUESTS_PER_MINUTE" | "MAX_SESSIONS_PER_USER" | "DEMO_WORD_PAUSE_MS" => Some("0".to_owned()),
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
        let mut service = Self { server, token: String::new(), thread: String::new(), _core: core };
        let credentials = json!({"email": "ada@example.com", "password": "correct horse"});
        service.call("auth.register", &credentials).await?;
        service.token = text(&service.call("auth.login", &credentials).await?, "/token")?;
        for _ in 0..THREADS {
            service.thread = text(&service.call("threads.create", &json!({})).await?, "/thread/id")?;
        }
        for _ in 0..ITEMS / 2 {
            service.run().await?;
        }
        let page = service.call("threads.list", &json!({"limit": THREADS})).await?;
        ensure!(page.pointer("/data").and_then(Value::as_array).map(Vec::len) == Some(THREADS), "not the list: {page}");
        Ok(service)
    }

    /// Does one operation.
    pub async fn operation(&self, name: &str) -> Result<()> {
        match name {
            "threads.list of 10" => drop(self.call("threads.list", &json!({"limit": 10})).await?),
            "threads.list of 20" => drop(self.call("threads.list", &json!({"limit": 20})).await?),
            "threads.get_by_id of 20" => {
                drop(self.call("threads.get_by_id", &json!({"thread_id": self.thread, "limit": ITEMS})).await?);
            }
            "threads.create" => drop(self.call("threads.create", &json!({})).await?),
            "create and delete" => {
                let made = text(&self.call("threads.create", &json!({})).await?, "/thread/id")?;
                self.call("threads.delete", &json!({"thread_id": made})).await?;
            }
            "run" => self.run().await?,
            other => bail!("there is no operation {other:?}"),
        }
        Ok(())
    }

    /// Says something, and reads the answer of the demo model to its end.
    async fn run(&self) -> Result<()> {
        let message = json!({"content": [{"type": "input_text", "text": "Hello"}]});
        let started =
            self.call("threads.add_user_message", &json!({"thread_id": self.thread, "input": message})).await?;
        let run = text(&started, "/id")?;
        let params = to_raw_value(&json!({"run_id": run}))?;
        let subscribed = self.server.subscribe("runs.subscribe", &params, self.caller()).await;
        let feed = match subscribed {
            Ok(response) => response.result,
            Err(error) => bail!("runs.subscribe: {error}"),
        };
        feed.into_stream().count().await;
        Ok(())
    }

    async fn call(&self, method: &str, params: &Value) -> Result<Value> {
        match self.server.call(method, &to_raw_value(params)?, self.caller()).await {
            Ok(response) => Ok(serde_json::from_str(response.result.get())?),
            Err(error) => bail!("{method}: {error}"),
        }
    }

    fn caller(&self) -> Caller {
        let token = Some(self.token.as_str()).filter(|token| !token.is_empty()).map(Into::into);
        let ip = Ipv4Addr::LOCALHOST.into();
        Caller { token, acts_for: None, ip, request_id: "bench".into(), hints: None, trace: None }
    }
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text.with_context(|| format!("no {pointer} in {value}"))?.to_owned())
}

/// A directory that is removed with its files when this is dropped.
pub struct Directory(std::path::PathBuf);

impl Directory {
    pub fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("threadline-bench-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // It is in the directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
