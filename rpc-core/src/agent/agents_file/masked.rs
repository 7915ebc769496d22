//! The text of an agents file as operators are shown it: without comments, and without values that can be secret.

use toml::{Table, Value};

const HIDDEN: &str = "(hidden)";

/// Parts of the names of keys and arguments whose values can be secret.
const SECRET_WORDS: [&str; 7] = ["key", "token", "secret", "password", "authorization", "credential", "cookie"];

/// Returns the text of a valid agents file without what can be secret: values of headers and environment variables that
/// are not read from ours, arguments of programs after a name like `--api-key`, and what is in URLs beside host and
/// path.
pub(super) fn masked_text(text: &str) -> String {
    let Ok(mut file) = text.parse::<Table>() else { return String::new() };
    for (kind, parts) in &mut file {
        if !["mcp", "tools"].contains(&kind.as_str()) {
            continue;
        }
        for part in parts.as_table_mut().into_iter().flat_map(|parts| parts.iter_mut().map(|(_, part)| part)) {
            mask_part(part);
        }
    }
    toml::to_string_pretty(&file).unwrap_or_default()
}

fn mask_part(part: &mut Value) {
    for (name, value) in part.as_table_mut().into_iter().flatten() {
        match (name.as_str(), value) {
            ("headers" | "env", Value::Table(values)) => {
                for (_, value) in values {
                    if value.is_str() {
                        *value = HIDDEN.into();
                    }
                }
            }
            ("args", Value::Array(args)) => mask_arguments(args),
            ("url", Value::String(url)) => mask_url(url),
            _ => {}
        }
    }
}

fn mask_arguments(args: &mut [Value]) {
    let mut is_secret_next = false;
    for arg in args {
        let Value::String(text) = arg else { continue };
        let is_secret = std::mem::take(&mut is_secret_next);
        let (name, value) = text.split_once('=').map_or((text.as_str(), None), |(name, value)| (name, Some(value)));
        let lower = name.to_lowercase();
        let names_secret = SECRET_WORDS.iter().any(|word| lower.contains(word));
        if is_secret {
            *text = HIDDEN.to_owned();
        } else if names_secret && value.is_some() {
            *text = format!("{name}={HIDDEN}");
        } else if names_secret {
            is_secret_next = true;
        } else if text.contains("://") {
            mask_url(text);
        }
    }
}

fn mask_url(text: &mut String) {
    let Ok(mut url) = url::Url::parse(text) else { return };
    if url.username().is_empty() && url.password().is_none() && url.query().is_none() {
        return;
    }
    // Fails for URLs that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url.query().is_some() {
        url.set_query(Some("hidden"));
    }
    *text = url.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_stays() {
        let text = r#"
            # sk-in-a-comment
            default = "a"
            [agents.a]
            instructions = "Be brief."
            [mcp.files]
            command = "serve"
            args = ["--root", "/data", "--api-key", "sk-1", "--token=sk-2", "postgres://u:sk-3@db/x"]
            env = { PLAIN = "sk-4", NAMED = { env = "FILES_KEY" } }
            [tools.look]
            url = "http://u:sk-5@host/path/{id}?key=sk-6"
            headers = { Authorization = "Bearer sk-7", Other = { env = "OTHER", prefix = "Bearer " } }
        "#;
        let shown = masked_text(text);
        assert!(!shown.contains("sk-"), "{shown}");
        for kept in ["Be brief.", "/data", "--api-key", "--token=(hidden)", "FILES_KEY", "host/path", "OTHER", "db/x"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        assert!(shown.parse::<Table>().is_ok(), "{shown}");
        assert_eq!(masked_text("no TOML = "), "");
    }
}
