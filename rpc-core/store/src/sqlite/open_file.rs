//! Whether the path of a database still names the file that was opened.

use crate::error::{StoreError, StoreResult};

/// A database file at the time when it was opened.
pub(crate) struct OpenFile {
    path: String,
    identity: Option<Identity>,
}

/// What tells a file from all others while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl OpenFile {
    /// Remembers which file a path names.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if there is no file, or it cannot be examined.
    pub(crate) async fn at(path: String) -> StoreResult<Self> {
        Ok(Self { identity: identity(path.clone()).await?, path })
    }

    /// Checks that the path still names this file. Open connections use a file that was moved or deleted, but new ones
    /// use what is at the path, and a restart would too.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it names another file, or none.
    pub(crate) async fn check(&self) -> StoreResult<()> {
        if identity(self.path.clone()).await? == self.identity {
            return Ok(());
        }
        let what =
            "the file was replaced while it was open; put the file that was open back, or start the server again";
        Err(StoreError::unavailable(what))
    }
}

async fn identity(path: String) -> StoreResult<Option<Identity>> {
    let found = tokio::task::spawn_blocking(move || {
        std::fs::metadata(&path)
            .map(|file| of(&file))
            .map_err(|error| StoreError::unavailable(format!("{path}: {error}")))
    });
    found.await.map_err(StoreError::unavailable)?
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "not every system has such numbers")]
fn of(file: &std::fs::Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some(Identity { device: file.dev(), inode: file.ino() })
}

#[cfg(not(unix))]
fn of(_: &std::fs::Metadata) -> Option<Identity> {
    None
}
