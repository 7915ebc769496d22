//! `threadline doctor --model`: probes a model, and prints what works and the dialect that it needs.

use crate::commands::print;
use crate::config::Settings;
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
    let overrides = models.get(&name).and_then(|model| model.dialect.clone());
    let Some(dialect) = model.dialect(Some(&name), overrides.as_deref()) else {
        print(format_args!("ok    {} model: built in, it has no dialect and no server to probe\n", model.kind()))?;
        return Ok(true);
    };
    print(format_args!("model {name} at {}; dialect: {}\n", dialect.host, entries(&dialect)))?;
    let results = probe(&*model, Some(name.clone()), overrides.clone()).await;
    for ProbeResult { feature, verdict, detail } in &results {
        let verdict = match verdict {
            Verdict::Works => "ok",
            Verdict::Missing => "no",
            Verdict::Fails => "FAIL",
        };
        print(format_args!("{verdict:<5} {feature:<15} {detail}\n"))?;
    }
    if let Some(dialect) = model.dialect(Some(&name), overrides.as_deref()) {
        print(suggestion(&name, *name == *model.name(), &dialect))?;
    }
    Ok(results.iter().all(|result| result.verdict != Verdict::Fails))
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

fn toml_value(setting: Setting, value: &str) -> String {
    match setting {
        Setting::Omit => format!("{:?}", value.split('+').collect::<Vec<_>>()),
        _ if value.parse::<bool>().is_ok() || value.parse::<u32>().is_ok() => value.to_owned(),
        _ => format!("{value:?}"),
    }
}
