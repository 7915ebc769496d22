//! The table of settings as documents: `.env.example` and the tables of the README.

use super::setting::{DefaultValue, Group, Setting};
use super::table::Settings;

/// Returns the text of `.env.example`: all settings with meaning and default. A copy of it as `.env` changes nothing,
/// since an empty value counts as not set.
pub fn env_example() -> String {
    let mut text = String::from(
        "# Settings of threadline. Copy this file to .env and change what you need; the values here are the defaults.\n\
         # Flags and the environment override .env. An empty value counts as not set.\n\
         # A secret can be in a file instead: NAME_FILE has its path, such as SECRET_KEY_FILE=/run/secrets/threadline.\n\
         # Put a value that contains spaces, # or $ in single quotes.\n\
         #\n\
         # Generated from the table of settings by: threadline env-example\n",
    );
    for (group, settings) in groups() {
        text.push_str(&format!("\n# ---- {} ----\n", group.title()));
        for setting in settings {
            text.push('\n');
            for line in wrap(&plain(setting), 110) {
                text.push_str(&format!("# {line}\n"));
            }
            let default = match setting.default {
                DefaultValue::Text(default) => default,
                DefaultValue::Unset(_) => "",
            };
            text.push_str(&format!("{}={default}\n", setting.name));
        }
    }
    text
}

/// Returns the settings section of the README: a table for each group.
pub fn config_markdown() -> String {
    let mut text = String::new();
    for (group, settings) in groups() {
        text.push_str(&format!("\n### {}\n\n| variable | default | meaning |\n| --- | --- | --- |\n", group.title()));
        for setting in settings {
            let default = match setting.default {
                DefaultValue::Text(default) => format!("`{default}`"),
                DefaultValue::Unset(words) => words.to_owned(),
            };
            let alias: String = setting.aliases.iter().map(|alias| format!(", `{alias}`")).collect();
            let doc = doc(setting).replace('|', "\\|");
            text.push_str(&format!("| `{}`{alias} | {default} | {doc} |\n", setting.name));
        }
    }
    text.trim_start().to_owned()
}

/// Returns the documentation of a setting on one line.
pub(crate) fn doc(setting: &Setting) -> String {
    setting.doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn groups() -> impl Iterator<Item = (Group, impl Iterator<Item = &'static Setting>)> {
    Group::ALL.iter().map(|group| (*group, Settings::TABLE.iter().filter(move |setting| setting.group == *group)))
}

/// Returns the documentation as plain text, with aliases and the effect of no value.
fn plain(setting: &Setting) -> String {
    let mut text = doc(setting).replace('`', "");
    for alias in setting.aliases {
        text.push_str(&format!(" Also read as {alias}."));
    }
    if let DefaultValue::Unset(words) = setting.default
        && !words.is_empty()
    {
        text.push_str(&format!(" Not set: {words}."));
    }
    text
}

fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
