//! The command line: the command, and the settings that are given as flags.
//!
//! The flags are generated from the table of settings: each setting is a flag of each command that uses it. Their
//! values are checked later, together with those of the environment ([`crate::config::Sources`]).

mod accounts;
mod bench;
mod flags;
mod smoke;

pub use self::accounts::{InviteCommand, KeyCommand, UserCommand};
pub use self::bench::BenchOptions;
use self::flags::Scope;
pub use self::smoke::SmokeOptions;
use clap::{Arg, ArgAction, ArgMatches, Command as Definition, value_parser};
use std::collections::HashMap;
use std::ffi::OsString;
use threadline_schema::ids::ThreadId;
use threadline_schema::threads::ThreadState;

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The command.
    pub command: Command,
    /// Settings that are given as flags, by the names of their variables.
    pub flags: HashMap<String, String>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run gateway and core in one process.
    Serve,
    /// Run the core alone.
    Core,
    /// Run the gateway alone, in front of the core at CORE_URL.
    Gateway,
    /// Change or show the schema of the database.
    Migrate(Migrate),
    /// Print a token.
    Token {
        /// The email address or the id of the user.
        user: String,
        /// Lifetime in minutes; `None` for the one of the settings.
        expires_minutes: Option<u32>,
    },
    /// Create or change accounts.
    User(UserCommand),
    /// Create, list or revoke invitations.
    Invite(InviteCommand),
    /// Create, list or revoke service keys.
    Key(KeyCommand),
    /// Open, lock or close a thread.
    Thread {
        /// The id of the thread.
        id: ThreadId,
        /// The new state of the thread.
        status: ThreadState,
        /// The reason, which the user sees.
        reason: Option<String>,
    },
    /// Print the table of REST routes.
    Routes,
    /// Print the OpenAPI document.
    OpenApi,
    /// Print the OpenRPC document.
    OpenRpc,
    /// Check settings, database, Redis, attachment storage and model.
    Doctor,
    /// Probe a model, and print the dialect that it needs.
    ProbeModel {
        /// Name of the model; `None` for the configured one.
        name: Option<String>,
    },
    /// Print all settings.
    EnvExample {
        /// As the tables of the README instead of `.env.example`.
        markdown: bool,
    },
    /// Check that the server on this machine answers.
    Healthcheck,
    /// Try out a deployment from outside.
    Smoke(SmokeOptions),
    /// Measure an installation.
    Bench(BenchOptions),
}

/// What `threadline migrate` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Apply all pending migrations.
    Up,
    /// Revert the newest migration.
    RevertLast,
    /// Show which migrations are pending, and change nothing.
    Status,
}

/// Parses a command line, which begins with the name of the program.
///
/// # Errors
///
/// A wrong command line, and also the text of `--help` and `--version`. `clap::Error::exit` prints either and ends the
/// process with the right exit code.
pub fn parse<I, T>(arguments: I) -> Result<Invocation, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = definition().try_get_matches_from(arguments)?;
    let (name, matches) = matches.subcommand().unwrap_or((SERVE, &matches));
    // The flags of a command with subcommands are those of the subcommand.
    let (command, matches) = match name {
        "user" => accounts::user_command(matches).map(|(user, matches)| (Command::User(user), matches)),
        "invite" => accounts::invite_command(matches).map(|(invite, matches)| (Command::Invite(invite), matches)),
        "key" => accounts::key_command(matches).map(|(key, matches)| (Command::Key(key), matches)),
        _ => None,
    }
    .unwrap_or_else(|| (command(name, matches), matches));
    Ok(Invocation { command, flags: flags::values(matches) })
}

const SERVE: &str = "serve";

fn command(name: &str, matches: &ArgMatches) -> Command {
    match name {
        "core" => Command::Core,
        "gateway" => Command::Gateway,
        "migrate" if matches.get_flag("revert-last") => Command::Migrate(Migrate::RevertLast),
        "migrate" if matches.get_flag("status") => Command::Migrate(Migrate::Status),
        "migrate" => Command::Migrate(Migrate::Up),
        "token" => Command::Token {
            user: matches.get_one::<String>("user").cloned().unwrap_or_default(),
            expires_minutes: matches.get_one("expires-minutes").copied(),
        },
        "thread" => Command::Thread {
            // The command line without an id is refused.
            id: matches.get_one("id").copied().unwrap_or(ThreadId::nil()),
            status: matches
                .get_one::<String>("status")
                .and_then(|name| ThreadState::from_name(name))
                .unwrap_or(ThreadState::Active),
            reason: matches.get_one::<String>("reason").cloned(),
        },
        "routes" => Command::Routes,
        "openapi" => Command::OpenApi,
        "openrpc" => Command::OpenRpc,
        "doctor" if matches.contains_id("model") => {
            let name = matches.get_one::<String>("model").filter(|name| !name.is_empty());
            Command::ProbeModel { name: name.cloned() }
        }
        "doctor" => Command::Doctor,
        "env-example" => Command::EnvExample { markdown: matches.get_flag("markdown") },
        "healthcheck" => Command::Healthcheck,
        "smoke" => Command::Smoke(smoke::options(matches)),
        "bench" => Command::Bench(bench::options(matches)),
        _ => Command::Serve,
    }
}

fn definition() -> Definition {
    let migrate = flags::add(Definition::new("migrate"), Scope::Database)
        .about("Apply pending migrations to the database")
        .arg(switch("revert-last", "Revert the newest migration instead").conflicts_with("status"))
        .arg(switch("status", "Show which migrations are pending, and change nothing"));
    let token = flags::add(Definition::new("token"), Scope::Tokens)
        .about("Print a token for a user")
        .arg(option("user", "EMAIL_OR_UUID", "Email address or id of the user").required(true))
        .arg(
            option("expires-minutes", "N", "Lifetime in minutes [default: ACCESS_TOKEN_EXPIRE_MINUTES]")
                .value_parser(value_parser!(u32).range(1..=5_256_000)),
        );
    let thread = flags::add(Definition::new("thread"), Scope::Database)
        .about("Open, lock or close a thread; a locked or closed one accepts no messages")
        .arg(option("id", "UUID", "Id of the thread").required(true).value_parser(value_parser!(ThreadId)))
        .arg(
            option("status", "STATUS", "New status")
                .required(true)
                .value_parser(ThreadState::ALL.map(ThreadState::name)),
        )
        .arg(option("reason", "TEXT", "Reason, which the user sees"));
    let env_example = Definition::new("env-example")
        .about("Print .env.example: all settings with meaning and default")
        .arg(switch("markdown", "Print the tables of the README instead"));

    // Without a command, `serve` runs and takes these flags. Only `serve --help` lists them.
    flags::add_hidden(Definition::new("threadline"), Scope::Serve)
        .about("A self-hosted chat backend: durable conversations, streamed responses, server-side tools")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(
            "Without a command, `serve` runs and takes its flags. A setting is read from the first of these that has it: \
             flag, environment, .env in the working directory, default.\n\
             Other users of the machine can see the flags of a process: pass secrets in the environment or in .env.\n\
             Exit codes: 0 success, 1 failure, 2 wrong flag or setting.",
        )
        .args_conflicts_with_subcommands(true)
        .max_term_width(120)
        .subcommand(
            flags::add(Definition::new(SERVE), Scope::Serve)
                .about("Run the REST gateway and the JSON-RPC core in one process (the default)"),
        )
        .subcommand(flags::add(Definition::new("core"), Scope::Core).about("Run the JSON-RPC core alone"))
        .subcommand(
            flags::add(Definition::new("gateway"), Scope::Gateway)
                .about("Run the REST gateway alone, in front of a core in another process"),
        )
        .subcommand(migrate)
        .subcommand(token)
        .subcommand(accounts::user_definition())
        .subcommand(accounts::invite_definition())
        .subcommand(accounts::key_definition())
        .subcommand(thread)
        .subcommand(Definition::new("routes").about("Print the REST routes and their JSON-RPC methods"))
        .subcommand(Definition::new("openapi").about("Print the OpenAPI document of the REST API"))
        .subcommand(Definition::new("openrpc").about("Print the OpenRPC document of the JSON-RPC API"))
        .subcommand(
            flags::add(Definition::new("doctor"), Scope::Serve)
                .about("Check settings, database and model; exit code 0 if all are well")
                .arg(
                    option("model", "NAME", "Probe a model with small requests instead, and print the dialect that it needs")
                        .num_args(0..=1)
                        .default_missing_value(""),
                ),
        )
        .subcommand(env_example)
        .subcommand(bench::definition(option))
        .subcommand(
            flags::add(Definition::new("healthcheck"), Scope::Rest)
                .about("Request /health from the server on this machine; exit code 0 if it is healthy"),
        )
        .subcommand(smoke::definition(option))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn option(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(placeholder).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn parsed(arguments: &[&str]) -> Invocation {
        parse([&["threadline"], arguments].concat()).unwrap()
    }

    fn refused(arguments: &[&str]) -> String {
        let error = parse([&["threadline"], arguments].concat()).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(crate::config::EXIT_USAGE), "{error}");
        error.to_string()
    }

    fn help(arguments: &[&str]) -> String {
        let error = parse([&["threadline"], arguments, &["--help"]].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 0);
        error.to_string()
    }

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn each_command_has_its_name() {
        const USER: &str = "0199a3f4-0000-7000-8000-000000000000";
        let cases: Vec<(&[&str], Command)> = vec![
            (&[], Command::Serve),
            (&["serve"], Command::Serve),
            (&["core"], Command::Core),
            (&["gateway", "--core", "ws://core:8001"], Command::Gateway),
            (&["migrate"], Command::Migrate(Migrate::Up)),
            (&["migrate", "--revert-last"], Command::Migrate(Migrate::RevertLast)),
            (&["migrate", "--status"], Command::Migrate(Migrate::Status)),
            (&["token", "--user", USER], Command::Token { user: USER.into(), expires_minutes: None }),
            (
                &["token", "--user", "a@b.example", "--expires-minutes", "5"],
                Command::Token { user: "a@b.example".into(), expires_minutes: Some(5) },
            ),
            (
                &["thread", "--id", USER, "--status", "locked", "--reason", "Under review"],
                Command::Thread {
                    id: USER.parse().unwrap(),
                    status: ThreadState::Locked,
                    reason: Some("Under review".into()),
                },
            ),
            (
                &["user", "create", "a@b.example"],
                Command::User(UserCommand::Create {
                    email: "a@b.example".into(),
                    roles: vec![],
                    password_stdin: false,
                }),
            ),
            (
                &["user", "create", "--email", "a@b.example", "--role", "admin,support", "--password-stdin"],
                Command::User(UserCommand::Create {
                    email: "a@b.example".into(),
                    roles: vec!["admin".into(), "support".into()],
                    password_stdin: true,
                }),
            ),
            (
                &["invite", "create", "--uses", "3"],
                Command::Invite(InviteCommand::Create { email: None, uses: 3, expires_hours: 168 }),
            ),
            (&["invite", "list"], Command::Invite(InviteCommand::List)),
            (
                &["key", "create", "shop", "--methods", "threads.*,runs.*", "--users", "*"],
                Command::Key(KeyCommand::Create {
                    name: "shop".into(),
                    methods: vec!["threads.*".into(), "runs.*".into()],
                    users: vec!["*".into()],
                    requests_per_minute: None,
                    budget_class: None,
                    expires_days: None,
                }),
            ),
            (&["key", "revoke", "shop"], Command::Key(KeyCommand::Revoke("shop".into()))),
            (&["invite", "revoke", USER], Command::Invite(InviteCommand::Revoke { id: USER.parse().unwrap() })),
            (&["routes"], Command::Routes),
            (&["openapi"], Command::OpenApi),
            (&["openrpc"], Command::OpenRpc),
            (&["doctor"], Command::Doctor),
            (&["doctor", "--model"], Command::ProbeModel { name: None }),
            (&["doctor", "--model", "m/one"], Command::ProbeModel { name: Some("m/one".into()) }),
            (&["env-example"], Command::EnvExample { markdown: false }),
            (&["env-example", "--markdown"], Command::EnvExample { markdown: true }),
            (&["healthcheck"], Command::Healthcheck),
            (
                &["bench", "--url", "https://chat.example", "--streams", "3", "--seconds", "1"],
                Command::Bench(BenchOptions {
                    url: "https://chat.example".into(),
                    token: None,
                    streams: 3,
                    connections: 8,
                    seconds: 1,
                    message: "Tell me about the sea.".into(),
                }),
            ),
        ];
        for (arguments, command) in cases {
            assert_eq!(parsed(arguments).command, command, "{arguments:?}");
        }
    }

    #[test]
    fn flags_become_variables_with_and_without_the_command() {
        let arguments =
            ["--database-url", "sqlite://x.db", "--auto-migrate=false", "--hsts", "--rest-listen", "[::]:1"];
        let expected: HashMap<String, String> =
            [("DATABASE_URL", "sqlite://x.db"), ("AUTO_MIGRATE", "false"), ("HSTS", "true"), ("REST_LISTEN", "[::]:1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        assert_eq!(parsed(&arguments).flags, expected);
        assert_eq!(parsed(&[&["serve"], &arguments[..]].concat()).flags, expected);
        assert_eq!(
            parsed(&["user", "create", "a@b.c", "--database-url", "sqlite://x"]).flags["DATABASE_URL"],
            "sqlite://x"
        );
        assert_eq!(parsed(&["gateway", "--core", "ws://c"]).flags["CORE_URL"], "ws://c");
        assert_eq!(parsed(&["core", "--jwt-secret", "x"]).flags["SECRET_KEY"], "x");
        assert_eq!(parsed(&["--drain-seconds", "-1"]).flags["DRAIN_SECONDS"], "-1");
    }

    #[test]
    fn unknown_and_missing_arguments_are_refused() {
        assert!(refused(&["--databse-url", "x"]).contains("--database-url"));
        assert!(refused(&["fly"]).contains("fly"));
        assert!(refused(&["token"]).contains("--user"));
        assert!(refused(&["user", "create"]).contains("EMAIL"));
        assert!(refused(&["invite", "create", "--uses", "0"]).contains("--uses"));
        assert!(refused(&["token", "--user", "x", "--expires-minutes", "0"]).contains("--expires-minutes"));
        assert!(refused(&["thread", "--id", "x", "--status", "locked"]).contains("--id"));
        let id = "0199a3f4-0000-7000-8000-000000000000";
        assert!(refused(&["thread", "--id", id, "--status", "frozen"]).contains("active, locked, closed"));
        assert!(refused(&["migrate", "--status", "--revert-last"]).contains("--status"));
        assert!(refused(&["smoke"]).contains("--url"));
        assert!(refused(&["smoke", "--url", "http://x", "--token", "t", "--email", "e"]).contains("--email"));
        assert!(refused(&["smoke", "--url", "http://x", "--skip", "stream"]).contains("model, tool"));
        for command in ["smoke", "bench"] {
            for url in ["chat.example", "ws://127.0.0.1:8000", "http://"] {
                assert!(refused(&[command, "--url", url]).contains("--url"), "{command} {url}");
            }
        }
        // The gateway has no database, so this flag is a mistake.
        assert!(refused(&["gateway", "--database-url", "x"]).contains("--database-url"));
        assert!(refused(&["core", "--rest-listen", "x"]).contains("--rest-listen"));
    }

    #[test]
    fn help_lists_flag_variable_and_default_of_each_setting() {
        let text: String = help(&["serve"])
            .split_whitespace()
            .chain(help(&["gateway"]).split_whitespace())
            .collect::<Vec<_>>()
            .join(" ");
        for setting in Settings::TABLE {
            assert!(
                text.contains(&format!("--{} ", setting.flag())) || text.contains(&format!("--{}[", setting.flag()))
            );
            assert!(text.contains(&format!("[env: {}]", setting.name)), "{}", setting.name);
        }
        assert!(text.contains("[default: 127.0.0.1:8000]"));
    }

    #[test]
    fn the_main_help_is_short_and_lists_the_commands() {
        let text = help(&[]);
        assert!(text.lines().count() < 40, "{text}");
        assert!(text.contains("healthcheck") && !text.contains("--database-url"), "{text}");
    }
}
