//! Whether the file system under an SQLite file keeps its locks.
//!
//! SQLite in WAL mode shares memory between its connections and relies on locks of the file; over a network either does
//! not work, and the file is destroyed: <https://www.sqlite.org/wal.html>, <https://www.sqlite.org/useovernet.html>.

use crate::error::{StoreError, StoreResult};
use std::path::Path;

/// Refuses a file on a network file system, or only warns of it.
///
/// # Errors
/// [`StoreError::Config`] with the name of the file system and what to do.
pub(super) fn check(file: &Path, is_allowed: bool) -> StoreResult<()> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A symbolic link may lead elsewhere.
    let place = std::fs::canonicalize(file).or_else(|_| std::fs::canonicalize(directory));
    let Some(name) = place.ok().and_then(|place| network_file_system(&place)) else { return Ok(()) };
    if is_allowed {
        tracing::warn!(file_system = name, "the SQLite file is on a network file system, whose locks may not hold");
        return Ok(());
    }
    Err(StoreError::Config(format!(
        "the file is on a network file system ({name}), where SQLite's locks cannot be relied on and the file can be \
         destroyed; put it on a local disk, use PostgreSQL, or set SQLITE_NETWORK_FILE_SYSTEM=allow at your own risk"
    )))
}

#[cfg(target_os = "linux")]
fn network_file_system(place: &Path) -> Option<&'static str> {
    let magic = rustix::fs::statfs(place).ok()?.f_type;
    // The type is a signed or unsigned word, depending on the machine; the magic numbers have 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
    let magic = magic as u32;
    by_magic(magic).or_else(|| {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        (magic == FUSE).then(|| by_mount(&mounts, place)).flatten()
    })
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

/// What all file systems have in common that a process of the user serves; some of them are local.
#[cfg(target_os = "linux")]
const FUSE: u32 = 0x6573_5546;

/// Magic numbers of network file systems (`statfs(2)`).
#[cfg(target_os = "linux")]
fn by_magic(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0000_6969 => "NFS",
        0x0000_517b | 0xfe53_4d42 | 0xff53_4d42 => "SMB",
        0x0102_1997 => "9p",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x00c3_6400 => "CephFS",
        0x7375_7245 => "Coda",
        0x0000_564c => "NCP",
        0x0bd0_0bd0 => "Lustre",
        _ => return None,
    })
}

/// Names of FUSE file systems that are on another machine, in the table of mounts.
#[cfg(target_os = "linux")]
const REMOTE_FUSE: &[(&str, &str)] = &[
    ("fuse.sshfs", "sshfs"),
    ("fuse.rclone", "rclone"),
    ("fuse.s3fs", "s3fs"),
    ("fuse.mount-s3", "Mountpoint for S3"),
    ("fuse.gcsfuse", "gcsfuse"),
    ("fuse.blobfuse", "blobfuse"),
    ("fuse.blobfuse2", "blobfuse"),
    ("fuse.glusterfs", "GlusterFS"),
    ("fuse.ceph-fuse", "CephFS"),
    ("fuse.juicefs", "JuiceFS"),
    ("fuse.davfs", "WebDAV"),
    ("fuse.davfs2", "WebDAV"),
    ("fuse.curlftpfs", "FTP"),
    ("fuse.seaweedfs", "SeaweedFS"),
    ("fuse.smbnetfs", "SMB"),
];

/// The file system at a place according to `/proc/self/mountinfo`, if it is one of [`REMOTE_FUSE`].
#[cfg(target_os = "linux")]
fn by_mount(mounts: &str, place: &Path) -> Option<&'static str> {
    // ID PARENT DEVICE ROOT MOUNT-POINT OPTIONS [FIELDS] - TYPE SOURCE OPTIONS; see proc(5). Of several mounts on one
    // point the last is on top.
    let at = mounts.lines().filter_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let point = head.split(' ').nth(4)?.replace("\\040", " ");
        place.starts_with(&point).then(|| (point.len(), tail.split(' ').next().unwrap_or_default()))
    });
    let (_, kind) = at.max_by_key(|(length, _)| *length)?;
    REMOTE_FUSE.iter().find(|(name, _)| *name == kind).map(|(_, words)| *words)
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        for (magic, name) in [(0x6969, "NFS"), (0xfe53_4d42, "SMB"), (0x0102_1997, "9p")] {
            assert_eq!(by_magic(magic), Some(name));
        }
        // ext4, XFS, btrfs, tmpfs, overlayfs, ZFS, FUSE.
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, FUSE] {
            assert_eq!(by_magic(local), None, "{local:x}");
        }
    }

    #[test]
    fn a_fuse_file_system_is_known_by_the_table_of_mounts() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      40 22 0:50 / /mnt/my\\040files rw,nosuid shared:5 - fuse.sshfs me@host:/ rw\n\
                      41 22 0:51 / /mnt/disk rw - fuse.ntfs-3g /dev/sdb1 rw\n\
                      42 40 8:2 / /mnt/my\\040files/local rw - ext4 /dev/sda2 rw\n";
        assert_eq!(by_mount(mounts, Path::new("/mnt/my files/threadline.db")), Some("sshfs"));
        for local in ["/mnt/disk/a.db", "/mnt/my files/local/a.db", "/var/a.db", "/mnt/my filesystem/a.db"] {
            assert_eq!(by_mount(mounts, Path::new(local)), None, "{local}");
        }
    }

    #[test]
    fn a_local_directory_is_taken() {
        check(&std::env::temp_dir().join("no-such-file.db"), false).unwrap();
    }
}
