//! What the tests need beyond the Rust toolchain: servers and programs.
//!
//! A test asks for a [`Requirement`] and is skipped when it is missing. With `THREADLINE_TEST_REQUIRE_ALL=1`, which
//! `.ci/run` sets, the test fails instead, so that CI cannot pass without having run it.

mod pgbouncer;

pub use self::pgbouncer::PgBouncer;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// The switch: `1` makes a test fail when what it needs is missing.
const REQUIRE_ALL: &str = "THREADLINE_TEST_REQUIRE_ALL";

/// Where distributions install libfaketime.
const FAKETIME_PATHS: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
];

/// A server or a program that a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// A PostgreSQL server on which tests can create databases.
    PostgreSql,
    /// The same server with `ssl = on`.
    PostgreSqlWithTls,
    /// A Redis server.
    Redis,
    /// A server that speaks S3.
    S3,
    /// A Python interpreter that has the package `openai-chatkit`.
    ChatKit,
    /// A Python interpreter with nothing but its standard library.
    Python,
    /// ChromeDriver and Chromium.
    Browser,
    /// axe-core, a checker of accessibility: the file `axe.min.js`.
    Axe,
    /// The library that gives a process a wrong clock.
    FakeTime,
    /// PgBouncer, a pooler for PostgreSQL.
    PgBouncer,
    /// Prometheus; its `promtool` is beside it.
    Prometheus,
    /// A Python interpreter that has the packages of `deploy/checks/requirements.txt`.
    DeployChecks,
    /// The directory of the programs of `deploy/checks/openapi/package.json`.
    OpenApiTools,
    /// `systemd-analyze`, which judges units without running them.
    SystemdAnalyze,
    /// ShellCheck.
    ShellCheck,
    /// Node.js.
    Node,
    /// `unshare` of util-linux, which mounts a disk for one process without being root.
    OwnDisk,
    /// An OpenID provider for Node.js: a directory whose `node_modules` has the packages of
    /// `tests/identity/openid/package.json`.
    OpenIdProvider,
}

impl Requirement {
    /// Returns where it is: the URL of a server, or the path of a program or library.
    ///
    /// When it is missing, returns `None` and writes one line to stderr, once per process.
    ///
    /// # Panics
    /// When it is missing and `THREADLINE_TEST_REQUIRE_ALL` is `1`.
    pub fn find(self) -> Option<String> {
        let found = match self {
            Self::PostgreSql | Self::PostgreSqlWithTls => variable("TEST_DATABASE_URL"),
            Self::Redis => variable("TEST_REDIS_URL"),
            Self::S3 => variable("TEST_S3_URL"),
            Self::ChatKit => variable("TEST_CHATKIT_PYTHON"),
            Self::Python => python(),
            Self::Browser => variable("TEST_CHROMEDRIVER").or_else(|| program("chromedriver", "--version")),
            Self::Axe => variable("TEST_AXE"),
            Self::FakeTime => variable("DURABILITY_FAKETIME").or_else(faketime),
            Self::PgBouncer => variable("TEST_PGBOUNCER").or_else(pgbouncer),
            Self::Prometheus => variable("TEST_PROMETHEUS").or_else(|| program("prometheus", "--version")),
            Self::DeployChecks => variable("TEST_DEPLOY_PYTHON"),
            Self::OpenApiTools => variable("TEST_OPENAPI_TOOLS"),
            Self::SystemdAnalyze => program("systemd-analyze", "--version"),
            Self::ShellCheck => program("shellcheck", "--version"),
            Self::Node => program("node", "--version"),
            Self::OwnDisk => own_disk(),
            Self::OpenIdProvider => variable("TEST_OIDC_PROVIDER"),
        };
        if found.is_none() {
            self.skip();
        }
        found
    }

    /// Reports that the calling test is skipped because this requirement is missing.
    ///
    /// # Panics
    /// When `THREADLINE_TEST_REQUIRE_ALL` is `1`.
    #[allow(clippy::panic, reason = "the way in which a test fails")]
    pub fn skip(self) {
        static REPORTED: Mutex<BTreeSet<Requirement>> = Mutex::new(BTreeSet::new());

        let (what, remedy) = self.describe();
        if variable(REQUIRE_ALL).is_some_and(|value| value == "1") {
            panic!("this test needs {what}, and {REQUIRE_ALL} is 1: {remedy}");
        }
        let is_new = REPORTED.lock().is_ok_and(|mut reported| reported.insert(self));
        if is_new {
            // Not eprintln!, which the test harness captures and discards when the test passes.
            let _ = writeln!(std::io::stderr(), "skipping tests that need {what}: {remedy}");
        }
    }

    /// What it is, and what to do when it is missing.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::PostgreSql => {
                ("PostgreSQL", "set TEST_DATABASE_URL, for example to postgres://postgres@127.0.0.1:5432/postgres")
            }
            Self::PostgreSqlWithTls => {
                ("PostgreSQL with TLS", "set TEST_DATABASE_URL to a PostgreSQL server that has ssl = on")
            }
            Self::Redis => ("Redis", "set TEST_REDIS_URL, for example to redis://127.0.0.1:6379"),
            Self::S3 => ("an S3 server", "set TEST_S3_URL, for example to http://127.0.0.1:5000 of moto_server"),
            Self::ChatKit => {
                ("ChatKit's Python package", "set TEST_CHATKIT_PYTHON to an interpreter that has openai-chatkit")
            }
            Self::Python => ("Python", "install python3 so that it is on PATH"),
            Self::Browser => (
                "a browser",
                "install Chromium and ChromeDriver so that chromedriver is on PATH, or set TEST_CHROMEDRIVER",
            ),
            Self::Axe => ("axe-core", "set TEST_AXE to axe.min.js of the npm package axe-core"),
            Self::FakeTime => {
                ("libfaketime", "install it (Debian: libfaketime), or set DURABILITY_FAKETIME to libfaketime.so.1")
            }
            Self::PgBouncer => ("PgBouncer", "install it (Debian: pgbouncer), or set TEST_PGBOUNCER to the program"),
            Self::Prometheus => {
                ("Prometheus", "install it (Debian: prometheus), or set TEST_PROMETHEUS to the program")
            }
            Self::DeployChecks => (
                "the checks of deploy/",
                "set TEST_DEPLOY_PYTHON to an interpreter that has the packages of deploy/checks/requirements.txt",
            ),
            Self::OpenApiTools => (
                "the linters and generators of OpenAPI",
                "set TEST_OPENAPI_TOOLS to node_modules/.bin with the packages of deploy/checks/openapi/package.json",
            ),
            Self::SystemdAnalyze => ("systemd-analyze", "install systemd"),
            Self::ShellCheck => ("ShellCheck", "install it (Debian: shellcheck)"),
            Self::Node => ("Node.js", "install it (Debian: nodejs)"),
            Self::OwnDisk => (
                "disks of processes",
                "install util-linux, and let users mount in namespaces (Ubuntu: sysctl \
                 kernel.apparmor_restrict_unprivileged_userns=0)",
            ),
            Self::OpenIdProvider => (
                "an OpenID provider",
                "copy package.json and package-lock.json of tests/identity/openid into a directory, run `npm ci` there, \
                 and set TEST_OIDC_PROVIDER to it",
            ),
        }
    }
}

/// The value of an environment variable; an empty one counts as not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The full path of `python3`, so that it is found without `PATH` too.
fn python() -> Option<String> {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The name of a program on `PATH`, if it runs with this argument.
fn program(name: &str, argument: &str) -> Option<String> {
    let status = Command::new(name).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success()).then(|| name.to_owned())
}

/// Where distributions install PgBouncer.
const PGBOUNCER_PATHS: [&str; 3] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];

fn pgbouncer() -> Option<String> {
    PGBOUNCER_PATHS.iter().find(|path| Path::new(path).exists()).map(ToString::to_string)
}

fn own_disk() -> Option<String> {
    let mut mount = Command::new("unshare");
    mount.args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "threadline", "/mnt"]);
    let status = mount.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success()).then(|| "unshare".to_owned())
}

fn faketime() -> Option<String> {
    FAKETIME_PATHS.iter().find(|path| Path::new(path).exists()).map(ToString::to_string)
}
