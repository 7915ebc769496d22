//! The OpenAPI document in the hands of those who use it: linters have nothing to say, and generators make clients of
//! all of it.

use super::files::{check, deploy, succeeds};
use crate::support::process::run;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use threadline_test_requirements::Requirement;

/// A directory with the document of this binary and the settings of the tools, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("threadline-openapi-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path).unwrap();
        // Redocly looks for its exceptions beside its settings, and finds the document by its name.
        for file in ["redocly.yaml", ".redocly.lint-ignore.yaml", "spectral.yaml", "python-client.yaml"] {
            std::fs::copy(deploy("checks/openapi").join(file), path.join(file)).unwrap();
        }
        std::fs::write(path.join("openapi.json"), run(&["openapi"], &[]).stdout).unwrap();
        Self(path)
    }

    /// A program of npm that works in the directory.
    fn program(&self, tools: &str, name: &str) -> Command {
        let mut command = Command::new(Path::new(tools).join(name));
        command.current_dir(&self.0).env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
        command
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn linters_find_nothing() {
    let Some(tools) = Requirement::OpenApiTools.find() else { return };
    let scratch = Scratch::new();
    let redocly = scratch.program(&tools, "redocly").args(["lint", "openapi.json", "--format=json"]).output().unwrap();
    let said = String::from_utf8_lossy(&redocly.stdout);
    let found: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(found["totals"]["errors"] == 0 && found["totals"]["warnings"] == 0, "{said}");
    succeeds(scratch.program(&tools, "spectral").args([
        "lint",
        "--ruleset=spectral.yaml",
        "--fail-severity=hint",
        "openapi.json",
    ]));
}

#[test]
fn generators_make_clients_of_all_of_it() {
    let Some(tools) = Requirement::OpenApiTools.find() else { return };
    let Some(mut python) = check("openapi-python-client") else { return };
    let scratch = Scratch::new();
    succeeds(scratch.program(&tools, "openapi-typescript").args(["openapi.json", "--output=api.d.ts"]));
    succeeds(scratch.program(&tools, "tsc").args(["--noEmit", "--strict", "api.d.ts"]));
    python
        .args(["generate", "--path=openapi.json", "--config=python-client.yaml", "--meta=none"])
        .args(["--fail-on-warning", "--output-path=client"])
        .current_dir(&scratch.0);
    // It formats with ruff, which is beside it.
    if let Some(folder) = Path::new(python.get_program()).parent().map(Path::to_path_buf) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(folder).chain(std::env::split_paths(&path));
        python.env("PATH", std::env::join_paths(paths).unwrap());
    }
    succeeds(&mut python);
    succeeds(check("python").unwrap().args(["-m", "compileall", "-q", "client"]).current_dir(&scratch.0));
    let models = scratch.0.join("client/models");
    for model in ["session", "user_message", "stream_event_of_thread_thread_item_added"] {
        assert!(models.join(format!("{model}.py")).exists(), "{model} has no type");
    }
}
