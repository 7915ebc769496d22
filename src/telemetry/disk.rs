//! Free space of the disks that the service writes to itself. PostgreSQL and S3 have disks of their own.

use crate::config::Settings;
use secrecy::ExposeSecret;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use threadline_core::config::AttachmentsLocation;

/// A directory, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Value of the label `volume`.
    pub name: &'static str,
    /// The directory. It can be missing: then the nearest one above it that exists counts.
    pub directory: PathBuf,
}

/// Returns the directories that a core writes to.
pub fn volumes(settings: &Settings) -> Vec<Volume> {
    let mut volumes = Vec::new();
    if let Some(file) = settings.database().url.expose_secret().strip_prefix("sqlite://") {
        let directory = Path::new(file).parent().unwrap_or(Path::new("")).to_path_buf();
        volumes.push(Volume { name: "database", directory });
    }
    // The address is part of URLs, which nothing here uses.
    if let AttachmentsLocation::Directory(directory) =
        settings.attachments(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).location
    {
        volumes.push(Volume { name: "attachments", directory });
    }
    volumes
}

/// Records the size and the free space of each volume. One that cannot be read keeps its last values.
pub(super) fn record(volumes: &[Volume]) {
    for volume in volumes {
        let Some((free, size)) = space(&volume.directory) else { continue };
        metrics::gauge!("threadline_disk_free_bytes", "volume" => volume.name).set(free);
        metrics::gauge!("threadline_disk_size_bytes", "volume" => volume.name).set(size);
    }
}

/// Returns the free and the total bytes of the file system under a directory.
#[allow(clippy::cast_precision_loss, reason = "a gauge holds floats")]
fn space(directory: &Path) -> Option<(f64, f64)> {
    let absolute =
        std::path::absolute(if directory.as_os_str().is_empty() { Path::new(".") } else { directory }).ok()?;
    let found = absolute.ancestors().find_map(|directory| rustix::fs::statvfs(directory).ok())?;
    let block = found.f_frsize as f64;
    // Without the blocks that only the superuser may use.
    Some((found.f_bavail as f64 * block, found.f_blocks as f64 * block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_volumes_are_those_that_the_service_writes_to() {
        let of = |settings: &[(&str, &str)]| {
            let lookup =
                |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            let found = volumes(&Settings::read(&lookup).unwrap());
            found
                .into_iter()
                .map(|volume| format!("{} {}", volume.name, volume.directory.display()))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), ["database ", "attachments threadline-attachments"]);
        assert_eq!(
            of(&[("DATABASE_URL", "sqlite:///data/threadline.db"), ("ATTACHMENTS_URL", "s3://bucket/x")]),
            ["database /data"]
        );
        assert_eq!(of(&[("DATABASE_URL", "postgres://u@h/d"), ("ATTACHMENTS_URL", "/files")]), ["attachments /files"]);
    }

    #[test]
    fn a_directory_that_is_missing_counts_as_the_one_above_it() {
        for directory in ["", "/no/such/directory", env!("CARGO_MANIFEST_DIR")] {
            let (free, size) = space(Path::new(directory)).unwrap();
            assert!(size > 0.0 && (0.0..=size).contains(&free), "{directory}: {free} of {size}");
        }
    }
}
