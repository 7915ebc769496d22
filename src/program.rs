//! The program: parses the command line, reads the settings, runs the command, and returns its exit code.

use crate::cli::{self, Command};
use crate::config::{self, ConfigError, Settings, Sources};
use crate::{app, bench, commands, hardening, healthcheck, probe_model, smoke, stdout, telemetry};
use std::collections::HashMap;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command of the command line, and returns the exit code of the process.
#[must_use]
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    hardening::apply();
    let invocation = cli::parse(args).unwrap_or_else(|error| error.exit());
    let is_server = matches!(invocation.command, Command::Serve | Command::Core | Command::Gateway);
    let logs_json = is_server && Sources::log_json(&invocation.flags);
    match run_command(invocation.command, invocation.flags) {
        Ok(code) => code,
        Err(error) => {
            if logs_json {
                telemetry::write_failure(&error);
            } else {
                eprintln!("threadline: {error:#}");
            }
            ExitCode::from(if error.is::<ConfigError>() { config::EXIT_USAGE } else { 1 })
        }
    }
}

fn run_command(command: Command, flags: HashMap<String, String>) -> anyhow::Result<ExitCode> {
    let settings = || -> Result<Settings, ConfigError> { Sources::of_process(flags)?.settings() };
    match command {
        Command::Serve => server_runtime()?.block_on(app::serve(&settings()?))?,
        Command::Core => server_runtime()?.block_on(app::core(&settings()?))?,
        Command::Gateway => server_runtime()?.block_on(app::gateway(&settings()?))?,
        Command::Migrate(what) => command_runtime()?.block_on(commands::migrate(&settings()?, what))?,
        Command::Token { user, expires_minutes } => {
            command_runtime()?.block_on(commands::token(&settings()?, &user, expires_minutes))?;
        }
        Command::Thread { id, status, reason } => {
            command_runtime()?.block_on(commands::thread(&settings()?, id, status, reason))?;
        }
        Command::User(what) => command_runtime()?.block_on(commands::user(&settings()?, what))?,
        Command::Key(what) => command_runtime()?.block_on(commands::key(&settings()?, what))?,
        Command::Invite(what) => command_runtime()?.block_on(commands::invite(&settings()?, what))?,
        Command::Routes => stdout::print(threadline_gateway::routes_text())?,
        Command::OpenApi => stdout::print(format_args!("{:#}\n", threadline_gateway::openapi()))?,
        Command::OpenRpc => {
            stdout::print(format_args!("{:#}\n", serde_json::Value::Object(threadline_core::openrpc::document())))?;
        }
        Command::Doctor => {
            let all_ok = command_runtime()?.block_on(commands::doctor(&settings()?))?;
            return Ok(if all_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::ProbeModel { name } => {
            let works = command_runtime()?.block_on(probe_model::probe_model(&settings()?, name.as_deref()))?;
            return Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::EnvExample { markdown: false } => stdout::print(config::env_example())?,
        Command::EnvExample { markdown: true } => stdout::print(config::config_markdown())?,
        Command::Smoke(options) => {
            let works = command_runtime()?.block_on(smoke::smoke(&options))?;
            return Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Bench(options) => {
            let meets_targets = command_runtime()?.block_on(bench::bench(options))?;
            return Ok(if meets_targets { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Healthcheck => command_runtime()?.block_on(healthcheck::check(&settings()?.server()?))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a runtime with a thread per CPU core, for servers.
fn server_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Returns a single-threaded runtime, for commands that end by themselves.
fn command_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
