//! What the process tells the operating system about itself before it does anything.

/// Makes new files readable for this user alone, and the memory and environment of this process unreadable for its
/// children, such as MCP servers that run as the same user.
///
/// Both are precautions: where the operating system does not have them, nothing changes.
pub fn apply() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // Without a core file, and without `/proc/PID/environ` and `/proc/PID/mem` for other processes of the same user.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
