use std::path::Path;
use threadline_core::config::AgentsConfig;

/// Parses an agents file.
///
/// # Panics
///
/// If the position of an error is outside the file.
pub fn check_agents_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variable = |name: &str| name.len().is_multiple_of(2).then(|| "https://example.com".to_owned());
    if let Err(error) = AgentsConfig::parse(Path::new("agents.toml"), text, &variable) {
        let line = text.split('\n').nth(error.line - 1).expect("the line exists");
        assert!((1..=line.chars().count() + 1).contains(&error.column), "{error}");
        assert!(!error.problem.is_empty() && !error.to_string().contains('\n'), "{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded() {
        let example = include_bytes!("../../../examples/agents.toml");
        let seeds = [example.to_vec(), b"default = \"a\"\n[agents.a]\ninstructions = \"Be brief.\"\n".to_vec()];
        crate::run_bounded(check_agents_file, &seeds);
    }
}
