//! The table of settings as flags.

use crate::config::{Fallback, Group, Setting, Settings, doc};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command as Definition};
use std::collections::HashMap;

/// Which settings a command reads, and so takes as flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Gateway and core.
    Serve,
    /// The core alone.
    Core,
    /// The gateway alone.
    Gateway,
    /// The database alone.
    Database,
    /// The database and how tokens are signed.
    Tokens,
    /// Where the REST API listens.
    Rest,
}

/// Adds a flag to `command` for each setting of `scope`.
pub(super) fn add(command: Definition, scope: Scope) -> Definition {
    command.args(arguments(scope))
}

/// The same, not listed in the command's help.
pub(super) fn add_hidden(command: Definition, scope: Scope) -> Definition {
    command.args(arguments(scope).map(|argument| argument.hide(true)))
}

/// The settings that were given, by the names of their variables.
pub(super) fn given(matches: &ArgMatches) -> HashMap<String, String> {
    let on_the_line = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
    Settings::TABLE
        .iter()
        .filter(|setting| matches!(matches.try_contains_id(setting.name), Ok(true)) && on_the_line(setting.name))
        .filter_map(|setting| Some((setting.name.to_owned(), matches.get_one::<String>(setting.name)?.clone())))
        .collect()
}

fn arguments(scope: Scope) -> impl Iterator<Item = Arg> {
    Settings::TABLE.iter().filter(move |setting| scope.takes(setting.group)).map(argument)
}

impl Scope {
    fn takes(self, group: Group) -> bool {
        use Group::{Accounts, Agent, Attachments, Database, Limits, Logging, Model, Network, Rest, Rpc, Split};
        match self {
            Self::Serve => group != Split,
            Self::Core => !matches!(group, Rest | Split),
            Self::Gateway => matches!(group, Rest | Split | Network | Logging),
            Self::Database => matches!(group, Database | Logging),
            Self::Tokens => matches!(group, Database | Accounts | Logging),
            Self::Rest => match group {
                Rest | Network | Logging => true,
                Database | Accounts | Attachments | Model | Agent | Limits | Rpc | Split => false,
            },
        }
    }
}

fn argument(setting: &'static Setting) -> Arg {
    let default = match setting.default {
        Fallback::Text(text) => format!(" [default: {text}]"),
        Fallback::Unset("") => String::new(),
        Fallback::Unset(words) => format!(" [default: {words}]"),
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
