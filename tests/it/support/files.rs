//! A directory for the attachments of one test, removed with the test.

use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A directory of one test. The service creates it.
pub struct Files(PathBuf);

impl Files {
    pub fn new() -> Self {
        Self(std::env::temp_dir().join(format!("threadline-test-files-{}", Uuid::new_v4().simple())))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the names of the files of an attachment.
    pub fn of(&self, attachment: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut directories = vec![self.0.join(attachment)];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).into_iter().flatten() {
                let path = entry.expect("an entry of a directory").path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let name = path.strip_prefix(self.0.join(attachment)).expect("a path below");
                    names.push(name.display().to_string());
                }
            }
        }
        names.sort();
        names
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
