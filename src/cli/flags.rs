//! Generates the flags from the table of settings.

use crate::config::{DefaultValue, Group, Setting, Settings, doc};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command as Definition};
use std::collections::HashMap;

/// The settings that a command uses, and so accepts as flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those of gateway and core.
    Serve,
    /// Those of the core.
    Core,
    /// Those of the gateway.
    Gateway,
    /// Those of the database.
    Database,
    /// Those of the database and the attachments.
    Accounts,
    /// Those of the database and the tokens.
    Tokens,
    /// Those of the REST listener.
    Rest,
}

/// Adds a flag to `command` for each setting of `scope`.
pub(super) fn add(command: Definition, scope: Scope) -> Definition {
    command.args(arguments(scope))
}

/// As [`add`], with flags that the help does not list.
pub(super) fn add_hidden(command: Definition, scope: Scope) -> Definition {
    command.args(arguments(scope).map(|argument| argument.hide(true)))
}

/// Returns the settings that are given as flags, by the names of their variables.
pub(super) fn values(matches: &ArgMatches) -> HashMap<String, String> {
    let is_flag = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
    Settings::TABLE
        .iter()
        .filter(|setting| matches!(matches.try_contains_id(setting.name), Ok(true)) && is_flag(setting.name))
        .filter_map(|setting| Some((setting.name.to_owned(), matches.get_one::<String>(setting.name)?.clone())))
        .collect()
}

fn arguments(scope: Scope) -> impl Iterator<Item = Arg> {
    Settings::TABLE.iter().filter(move |setting| scope.includes(setting.group)).map(argument)
}

impl Scope {
    fn includes(self, group: Group) -> bool {
        use Group::{
            Accounts, Agent, Attachments, Database, Limits, Logging, Model, Network, Rest, Rpc, Split, Telemetry,
        };
        match self {
            Self::Serve => group != Split,
            Self::Core => !matches!(group, Rest | Split),
            Self::Gateway => matches!(group, Rest | Split | Network | Logging | Telemetry),
            Self::Database => matches!(group, Database | Logging),
            Self::Accounts => matches!(group, Database | Attachments | Logging),
            Self::Tokens => matches!(group, Database | Accounts | Logging),
            Self::Rest => match group {
                Rest | Network | Logging => true,
                Database | Accounts | Attachments | Model | Agent | Limits | Rpc | Split | Telemetry => false,
            },
        }
    }
}

fn argument(setting: &'static Setting) -> Arg {
    let default = match setting.default {
        DefaultValue::Text(text) => format!(" [default: {text}]"),
        DefaultValue::Unset("") => String::new(),
        DefaultValue::Unset(words) => format!(" [default: {words}]"),
    };
    let argument = Arg::new(setting.name)
        .long(setting.flag())
        .aliases(setting.aliases.iter().map(|alias| alias.to_ascii_lowercase().replace('_', "-")))
        .value_name(setting.placeholder)
        .help(format!("{}\n[env: {}]{default}", doc(setting).replace('`', ""), setting.name))
        .help_heading(setting.group.title())
        .allow_negative_numbers(true);
    match setting.switch {
        true => argument.num_args(0..=1).default_missing_value("true"),
        false => argument,
    }
}
