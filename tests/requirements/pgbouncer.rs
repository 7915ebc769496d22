//! PgBouncer in front of the PostgreSQL server of the tests.

use crate::Requirement;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time for the start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running PgBouncer. It ends when this is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    process: Child,
    directory: PathBuf,
    port: u16,
}

impl PgBouncer {
    /// Starts one in transaction mode that shares `servers` sessions among all its clients. `url` is that of a
    /// database. `None` when there is no PgBouncer.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(url: &str, servers: u32) -> Option<Self> {
        Self::start_in_mode("transaction", url, servers)
    }

    /// Starts one in another mode: `session` or `statement`.
    ///
    /// # Panics
    /// When it does not start.
    #[allow(clippy::panic, reason = "the way in which a test fails")]
    pub fn start_in_mode(mode: &str, url: &str, servers: u32) -> Option<Self> {
        let program = Requirement::PgBouncer.find()?;
        let started = Self::try_start(&program, mode, url, servers);
        Some(started.unwrap_or_else(|error| panic!("PgBouncer does not start: {error}")))
    }

    fn try_start(program: &str, mode: &str, url: &str, servers: u32) -> std::io::Result<Self> {
        let wrong = |what: &str| std::io::Error::other(format!("the URL of the database has no {what}"));
        let rest = url.split_once("://").ok_or_else(|| wrong("scheme"))?.1;
        let rest = rest.split('?').next().unwrap_or(rest);
        let (login, place) = rest.split_once('@').ok_or_else(|| wrong("user"))?;
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (address, _) = place.split_once('/').ok_or_else(|| wrong("database"))?;
        let (host, server_port) = address.split_once(':').unwrap_or((address, "5432"));

        // Free now, and nobody is told of it.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let directory = std::env::temp_dir().join(format!("threadline-pgbouncer-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let users = directory.join("users.txt");
        std::fs::write(&users, format!("\"{user}\" \"{password}\"\n"))?;
        let file = directory.join("pgbouncer.ini");
        std::fs::write(
            &file,
            format!(
                "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n\
                 default_pool_size = {servers}\nmin_pool_size = 0\nmax_client_conn = 500\n",
                users.display()
            ),
        )?;
        let mut command = Command::new(program);
        if is_root() {
            // It refuses to run as root, and changes to this user.
            open_to_all(&directory, &[&users, &file])?;
            command.args(["-u", "nobody"]);
        }
        let process = command.arg("-q").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let this = Self { process, directory, port };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err(std::io::Error::other("it does not listen"));
            }
            #[allow(clippy::disallowed_methods, reason = "a test that waits for a process")]
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(this)
    }

    /// Returns the URL that leads to the same database through this pooler.
    pub fn url(&self, direct: &str) -> String {
        let (scheme, rest) = direct.split_once("://").unwrap_or(("postgres", direct));
        let (login, place) = rest.split_once('@').unwrap_or(("postgres", rest));
        let user = login.split(':').next().unwrap_or(login);
        let database = place.split_once('/').map_or("postgres", |(_, database)| database);
        format!("{scheme}://{user}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(unix)]
fn open_to_all(directory: &std::path::Path, files: &[&PathBuf]) -> std::io::Result<()> {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    set_permissions(directory, Permissions::from_mode(0o755))?;
    files.iter().try_for_each(|file| set_permissions(file, Permissions::from_mode(0o644)))
}

#[cfg(not(unix))]
fn open_to_all(_: &std::path::Path, _: &[&PathBuf]) -> std::io::Result<()> {
    Ok(())
}
