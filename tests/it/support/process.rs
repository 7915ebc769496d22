//! The binary, started on free ports.

use super::client::Client;
use super::database::Database;
use super::files::Files;
use super::upstream::Upstream;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// The key with which all servers of the tests sign. It is used nowhere else.
pub const SECRET: &str = "only-the-tests-know-this-key-0123456789";

/// Describes a service to start.
pub struct Setup {
    pub database: Arc<Database>,
    pub files: Arc<Files>,
    settings: BTreeMap<String, String>,
    split: bool,
    upstream: Option<Upstream>,
}

impl Setup {
    /// Describes one process with SQLite, the demo model without pauses, and no rate limit.
    pub async fn new() -> Self {
        Self::on(Database::sqlite())
    }

    /// The same on PostgreSQL; `None` when there is no server.
    pub async fn postgres() -> Option<Self> {
        Some(Self::on(Database::postgres().await?))
    }

    fn on(database: Database) -> Self {
        let files = Files::new();
        let directory = files.path().display().to_string();
        let settings = [
            ("ATTACHMENTS_URL", directory.as_str()),
            ("SECRET_KEY", SECRET),
            ("REGISTRATION", "open"),
            ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
            ("DEMO_WORD_PAUSE_MS", "0"),
            ("REST_LISTEN", "127.0.0.1:0"),
            ("RPC_LISTEN", "127.0.0.1:0"),
            ("SQLITE_SYNCHRONOUS", "normal"),
            ("LOG_FORMAT", "json"),
            ("DATABASE_POOL_SIZE", "5"),
            ("DRAIN_SECONDS", "2"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { database: Arc::new(database), files: Arc::new(files), settings, split: false, upstream: None }
    }

    /// Makes gateway and core two processes.
    #[must_use]
    pub fn split(mut self) -> Self {
        self.split = true;
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// Sets the text of the agents file.
    #[must_use]
    pub fn agents(self, text: &str) -> Self {
        let file = std::env::temp_dir().join(format!("threadline-agents-{}.toml", uuid::Uuid::new_v4().simple()));
        std::fs::write(&file, text).expect("a file of agents");
        self.with("AGENTS_FILE", file.display())
    }

    /// Uses this model server instead of the demo model.
    #[must_use]
    pub fn upstream(self, upstream: &Upstream) -> Self {
        let base_url = upstream.base_url();
        let mut this = self
            .with("OPENROUTER_API_KEY", "sk-test-key")
            .with("OPENROUTER_BASE_URL", base_url)
            .with("OPENROUTER_MODEL", "test-model");
        this.upstream = Some(upstream.clone());
        this
    }

    /// Starts the service, and waits until it listens.
    pub async fn start(self) -> App {
        let started = tokio::task::spawn_blocking(move || self.start_blocking());
        let app = started.await.expect("the server starts");
        if app.split {
            // A gateway listens before it has connected to its core, and answers 503 until then.
            let anybody = app.anonymous();
            let ops =
                app.processes.iter().find(|process| process.rest.is_some()).and_then(|gateway| gateway.ops.clone());
            super::eventually("the gateway reaches its core", || async {
                let status = match &ops {
                    Some(ops) => reqwest::get(format!("http://{ops}/health/db")).await.ok()?.status().as_u16(),
                    None => anybody.get("/health/db").await.status,
                };
                (status == 200).then_some(())
            })
            .await;
        }
        app
    }

    fn start_blocking(self) -> App {
        let mut settings = self.settings.clone();
        // A test may have set another URL.
        settings.entry("DATABASE_URL".into()).or_insert_with(|| self.database.url());
        let (processes, rest, rpc) = if self.split {
            let core = Process::start(&["core"], &settings);
            let rpc = core.rpc.clone().expect("the core says where it listens");
            let mut of_gateway = settings.clone();
            of_gateway.retain(|name, _| !name.starts_with("DATABASE") && name != "SECRET_KEY");
            of_gateway.entry("CORE_URL".into()).or_insert_with(|| format!("ws://{rpc}"));
            let gateway = Process::start(&["gateway"], &of_gateway);
            let rest = gateway.rest.clone().expect("the gateway says where it listens");
            (vec![gateway, core], rest, rpc)
        } else {
            let server = Process::start(&["serve"], &settings);
            let rest = server.rest.clone().expect("the server says where it listens");
            let rpc = server.rpc.clone().expect("the server says where its core listens");
            (vec![server], rest, rpc)
        };
        App { processes, rest, rpc, database: self.database, files: self.files, settings, split: self.split }
    }
}

/// A running service.
pub struct App {
    /// The gateway's process first, the core's last. There is one process unless the service is split.
    pub processes: Vec<Process>,
    /// `host:port` of the REST API.
    pub rest: String,
    /// `host:port` of JSON-RPC.
    pub rpc: String,
    pub database: Arc<Database>,
    pub files: Arc<Files>,
    settings: BTreeMap<String, String>,
    pub split: bool,
}

impl App {
    /// Returns a client without a token.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.rest, &self.rpc, None)
    }

    /// Registers a new user.
    pub async fn user(&self) -> Client {
        self.anonymous().register().await
    }

    /// Returns the core's process.
    pub fn core(&mut self) -> &mut Process {
        self.processes.last_mut().expect("there is a process")
    }

    /// Returns the directory of the SQLite file, as the core sees it: on its own disk, if it has one.
    pub fn disk(&mut self) -> std::path::PathBuf {
        let database = self.database.clone();
        let Database::Sqlite(directory) = &*database else { panic!("PostgreSQL has its own disk") };
        format!("/proc/{}/root{}", self.core().id(), directory.display()).into()
    }

    /// Returns the metrics of the core.
    pub async fn metrics(&self) -> String {
        let address = if self.split { &self.rpc } else { &self.rest };
        reqwest::get(format!("http://{address}/metrics")).await.expect("metrics").text().await.expect("metrics")
    }

    /// Returns the log lines of all processes.
    pub fn log(&self) -> Vec<serde_json::Value> {
        self.processes.iter().flat_map(Process::log).collect()
    }

    /// Starts the core of a split service again on the same port, which `RPC_LISTEN` must set.
    pub async fn start_core(&mut self) {
        let settings = self.settings.clone();
        let started = tokio::task::spawn_blocking(move || Process::start(&["core"], &settings));
        *self.core() = started.await.expect("the core starts");
    }

    /// Starts one more gateway to the core of a split service, with this setting. Returns `host:port` of its REST API.
    pub async fn add_gateway(&mut self, name: &str, value: impl ToString) -> String {
        let mut settings = self.settings.clone();
        settings.retain(|name, _| !name.starts_with("DATABASE") && name != "SECRET_KEY");
        settings.insert("CORE_URL".to_owned(), format!("ws://{}", self.rpc));
        settings.insert(name.to_owned(), value.to_string());
        let started = tokio::task::spawn_blocking(move || Process::start(&["gateway"], &settings));
        let gateway = started.await.expect("the gateway starts");
        let rest = gateway.rest.clone().expect("the gateway says where it listens");
        self.processes.insert(0, gateway);
        rest
    }

    /// Kills all processes (`kill -9`), and starts the service again on the same database. Ports change.
    pub async fn crash_and_restart(mut self) -> App {
        for process in &mut self.processes {
            process.kill();
        }
        let setup = self.again();
        drop(self);
        setup.start().await
    }

    /// Returns the setup of this service, for another start on the same database.
    pub fn again(&self) -> Setup {
        let (database, files, settings) = (self.database.clone(), self.files.clone(), self.settings.clone());
        Setup { database, files, settings, split: self.split, upstream: None }
    }
}

/// One process of the binary.
pub struct Process {
    child: Child,
    pub rest: Option<String>,
    pub rpc: Option<String>,
    pub ops: Option<String>,
    stderr: Arc<Mutex<String>>,
}

/// Variable with the file to which a binary that is built for coverage writes its counters when it exits.
const PROFILE: &str = "LLVM_PROFILE_FILE";

/// Returns a command of the binary without the environment of this machine.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_threadline"));
    // An empty directory, so that no `.env` is read.
    let directory = std::env::temp_dir().join("threadline-test-empty");
    std::fs::create_dir_all(&directory).expect("an empty directory");
    command.args(arguments).env_clear().current_dir(directory);
    if let Ok(profile) = std::env::var(PROFILE) {
        // One file for all processes, of which there are hundreds.
        command.env(PROFILE, profile.replace("%p", "all"));
    }
    command
}

/// Not a setting of the service: maximum size of the files that it writes, in blocks of 512 bytes. Simulates a full
/// disk.
pub const FILE_BLOCKS: &str = "TEST_FILE_BLOCKS";

/// Not a setting of the service: size of the disk under its SQLite file, as `mount` takes it. The disk belongs to this
/// process alone, and ends with it.
pub const DISK_SIZE: &str = "TEST_DISK_SIZE";

/// Not a setting of the service: the reading end of its log pipe is closed.
pub const UNREAD_LOG: &str = "TEST_UNREAD_LOG";

/// Not a setting of the service: its log pipe stays open, and nobody reads it.
pub const STUCK_LOG: &str = "TEST_STUCK_LOG";

/// Returns the binary with a limit on file sizes. Exceeding it is an error of the write, not a signal.
fn limited(arguments: &[&str], blocks: &str) -> Command {
    let mut outer = Command::new("sh");
    outer.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "sh"]);
    inside(outer, &command(arguments))
}

/// Returns the binary in a namespace where an empty disk of this size is mounted on a directory.
fn on_small_disk(arguments: &[&str], size: &str, directory: &str) -> Command {
    const MOUNT: &str = "mount -t tmpfs -o size=\"$1\" threadline \"$2\" && shift 2 && exec \"$@\"";
    let mut outer = Command::new("unshare");
    outer.args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", size, directory]);
    inside(outer, &command(arguments))
}

/// Returns `outer` with the command line, the directory and the empty environment of `inner`.
fn inside(mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args()).env_clear();
    if let Some(directory) = inner.get_current_dir() {
        outer.current_dir(directory);
    }
    outer
}

/// Runs a command that ends by itself. If it does not end, kills it and panics.
pub fn run(arguments: &[&str], settings: &[(&str, String)]) -> Output {
    let child = command(arguments)
        .envs(settings.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let id = child.id().to_string();
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    let output = end.recv_timeout(super::PATIENCE).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-9", &id]).status();
        panic!("{arguments:?} does not end")
    });
    output.expect("what the command printed")
}

/// Returns the addresses of REST, of JSON-RPC and for operators, if this is the line of the log that has them.
fn listening(line: &str) -> Option<[Option<String>; 3]> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| line[name].as_str().map(str::to_owned);
    (line["target"] == "threadline::started").then(|| [address("rest"), address("rpc"), address("ops")])
}

impl Process {
    fn start(arguments: &[&str], settings: &BTreeMap<String, String>) -> Self {
        let mut binary = match (settings.get(FILE_BLOCKS), settings.get(DISK_SIZE)) {
            (Some(blocks), _) => limited(arguments, blocks),
            (None, Some(size)) => {
                let file = settings["DATABASE_URL"].strip_prefix("sqlite://").expect("a disk for SQLite");
                on_small_disk(arguments, size, file.rsplit_once('/').expect("a path").0)
            }
            (None, None) => command(arguments),
        };
        let mut child = binary
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stderr = Arc::new(Mutex::new(String::new()));
        let mut errors = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let collected = stderr.clone();
        let (unread, stuck) = (settings.contains_key(UNREAD_LOG), settings.contains_key(STUCK_LOG));
        let (started_sent, started) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while let Ok(1..) = errors.read_until(b'\n', &mut line) {
                let text = String::from_utf8_lossy(&line);
                collected.lock().unwrap().push_str(&text);
                if let Some(addresses) = listening(&text) {
                    let _ = started_sent.send(addresses);
                    if unread {
                        return;
                    }
                    if stuck {
                        // With the pipe, until the end of the tests.
                        loop {
                            std::thread::park();
                        }
                    }
                }
                line.clear();
            }
        });
        let mut process = Self { child, rest: None, rpc: None, ops: None, stderr };
        let Ok(addresses) = started.recv_timeout(super::PATIENCE) else {
            // Not under the lock, which `drop` takes too.
            let log = process.stderr();
            panic!("the server did not start:\n{log}");
        };
        [process.rest, process.rpc, process.ops] = addresses;
        process
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("a process that ended");
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "signal {name}");
    }

    /// Waits until the process ends by itself. Returns its exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + super::PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the process did not end");
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    fn log(&self) -> Vec<serde_json::Value> {
        self.stderr().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Ends it with signals: the first one starts the drain, the next one ends it at once.
    #[allow(clippy::disallowed_methods, reason = "a drop cannot wait otherwise")]
    fn terminate(&mut self) {
        let deadline = Instant::now() + super::PATIENCE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            self.signal("TERM");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::env::var_os(PROFILE).is_some() {
            self.terminate();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the server\n{}", self.stderr.lock().unwrap());
        }
    }
}
