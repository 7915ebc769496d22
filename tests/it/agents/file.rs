//! An agents file for one test, removed with it.

use crate::support::Setup;
use std::path::PathBuf;
use uuid::Uuid;

pub struct AgentsFile(PathBuf);

impl AgentsFile {
    pub fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("threadline-agents-{}.toml", Uuid::new_v4().simple()));
        let this = Self(path);
        this.write(text);
        this
    }

    /// Replaces its text as a careful operator does: at once.
    pub fn write(&self, text: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &self.0).unwrap();
    }

    pub fn of(&self, setup: Setup) -> Setup {
        setup.with("AGENTS_FILE", self.0.display())
    }

    pub fn name(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for AgentsFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
