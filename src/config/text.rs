//! The table of settings as text for people: `.env.example` and the README's table.

use super::setting::{Fallback, Group, Setting};
use super::table::Settings;

/// The committed `.env.example`: every setting with its meaning and default. Copied to `.env` as it is, it changes
/// nothing, since an empty value counts as not set.
pub fn env_example() -> String {
    let mut text = String::from(
        "# Settings of threadline. Copy this file to .env and change what you need; the values here are the defaults.\n\
         # Flags and the environment are stronger than .env. An empty value counts as not set.\n\
         # A value with blanks, # or $ belongs in single quotes.\n\
         #\n\
         # Made from the table of settings by: threadline env-example\n",
    );
    for (group, settings) in groups() {
        text.push_str(&format!("\n# ---- {} ----\n", group.title()));
        for setting in settings {
            text.push('\n');
            for line in wrap(&plain(setting), 110) {
                text.push_str(&format!("# {line}\n"));
            }
            let default = match setting.default {
                Fallback::Text(default) => default,
                Fallback::Unset(_) => "",
            };
            text.push_str(&format!("{}={default}\n", setting.name));
        }
    }
    text
}

/// The README's configuration section: a table for each group.
pub fn config_markdown() -> String {
    let mut text = String::new();
    for (group, settings) in groups() {
        text.push_str(&format!("\n### {}\n\n| variable | default | meaning |\n| --- | --- | --- |\n", group.title()));
        for setting in settings {
            let default = match setting.default {
                Fallback::Text(default) => format!("`{default}`"),
                Fallback::Unset(words) => words.to_owned(),
            };
            let alias: String = setting.aliases.iter().map(|alias| format!(", `{alias}`")).collect();
            let doc = doc(setting).replace('|', "\\|");
            text.push_str(&format!("| `{}`{alias} | {default} | {doc} |\n", setting.name));
        }
    }
    text.trim_start().to_owned()
}

/// The meaning, on one line.
pub(crate) fn doc(setting: &Setting) -> String {
    setting.doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn groups() -> impl Iterator<Item = (Group, impl Iterator<Item = &'static Setting>)> {
    Group::ALL.iter().map(|group| (*group, Settings::TABLE.iter().filter(move |setting| setting.group == *group)))
}

/// Meaning, other names and what "not set" means.
fn plain(setting: &Setting) -> String {
    let mut text = doc(setting).replace('`', "");
    for alias in setting.aliases {
        text.push_str(&format!(" Also read as {alias}."));
    }
    if let Fallback::Unset(words) = setting.default
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
