//! `threadline doctor --model`: probes a model, and prints what works and the dialect that it needs.

use crate::config::Settings;
use crate::stdout::print;
use std::collections::BTreeMap;
use std::sync::Arc;
use threadline_core::model;
use threadline_core::model::dialect::{ModelDialect, Setting};
use threadline_core::model::probe::{ProbeResult, Verdict, probe};

/// Probes a model of the configured server; the configured one if `name` is `None`. Returns whether conversations work.
///
/// # Errors
/// When the settings are invalid, or stdout cannot be written to.
pub async fn probe_model(settings: &Settings, name: Option<&str>) -> anyhow::Result<bool> {
    let models = settings.agents()?.map(|agents| agents.models).unwrap_or_default();
    let model = model::open(&settings.model())?;
    let name: Arc<str> = name.unwrap_or(model.name()).into();
    let of_model = models.get(&name);
    let overrides = of_model.and_then(|model| model.dialect.clone());
    let context_tokens = of_model.and_then(|model| model.context_tokens).or(settings.context_tokens());
    let Some(dialect) = model.dialect(Some(&name), overrides.as_deref()) else {
        print(format_args!("ok    {} model: built in, it has no dialect and no server to probe\n", model.kind()))?;
        return Ok(true);
    };
    print(format_args!("model {name} at {}; dialect: {}\n", dialect.host, entries(&dialect)))?;
    let report = probe(&*model, name.clone(), overrides.clone(), context_tokens).await;
    for ProbeResult { feature, verdict, detail } in &report.results {
        let verdict = match verdict {
            Verdict::Works => "ok",
            Verdict::Missing => "no",
            Verdict::Fails => "FAIL",
        };
        print(format_args!("{verdict:<5} {feature:<15} {detail}\n"))?;
    }
    let is_configured = *name == *model.name();
    if let Some(dialect) = model.dialect(Some(&name), overrides.as_deref()) {
        print(suggestion(&name, is_configured, &dialect))?;
    }
    if let Some(tokens) = report.context_tokens {
        print(window_suggestion(&name, is_configured, tokens))?;
    }
    print(format_args!("\nThese requests have used about {} tokens.\n", report.tokens))?;
    Ok(report.results.iter().all(|result| result.verdict != Verdict::Fails))
}

/// Returns the names of the entries that apply, for one line.
pub fn entries(dialect: &ModelDialect) -> String {
    if dialect.entries.is_empty() { "default".to_owned() } else { dialect.entries.join(", ") }
}

/// Returns the settings that the server's refusals call for, as text for the configuration.
fn suggestion(name: &str, is_configured: bool, dialect: &ModelDialect) -> String {
    let current = dialect.current();
    let learned: BTreeMap<Setting, String> =
        dialect.learned.iter().map(|adjustment| (adjustment.setting, current.get(adjustment.setting))).collect();
    if learned.is_empty() {
        return "\nThe server refused nothing: no setting of the dialect is needed.\n".to_owned();
    }
    let mut text = "\nThe server refused requests, and accepted them with these settings. A running service finds them by itself;\n\
        in the agents file they save the refused requests:\n\n"
        .to_owned();
    text.push_str(&format!("[models.{name:?}.dialect]\n"));
    for (setting, value) in &learned {
        text.push_str(&format!("{} = {}\n", setting.name(), toml_value(*setting, value)));
    }
    if is_configured {
        let pairs: Vec<String> = learned.iter().map(|(setting, value)| format!("{}={value}", setting.name())).collect();
        text.push_str(&format!("\nOr in the environment:\n\nMODEL_DIALECT={}\n", pairs.join(",")));
    }
    text
}

/// Returns the setting of a context window that the server does not say, or says otherwise.
fn window_suggestion(name: &str, is_configured: bool, tokens: u64) -> String {
    let mut text = format!(
        "\nSet the context window of this model, so that long conversations are shortened before the server refuses or cuts\n\
         them. In the agents file:\n\n[models.{name:?}]\ncontext_tokens = {tokens}\n"
    );
    if is_configured {
        text.push_str(&format!("\nOr in the environment:\n\nCONTEXT_TOKENS={tokens}\n"));
    }
    text
}

fn toml_value(setting: Setting, value: &str) -> String {
    match setting {
        Setting::Omit => format!("{:?}", value.split('+').collect::<Vec<_>>()),
        _ if value.parse::<bool>().is_ok() || value.parse::<u32>().is_ok() => value.to_owned(),
        _ => format!("{value:?}"),
    }
}
