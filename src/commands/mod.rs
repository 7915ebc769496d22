//! The commands that end by themselves.

mod accounts;

pub use self::accounts::{invite, key, user};

use crate::cli::Migrate;
use crate::config::Settings;
use crate::listen::Certificates;
use crate::probe_model;
use crate::stdout::print;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use threadline_core::config::{AgentsConfig, DatabaseConfig};
use threadline_core::model;
use threadline_core::store::{Clock, PostgresFacts, Store, StoreError, migrate as schema};
use threadline_core::{Accounts, McpStatus, Redis, Tokens, check_mcp_servers, check_provider, check_storage};
use threadline_schema::ids::ThreadId;
use threadline_schema::threads::ThreadState;

/// Maximum number of characters of the reason why a thread is locked or closed: a sentence or two.
const REASON_CHARS: usize = 500;

/// `threadline migrate`
///
/// # Errors
/// When the database cannot be reached, or a migration fails.
pub async fn migrate(settings: &Settings, what: Migrate) -> anyhow::Result<()> {
    let database = settings.database();
    match what {
        Migrate::Up => {
            let applied = schema::up(&database).await?;
            match applied.as_slice() {
                [] => print("The database is up to date.\n"),
                applied => print(format_args!("Applied:\n  {}\n", applied.join("\n  "))),
            }
        }
        Migrate::RevertLast => match schema::revert_last(&database).await? {
            Some(name) => print(format_args!("Reverted: {name}\n")),
            None => print("There is nothing to revert.\n"),
        },
        Migrate::Status => {
            let standing = schema::standing(&database).await?;
            match standing.pending.as_slice() {
                [] => print("The database is up to date.\n"),
                pending => print(format_args!("Pending:\n  {}\n", pending.join("\n  "))),
            }?;
            for (title, versions) in [
                ("Of a newer release", &standing.unknown),
                ("Of a newer release, and required to use this database", &standing.missing),
            ] {
                if !versions.is_empty() {
                    print(format_args!("{title}:\n  {}\n", versions.join("\n  ")))?;
                }
            }
            Ok(())
        }
    }
}

/// `threadline token`: prints a JWT for an existing user.
///
/// # Errors
/// When there is no such user, or `SECRET_KEY` is not set.
pub async fn token(settings: &Settings, user: &str, expires_minutes: Option<u32>) -> anyhow::Result<()> {
    let auth = settings.persistent_auth()?;
    let store = Store::open(&settings.database()).await?;
    let clock = Arc::new(Clock::read(&store).await?);
    let tokens = Tokens::new(&auth, clock.clone());
    let found = match user.parse() {
        Ok(id) => store.user_by_id(id).await?,
        Err(_) => Accounts::new(store, clock).find_by_email(user).await?,
    };
    let Some(row) = found else {
        anyhow::bail!("there is no user {user:?}; create one with `threadline user create EMAIL`");
    };
    let lifetime = expires_minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * 60));
    let (token, _) = tokens.issue(row.id, row.token_generation, lifetime)?;
    print(format_args!("{token}\n"))
}

/// `threadline thread`: opens, locks or closes a thread.
///
/// # Errors
/// When there is no such thread, or the reason is too long.
pub async fn thread(
    settings: &Settings,
    id: ThreadId,
    status: ThreadState,
    reason: Option<String>,
) -> anyhow::Result<()> {
    let reason = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS || reason.contains('\0')) {
        anyhow::bail!("--reason has at most {REASON_CHARS} characters, and no NUL");
    }
    if status == ThreadState::Active && reason.is_some() {
        anyhow::bail!("--reason says why a thread is locked or closed; omit it with --status active");
    }
    let store = Store::open(&settings.database()).await?;
    match store.thread_set_status(id, status, reason).await {
        Ok(row) => print(format_args!("{:?} is {}.\n", row.title, row.status.name())),
        Err(StoreError::NotFound(_)) => anyhow::bail!("there is no thread {id}"),
        Err(error) => Err(error.into()),
    }
}

/// Returns where the server listens, and until when its certificate is valid.
fn server_line(settings: &Settings) -> anyhow::Result<String> {
    let server = settings.server()?;
    let mut line = format!("REST {}, JSON-RPC {}", server.rest_listen, server.rpc_listen);
    if let Some(files) = &server.tls {
        line.push_str(", TLS");
        if let Some(end) = Certificates::check(files)? {
            line.push_str(&format!(" until {}", end.format("%Y-%m-%d")));
        }
    }
    Ok(line)
}

/// `threadline doctor`: checks settings, database, Redis, attachment storage and model, and prints a line for each.
/// Returns whether all are well.
///
/// # Errors
/// When stdout cannot be written to.
pub async fn doctor(settings: &Settings) -> anyhow::Result<bool> {
    let mut report = DoctorReport { all_ok: true };
    report.line(
        "settings",
        settings.core().map(|(_, warnings)| match warnings.as_slice() {
            [] => "complete".to_owned(),
            warnings => warnings.join("; "),
        }),
    )?;
    report.line("server", server_line(settings))?;

    match settings.agents() {
        Ok(None) => {}
        Ok(Some(agents)) => {
            report.line("agents", anyhow::Ok(summary(&agents)))?;
            match check_mcp_servers(&agents).await {
                Ok(servers) => {
                    for (name, server) in servers {
                        report.line("mcp", mcp_server(&name, &server))?;
                    }
                }
                Err(error) => report.line("mcp", Err::<String, _>(error))?,
            }
        }
        Err(error) => report.line("agents", Err::<String, _>(error))?,
    }

    let database = settings.database();
    report.line(
        "database",
        async {
            let standing = schema::standing(&database).await?;
            match standing.pending.len() {
                0 => {
                    let unchanged = DatabaseConfig { auto_migrate: false, ..database.clone() };
                    let store = Store::open(&unchanged).await?;
                    store.ping().await?;
                    let way = store.postgres_facts().await?.map(way_to_postgres).transpose()?.unwrap_or_default();
                    anyhow::Ok(format!("{}, up to date{way}", store.kind()))
                }
                pending if database.auto_migrate => Ok(format!("reached; {pending} migrations will run at start")),
                pending => anyhow::bail!("{pending} migrations are pending: run `threadline migrate`"),
            }
        }
        .await,
    )?;

    match settings.provider() {
        Ok(None) => {}
        Ok(Some(provider)) => {
            let keys = check_provider(&provider).await;
            report.line("identity", keys.map(|count| format!("{}, {count} keys", provider.issuer)))?;
        }
        Err(error) => report.line("identity", Err::<String, _>(error))?,
    }

    if let Some(redis) = settings.redis() {
        let reached = async { Redis::probe(&redis)?.ping().await.map_err(anyhow::Error::msg) };
        report.line("redis", reached.await.map(|()| "reached".to_owned()))?;
    }

    let attachments = settings.attachments(settings.rest_listen);
    report.line("files", check_storage(&attachments).await.map(|kind| format!("{kind}, can be used")))?;

    let model = model::open(&settings.model());
    report.line(
        "model",
        match model {
            Ok(model) => match model.check_health().await {
                Ok(()) => Ok(match model.dialect(None, None) {
                    Some(dialect) => {
                        format!("{}, {}; dialect: {}", model.kind(), model.name(), probe_model::entries(&dialect))
                    }
                    None => format!("{}, {}", model.kind(), model.name()),
                }),
                Err(error) => Err(anyhow::anyhow!("{}, {}: {error}", model.kind(), model.name())),
            },
            Err(error) => Err(error.into()),
        },
    )?;
    Ok(report.all_ok)
}

/// Describes how PostgreSQL is reached.
fn way_to_postgres(facts: PostgresFacts) -> anyhow::Result<String> {
    let PostgresFacts { is_pooler, prepares, is_read_only, has_sessions } = facts;
    if is_read_only {
        anyhow::bail!("it takes no writes: a replica, or a primary that was demoted");
    }
    let place = if is_pooler { "behind a pooler" } else { "without a pooler" };
    let names = match (is_pooler, prepares) {
        (true, true) => "statements are prepared by name (DATABASE_PREPARED=on): the pooler must keep track of them",
        (_, true) => "statements are prepared by name",
        (_, false) => "statements are sent without names",
    };
    let sessions = if has_sessions {
        ""
    } else {
        "; no LISTEN, and a crash is noticed by leases: set DATABASE_DIRECT_URL, or REDIS_URL for signals"
    };
    Ok(format!("; {place}; {names}{sessions}"))
}

/// Summarises an agents file.
fn summary(agents: &AgentsConfig) -> String {
    let names = agents.agents.keys().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    let (tools, servers) = (agents.tools.len(), agents.mcp.len());
    let classes = match agents.budget_classes.is_empty() {
        true => String::new(),
        false => {
            let names = agents.budget_classes.keys().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
            format!("; budget classes {names}")
        }
    };
    format!("{names}; by default {}; {tools} tools of services, {servers} MCP servers{classes}", agents.default)
}

/// Says whether an MCP server can be used, and which of its tools cannot.
fn mcp_server(name: &str, status: &McpStatus) -> Result<String, String> {
    let McpStatus { error, tools, left_out, fingerprint, is_refused } = status;
    let left_out = left_out.join("; ");
    match (error, is_refused) {
        (Some(error), _) => Err(format!("{name}: {error}")),
        (None, true) => Err(format!("{name}: {left_out}")),
        (None, false) => {
            let pin = fingerprint.as_ref().map_or_else(String::new, |fingerprint| format!("; pin {fingerprint}"));
            let left_out = if left_out.is_empty() { left_out } else { format!("; {left_out}") };
            Ok(format!("{name}, {tools} tools{left_out}{pin}"))
        }
    }
}

struct DoctorReport {
    all_ok: bool,
}

impl DoctorReport {
    fn line<E: Display>(&mut self, what: &str, found: Result<String, E>) -> anyhow::Result<()> {
        match found {
            Ok(words) => print(format_args!("ok    {what:<9} {words}\n")),
            Err(error) => {
                self.all_ok = false;
                print(format_args!("FAIL  {what:<9} {error}\n"))
            }
        }
    }
}
