//! The install script and the npm packages, with archives as a release has them. The binary in them is a script.

use super::files::{deploy, succeeds};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use threadline_test_requirements::Requirement;

const TARGETS: [&str; 4] =
    ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl", "x86_64-apple-darwin", "aarch64-apple-darwin"];
/// Stands for the binary: says its version, and ends with the code that it is given.
const BINARY: &str = "#!/bin/sh\n[ \"$1\" = exit ] && exit \"$2\"\necho threadline 9.9.9\n";

/// A directory that is removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("threadline-install-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes the archives of a release, with their checksums, in a folder.
fn make_release(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for target in TARGETS {
        let inside = folder.join(format!("threadline-{target}"));
        fs::create_dir_all(&inside).unwrap();
        fs::write(inside.join("threadline"), BINARY).unwrap();
        succeeds(Command::new("chmod").arg("755").arg(inside.join("threadline")));
        let archive = format!("threadline-{target}.tar.gz");
        succeeds(Command::new("tar").arg("-czf").arg(&archive).arg(format!("threadline-{target}")).current_dir(folder));
        fs::remove_dir_all(inside).unwrap();
    }
    succeeds(Command::new("sh").args(["-c", "sha256sum -- *.tar.gz > SHA256SUMS"]).current_dir(folder));
}

/// Serves a folder over HTTP as a release page does: `latest` leads to the newest version. Returns its address.
fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_path_buf();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that goes away ends its own request only.
            let _ = respond(&stream, &folder);
        }
    });
    address
}

fn respond(mut stream: &TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    lines.find(String::is_empty);
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    if let Some(name) = path.strip_prefix("latest/download/") {
        let found = format!("HTTP/1.1 302 Found\r\nlocation: /download/v9.9.9/{name}\r\n");
        return write!(stream, "{found}content-length: 0\r\nconnection: close\r\n\r\n");
    }
    let file = fs::read(folder.join(path));
    let status = if file.is_ok() { "200 OK" } else { "404 Not Found" };
    let body = file.unwrap_or_default();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

fn install(releases: &str, version: &str, directory: &Path) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = Command::new("sh")
        .arg(deploy("install.sh"))
        .env("THREADLINE_RELEASES", releases)
        .env("THREADLINE_VERSION", version)
        .env("THREADLINE_DIR", directory)
        .output()
        .unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn the_script_installs_what_it_has_checked_and_nothing_else() {
    let place = Place::new();
    make_release(&place.join("download/v9.9.9"));
    let releases = serve(&place.0);
    for version in ["latest", "v9.9.9"] {
        let directory = place.join(&format!("bin-{version}"));
        let (code, said) = install(&releases, version, &directory);
        assert!(code == Some(0) && said.contains("Installed threadline 9.9.9"), "{said}");
        let installed = Command::new(directory.join("threadline")).arg("--version").output().unwrap();
        assert_eq!(installed.stdout, b"threadline 9.9.9\n");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "something else was left there");
    }

    let directory = place.join("bin");
    let (code, said) = install(&releases, "v1.2.3", &directory);
    assert!(code == Some(1) && said.contains("cannot be downloaded"), "{said}");
    for target in TARGETS {
        fs::write(place.join(&format!("download/v9.9.9/threadline-{target}.tar.gz")), "changed on the way").unwrap();
    }
    let (code, said) = install(&releases, "v9.9.9", &directory);
    assert!(code == Some(1) && said.contains("SHA-256") && said.contains("nothing was installed"), "{said}");
    assert!(!directory.exists());
    let (code, said) = install("", "latest", &directory);
    assert!(code == Some(1) && said.contains("set THREADLINE_RELEASES"), "{said}");
}

#[test]
fn the_packed_npm_packages_can_be_installed() {
    let Some(_) = Requirement::Node.find() else { return };
    let place = Place::new();
    make_release(&place.join("dist"));
    let packages = place.join("packages");
    let repository = ("GITHUB_REPOSITORY", "example/threadline");
    let build = |out: &Path| {
        let mut node = Command::new("node");
        node.arg(deploy("npm/build.mjs")).arg(place.join("dist")).arg(out).arg("9.9.9").env(repository.0, repository.1);
        node
    };
    succeeds(&mut build(&packages));
    let app = place.join("app");
    fs::create_dir_all(&app).unwrap();
    fs::write(app.join("package.json"), r#"{"name": "app", "private": true}"#).unwrap();
    // Offline: nothing but the packed files is needed. Those of other machines are left out.
    let mut install = Command::new("npm");
    install.args(["install", "--offline", "--no-audit", "--no-fund", "--silent"]).current_dir(&app);
    let machine = Command::new("node").args(["-p", "`${process.platform}-${process.arch}`"]).output().unwrap();
    let machine = String::from_utf8(machine.stdout).unwrap().trim().to_owned();
    for name in ["threadline".to_owned(), format!("threadline-{machine}")] {
        let folder = packages.join(&name);
        let text = fs::read_to_string(folder.join("package.json")).unwrap();
        // The provenance of npm wants the repository that the workflow runs in.
        assert!(text.contains("git+https://github.com/example/threadline.git"), "{text}");
        succeeds(Command::new("npm").args(["pack", "--silent", "--pack-destination"]).arg(&app).current_dir(&folder));
        install.arg(format!("./{name}-9.9.9.tgz"));
    }
    succeeds(&mut install);
    let run = Command::new(app.join("node_modules/.bin/threadline")).arg("--version").output().unwrap();
    assert_eq!(run.stdout, b"threadline 9.9.9\n");
}

#[test]
fn the_npm_packages_run_the_binary_of_this_machine() {
    let Some(node) = Requirement::Node.find() else { return };
    let place = Place::new();
    make_release(&place.join("dist"));
    let modules = place.join("node_modules");
    succeeds(Command::new(&node).arg(deploy("npm/build.mjs")).arg(place.join("dist")).arg(&modules).arg("9.9.9"));
    let package: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(modules.join("threadline/package.json")).unwrap()).unwrap();
    assert_eq!(package["version"], "9.9.9");
    for (name, version) in package["optionalDependencies"].as_object().unwrap() {
        assert_eq!(version, "9.9.9");
        assert!(modules.join(name).join("threadline").exists(), "{name}");
    }

    let run = |arguments: &[&str]| {
        Command::new(&node).arg(modules.join("threadline/bin/threadline.js")).args(arguments).output().unwrap()
    };
    assert_eq!(run(&["--version"]).stdout, b"threadline 9.9.9\n");
    assert_eq!(run(&["exit", "7"]).status.code(), Some(7));
    for entry in fs::read_dir(&modules).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "threadline") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let missing = run(&["--version"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("--omit=optional"));
}
