//! The sources of settings: flags, environment, `.env`.

use super::{ConfigError, LogFormat, Settings, Value};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::Path;

/// The values that were found, by source; an earlier layer overrides a later one. The environment is never changed.
#[derive(Clone, Default)]
pub struct Sources {
    layers: Vec<HashMap<String, String>>,
}

impl Sources {
    /// Reads the environment and `.env` in the working directory. Flags override the environment, which overrides
    /// `.env`.
    ///
    /// # Errors
    ///
    /// When a variable of the environment is not UTF-8, or `.env` exists and cannot be read.
    pub fn of_process(flags: HashMap<String, String>) -> Result<Self, ConfigError> {
        let layers = [flags, environment()?, env_file(Path::new(".env"))?];
        Ok(Self { layers: layers.into_iter().map(read_secret_files).collect::<Result<_, _>>()? })
    }

    /// Uses these layers; an earlier layer overrides a later one.
    pub fn of_layers(layers: Vec<HashMap<String, String>>) -> Self {
        Self { layers }
    }

    /// Returns the value of `name` in the first layer that has one. Ignores empty values.
    pub fn get(&self, name: &str) -> Option<String> {
        self.layers.iter().filter_map(|layer| layer.get(name)).find(|text| !text.trim().is_empty()).cloned()
    }

    /// Returns whether a process with these flags must log JSON, also if other settings cannot be read.
    pub fn log_json(flags: &HashMap<String, String>) -> bool {
        let format = match Self::of_process(flags.clone()) {
            Ok(sources) => sources.get("LOG_FORMAT"),
            Err(_) => flags.get("LOG_FORMAT").cloned().or_else(|| std::env::var("LOG_FORMAT").ok()),
        };
        let format = format.and_then(|format| LogFormat::parse(format.trim()));
        format.map_or_else(|| !std::io::stderr().is_terminal(), |format| format == LogFormat::Json)
    }

    /// Parses all settings.
    ///
    /// # Errors
    ///
    /// The first setting that has an invalid value.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        Settings::read(&|name| self.get(name))
    }
}

/// Variables that are not settings: those that the agents file names, so that it contains no secrets.
pub(super) struct Variables {
    env_file: HashMap<String, String>,
}

impl Variables {
    /// Reads `.env` in the working directory.
    pub(super) fn read() -> Result<Self, ConfigError> {
        Ok(Self { env_file: env_file(Path::new(".env"))? })
    }

    /// Returns a variable of the environment, or else of `.env`. One that is not UTF-8 counts as not set.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        // The standard library panics on names that an environment cannot have.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        let find = |name: &str| std::env::var(name).ok().or_else(|| self.env_file.get(name).cloned());
        // A secret of the agents file can be in a file too.
        find(name).or_else(|| secret_file(&find(&format!("{name}_FILE"))?).ok())
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values contain keys and passwords.
        f.debug_struct("Sources").field("layers", &self.layers.len()).finish()
    }
}

/// Adds to a layer the secrets that it names files of.
///
/// # Errors
///
/// When such a file cannot be read or is empty, or the layer has the secret itself as well.
fn read_secret_files(mut layer: HashMap<String, String>) -> Result<HashMap<String, String>, ConfigError> {
    let is_set =
        |layer: &HashMap<String, String>, name: &str| layer.get(name).is_some_and(|text| !text.trim().is_empty());
    for setting in Settings::TABLE.iter().filter(|setting| setting.secret) {
        let names = std::iter::once(&setting.name).chain(setting.aliases);
        for (name, file_name) in names.zip(setting.file_names) {
            if !is_set(&layer, file_name) {
                continue;
            }
            if is_set(&layer, name) {
                return Err(ConfigError::new(file_name, format!("is set, and {name} is too; set one of them")));
            }
            let path = layer.get(*file_name).map(|path| path.trim().to_owned()).unwrap_or_default();
            let secret = secret_file(&path).map_err(|problem| ConfigError::new(file_name, problem))?;
            layer.insert((*name).to_owned(), secret);
        }
    }
    Ok(layer)
}

/// Reads a file that holds one secret, without the end of its line.
fn secret_file(path: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path:?} cannot be read: {error}"))?;
    match text.trim() {
        "" => Err(format!("{path:?} is empty")),
        secret => Ok(secret.to_owned()),
    }
}

fn environment() -> Result<HashMap<String, String>, ConfigError> {
    let mut found = HashMap::new();
    for setting in Settings::TABLE {
        let files = setting.file_names.iter().filter(|_| setting.secret);
        for name in std::iter::once(&setting.name).chain(setting.aliases).chain(files) {
            if let Some(text) = std::env::var_os(name) {
                let text = text.into_string().map_err(|_| ConfigError::new(name, "the value is not valid UTF-8"))?;
                found.insert((*name).to_owned(), text);
            }
        }
    }
    Ok(found)
}

/// Reads `path`, which need not exist. The file can have variables that are not settings: other programs use it too.
fn env_file(path: &Path) -> Result<HashMap<String, String>, ConfigError> {
    let problem = |error: dotenvy::Error| match error {
        // The error contains the whole line, which can have a key: only the name before `=` is repeated.
        dotenvy::Error::LineParse(line, _) => {
            let name = line.split('=').next().unwrap_or_default().trim();
            let name = if name.len() == line.trim().len() { "a line without =" } else { name };
            let name: String = name.chars().take(40).flat_map(char::escape_debug).collect();
            format!("cannot be read at {name}: put values with spaces or special characters in single quotes")
        }
        error => format!("cannot be read: {error}"),
    };
    let lines = match dotenvy::from_path_iter(path) {
        Ok(lines) => lines,
        Err(error) if error.not_found() => return Ok(HashMap::new()),
        Err(error) => return Err(ConfigError::new(".env", problem(error))),
    };
    lines.collect::<Result<_, _>>().map_err(|error| ConfigError::new(".env", problem(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> Result<HashMap<String, String>, ConfigError> {
        let path = std::env::temp_dir().join(format!("threadline-{}-{name}.env", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let result = env_file(&path);
        std::fs::remove_file(&path).unwrap();
        result
    }

    #[test]
    fn the_first_source_with_a_value_wins() {
        let layer = |text: &str| HashMap::from([("LOG_LEVEL".to_owned(), text.to_owned())]);
        let settings = |layers: &[&str]| {
            let layers = layers.iter().map(|text| layer(text)).collect();
            Sources::of_layers(layers).settings().unwrap().log_level.as_str().to_owned()
        };
        assert_eq!(settings(&["warn", "debug", "trace"]), "warn");
        assert_eq!(settings(&["", "debug", "trace"]), "debug");
        assert_eq!(settings(&["  ", "", "trace"]), "trace");
        assert_eq!(settings(&["", "", ""]), "info");
    }

    #[test]
    fn a_file_has_variables_and_comments() {
        let found = file("good", "# LOG_LEVEL=trace\nSECRET_KEY='a$b c' # note\nexport REST_LISTEN=[::]:80\n").unwrap();
        assert_eq!(found.get("SECRET_KEY").unwrap(), "a$b c");
        assert_eq!(found.get("REST_LISTEN").unwrap(), "[::]:80");
        assert_eq!(found.get("LOG_LEVEL"), None);
    }

    #[test]
    fn errors_of_a_file_contain_no_secrets() {
        for text in ["SECRET_KEY='hunter2", "SECRET_KEY=hunter2 hunter2", "hunter2"] {
            let error = file("bad", text).unwrap_err().to_string();
            assert!(error.starts_with(".env: ") && !error.contains("hunter2") && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn a_secret_can_be_in_a_file() {
        let path = std::env::temp_dir().join(format!("threadline-{}-secret", std::process::id()));
        let layer = |pairs: &[(&str, &str)]| {
            read_secret_files(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
        };
        std::fs::write(&path, "hunter2\n").unwrap();
        let file = path.display().to_string();
        for (name, set) in [("SECRET_KEY_FILE", "SECRET_KEY"), ("JWT_SECRET_FILE", "JWT_SECRET")] {
            assert_eq!(layer(&[(name, &file)]).unwrap().get(set).unwrap(), "hunter2");
        }
        let both = layer(&[("SECRET_KEY_FILE", &file), ("SECRET_KEY", "x")]).unwrap_err().to_string();
        assert!(both.starts_with("SECRET_KEY_FILE: ") && !both.contains("hunter2"), "{both}");
        std::fs::write(&path, "\n").unwrap();
        assert!(layer(&[("REDIS_URL_FILE", &file)]).unwrap_err().to_string().contains("is empty"));
        std::fs::remove_file(&path).unwrap();
        let missing = layer(&[("OPENROUTER_API_KEY_FILE", &file)]).unwrap_err();
        assert_eq!(missing.variable, "OPENROUTER_API_KEY_FILE");
        assert!(layer(&[("LOG_LEVEL_FILE", &file)]).is_ok(), "a level is no secret");
    }

    #[test]
    fn a_missing_file_is_no_error() {
        assert!(env_file(Path::new("/nonexistent/.env")).unwrap().is_empty());
    }
}
