//! The standard output of commands.

use std::fmt::Display;
use std::io::Write;

/// Writes to stdout. A reader that has closed the pipe (`| head`) is not an error.
///
/// # Errors
/// When stdout cannot be written to.
pub fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
