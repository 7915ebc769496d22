//! `threadline user`, `threadline invite` and `threadline key`: their arguments.

use super::flags::{self, Scope};
use super::{option, switch};
use clap::{Arg, ArgMatches, Command as Definition, value_parser};
use std::path::PathBuf;
use threadline_schema::ids::InvitationId;

/// What `threadline user` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserCommand {
    /// Create an account.
    Create {
        /// The email address.
        email: String,
        /// Roles of the user.
        roles: Vec<String>,
        /// Read the password from stdin; otherwise one is made and printed.
        password_stdin: bool,
    },
    /// List the accounts.
    List,
    /// Show one account.
    Show(String),
    /// Refuse the tokens of an account and end its streams.
    Disable(String),
    /// Accept its tokens again.
    Enable(String),
    /// Give a role to a user.
    GiveRole {
        /// The account.
        user: String,
        /// The role.
        role: String,
    },
    /// Take a role from a user.
    TakeRole {
        /// The account.
        user: String,
        /// The role.
        role: String,
    },
    /// Give a budget class to a user, or take it.
    SetClass {
        /// The account.
        user: String,
        /// The class; `None` to take it.
        class: Option<String>,
    },
    /// End all tokens of an account.
    Logout(String),
    /// Erase an account with everything that belongs to it.
    Delete {
        /// The account.
        user: String,
        /// Whether the operator has confirmed it.
        is_confirmed: bool,
    },
    /// Write everything that is stored about a user as JSON Lines.
    Export {
        /// The account.
        user: String,
        /// The file; `None` for stdout.
        output: Option<PathBuf>,
    },
    /// Set a new password, and end all tokens.
    ResetPassword {
        /// The account.
        user: String,
        /// Read the password from stdin; otherwise one is made and printed.
        password_stdin: bool,
    },
}

/// What `threadline invite` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InviteCommand {
    /// Create an invitation and print its code.
    Create {
        /// The only email address that may use it; `None` for any.
        email: Option<String>,
        /// How many accounts can be registered with it.
        uses: u32,
        /// Hours until it expires.
        expires_hours: u32,
    },
    /// List the invitations.
    List,
    /// Delete an invitation.
    Revoke {
        /// Its id.
        id: InvitationId,
    },
}

/// What `threadline key` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCommand {
    /// Create a service key and print it.
    Create {
        /// Its name.
        name: String,
        /// The methods that it may call.
        methods: Vec<String>,
        /// The users that it may act for.
        users: Vec<String>,
        /// Calls per minute; `None` for no limit.
        requests_per_minute: Option<u32>,
        /// The budget class of what it starts; `None` for that of the user.
        budget_class: Option<String>,
        /// Days until it expires; `None` for never.
        expires_days: Option<u32>,
    },
    /// List the keys.
    List,
    /// Revoke a key.
    Revoke(String),
    /// Show the newest entries of the audit log.
    Audit {
        /// How many.
        limit: u32,
    },
}

/// The account that a command is about: `--user`, or an argument without a name.
const USER: &str = "user";

pub(super) fn user_definition() -> Definition {
    let command = |name: &'static str| flags::add(Definition::new(name), Scope::Accounts);
    let about_user = |name: &'static str, about: &'static str| {
        command(name)
            .about(about)
            .arg(named("user", "EMAIL_OR_UUID", "Email address or id of the user").required_unless_present("USER"))
            .arg(unnamed("USER", "Email address or id of the user").conflicts_with("user"))
    };
    Definition::new(USER)
        .about("Create and change accounts")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            command("create")
                .about("Create an account; works whatever REGISTRATION says")
                .arg(named("email", "EMAIL", "Email address").required_unless_present("EMAIL"))
                .arg(unnamed("EMAIL", "Email address").conflicts_with("email"))
                .arg(
                    option("role", "LIST", "Roles, such as `admin` for the console [default: none]")
                        .value_delimiter(',')
                        .action(clap::ArgAction::Append),
                )
                .arg(password_stdin()),
        )
        .subcommand(command("list").about("List the accounts: id, email address, time of creation, state"))
        .subcommand(about_user("show", "Show an account"))
        .subcommand(about_user("disable", "Refuse the tokens of an account and end its streams; its data stays"))
        .subcommand(about_user("enable", "Accept the tokens of a disabled account again"))
        .subcommand(about_user("give-role", "Give a role to a user, such as `admin` for the console").arg(role()))
        .subcommand(about_user("take-role", "Take a role from a user that this command has given").arg(role()))
        .subcommand(
            about_user("set-class", "Set the budget class of a user: one of the tables [budget_classes.NAME]")
                .arg(option("class", "NAME", "The class").required_unless_present("none"))
                .arg(switch("none", "Take the class from the user").conflicts_with("class")),
        )
        .subcommand(
            about_user("delete", "Erase an account with its conversations, files, tasks and everything else")
                .arg(switch("yes", "Confirm that the data is to be lost")),
        )
        .subcommand(
            about_user("export", "Write everything that is stored about a user, as JSON Lines with the attachments")
                .arg(option("output", "FILE", "File to create [default: stdout]").value_parser(value_parser!(PathBuf))),
        )
        .subcommand(about_user("logout", "End all tokens of an account, and its streams"))
        .subcommand(
            about_user("reset-password", "Set a new password, and end all tokens of the account").arg(password_stdin()),
        )
}

pub(super) fn invite_definition() -> Definition {
    let command = |name: &'static str| flags::add(Definition::new(name), Scope::Database);
    Definition::new("invite")
        .about("Create, list and revoke invitations, with which accounts can be registered")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            command("create")
                .about("Create an invitation and print its code, which is shown only once")
                .arg(option("email", "EMAIL", "The only email address that may use it [default: any]"))
                .arg(
                    option("uses", "N", "How many accounts can be registered with it")
                        .value_parser(value_parser!(u32).range(1..=1_000_000))
                        .default_value("1"),
                )
                .arg(
                    option("expires-hours", "N", "Hours until it expires")
                        .value_parser(value_parser!(u32).range(1..=8_760))
                        .default_value("168"),
                ),
        )
        .subcommand(command("list").about("List the newest invitations"))
        .subcommand(
            command("revoke").about("Delete an invitation").arg(
                Arg::new("id")
                    .value_name("ID")
                    .help("Id of the invitation")
                    .required(true)
                    .value_parser(value_parser!(InvitationId)),
            ),
        )
}

pub(super) fn key_definition() -> Definition {
    let command = |name: &'static str| flags::add(Definition::new(name), Scope::Database);
    let list = |name, placeholder, help| {
        option(name, placeholder, help).value_delimiter(',').required(true).action(clap::ArgAction::Append)
    };
    Definition::new("key")
        .about("Create, list and revoke keys of services, and show what was done with them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            command("create")
                .about("Create a service key and print it; it is shown only once")
                .arg(named("name", "NAME", "Its name, in lists and in the audit log").required_unless_present("NAME"))
                .arg(unnamed("NAME", "Its name, in lists and in the audit log").conflicts_with("name"))
                .arg(list("methods", "LIST", "Methods that it may call: threads.create, threads.* or *"))
                .arg(list("users", "LIST", "Users that it may act for: an id, ISSUER|SUBJECT, ISSUER|* or *"))
                .arg(
                    option("requests-per-minute", "N", "Calls per minute, of all users together [default: no limit]")
                        .value_parser(value_parser!(u32).range(1..=1_000_000_000)),
                )
                .arg(option("budget-class", "NAME", "Budget class of what it starts [default: that of the user]"))
                .arg(
                    option("expires-days", "N", "Days until it expires [default: never]")
                        .value_parser(value_parser!(u32).range(1..=36_500)),
                ),
        )
        .subcommand(command("list").about("List the keys: name, state, methods, users, last use"))
        .subcommand(
            command("revoke")
                .about("Revoke a key, and the client tokens that were created with it")
                .arg(Arg::new("KEY").value_name("NAME_OR_ID").help("Name or id of the key").required(true)),
        )
        .subcommand(command("audit").about("Show the newest entries of the audit log").arg(
            option("limit", "N", "How many").value_parser(value_parser!(u32).range(1..=100_000)).default_value("100"),
        ))
}

pub(super) fn key_command(matches: &ArgMatches) -> Option<(KeyCommand, &ArgMatches)> {
    let (name, matches) = matches.subcommand()?;
    let number = |name| matches.get_one::<u32>(name).copied();
    let list = |name| matches.get_many::<String>(name).unwrap_or_default().cloned().collect();
    let command = match name {
        "create" => KeyCommand::Create {
            name: text(matches, "name").or_else(|| text(matches, "NAME"))?,
            methods: list("methods"),
            users: list("users"),
            requests_per_minute: number("requests-per-minute"),
            budget_class: text(matches, "budget-class"),
            expires_days: number("expires-days"),
        },
        "list" => KeyCommand::List,
        "revoke" => KeyCommand::Revoke(text(matches, "KEY")?),
        "audit" => KeyCommand::Audit { limit: number("limit")? },
        _ => return None,
    };
    Some((command, matches))
}

pub(super) fn user_command(matches: &ArgMatches) -> Option<(UserCommand, &ArgMatches)> {
    let (name, matches) = matches.subcommand()?;
    let user = || text(matches, "user").or_else(|| text(matches, "USER"));
    let command = match name {
        "create" => UserCommand::Create {
            email: text(matches, "email").or_else(|| text(matches, "EMAIL"))?,
            roles: matches.get_many::<String>("role").unwrap_or_default().cloned().collect(),
            password_stdin: matches.get_flag("password-stdin"),
        },
        "give-role" => UserCommand::GiveRole { user: user()?, role: text(matches, "role")? },
        "take-role" => UserCommand::TakeRole { user: user()?, role: text(matches, "role")? },
        "set-class" => UserCommand::SetClass { user: user()?, class: text(matches, "class") },
        "list" => UserCommand::List,
        "show" => UserCommand::Show(user()?),
        "disable" => UserCommand::Disable(user()?),
        "enable" => UserCommand::Enable(user()?),
        "logout" => UserCommand::Logout(user()?),
        "delete" => UserCommand::Delete { user: user()?, is_confirmed: matches.get_flag("yes") },
        "export" => UserCommand::Export { user: user()?, output: matches.get_one("output").cloned() },
        "reset-password" => {
            UserCommand::ResetPassword { user: user()?, password_stdin: matches.get_flag("password-stdin") }
        }
        _ => return None,
    };
    Some((command, matches))
}

pub(super) fn invite_command(matches: &ArgMatches) -> Option<(InviteCommand, &ArgMatches)> {
    let (name, matches) = matches.subcommand()?;
    let number = |name| matches.get_one::<u32>(name).copied();
    let command = match name {
        "create" => InviteCommand::Create {
            email: text(matches, "email"),
            uses: number("uses")?,
            expires_hours: number("expires-hours")?,
        },
        "list" => InviteCommand::List,
        "revoke" => InviteCommand::Revoke { id: *matches.get_one("id")? },
        _ => return None,
    };
    Some((command, matches))
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.get_one::<String>(name).cloned()
}

fn named(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    option(name, placeholder, help)
}

fn unnamed(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).help(help)
}

fn role() -> Arg {
    option("role", "ROLE", "The role").required(true)
}

fn password_stdin() -> Arg {
    switch("password-stdin", "Read the password from the first line of stdin; without it, one is made and printed")
}
