//! The files in `deploy/`, and those of CI, checked by the programs that read them.

use crate::support::process::run;
use std::path::{Path, PathBuf};
use std::process::Command;
use threadline_test_requirements::Requirement;

/// Returns the path of a file in `deploy/`.
pub(super) fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

/// Runs a program that must succeed.
#[track_caller]
pub(super) fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

/// A program of the virtual environment with the checks; `None` when there is none.
pub(super) fn check(program: &str) -> Option<Command> {
    let python = Requirement::DeployChecks.find()?;
    Some(Command::new(Path::new(&python).with_file_name(program)))
}

#[test]
fn the_chart_renders_to_valid_manifests() {
    let Some(mut python) = check("python") else { return };
    succeeds(python.arg(deploy("checks/manifests.py")));
}

#[test]
fn compose_files_and_workflows_fit_their_schemas() {
    let Some(mut compose) = check("check-jsonschema") else { return };
    succeeds(
        compose
            .args(["--builtin-schema", "vendor.compose-spec"])
            .args([deploy("compose/compose.yaml"), deploy("../compose.yaml")]),
    );
    let workflows = deploy("../.github/workflows");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&workflows).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 2, "{files:?}");
    succeeds(check("check-jsonschema").unwrap().args(["--builtin-schema", "vendor.github-workflows"]).args(&files));
    // What else goes wrong with workflows: actions without a digest, injections, rights that are too wide.
    succeeds(check("zizmor").unwrap().args(["--offline", "--quiet", "--no-progress"]).arg(&workflows));
}

/// Else everybody has the address of the proxy, and one stranger uses up the attempts to log in of all.
#[test]
fn the_service_of_the_compose_file_trusts_its_proxy() {
    let text = std::fs::read_to_string(deploy("compose/compose.yaml")).unwrap();
    let after = |words: &str| {
        let rest = text.split_once(words).unwrap_or_else(|| panic!("no {words:?}")).1;
        rest.split(['\n', '}']).next().unwrap().trim()
    };
    let (trusted, subnet) = (after("TRUSTED_PROXIES:"), after("subnet:"));
    assert!(trusted == subnet && subnet.ends_with("/24"), "{trusted} {subnet}");
    let nginx = std::fs::read_to_string(deploy("compose/nginx.conf")).unwrap();
    assert!(nginx.contains("X-Forwarded-For $proxy_add_x_forwarded_for;"), "{nginx}");
}

#[test]
fn the_images_pass_hadolint() {
    let Some(mut hadolint) = check("hadolint") else { return };
    // Versions of Debian's packages are those of the image.
    let files = ["../Dockerfile", "release.Dockerfile", "compose/pgbouncer.Dockerfile"].map(deploy);
    succeeds(hadolint.args(["--ignore", "DL3008", "--failure-threshold", "warning"]).args(files));
}

#[test]
fn the_unit_is_valid_and_locked_in() {
    let Some(program) = Requirement::SystemdAnalyze.find() else { return };
    // `verify` wants the program of the unit to exist.
    let text = std::fs::read_to_string(deploy("systemd/threadline.service")).unwrap();
    let text = text.replace("/usr/local/bin/threadline", env!("CARGO_BIN_EXE_threadline"));
    let copy = std::env::temp_dir().join(format!("threadline-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&copy).unwrap();
    let unit = copy.join("threadline.service");
    std::fs::write(&unit, text).unwrap();
    succeeds(Command::new(&program).args(["verify", "--man=no"]).arg(&unit));
    // In tenths of the scale from 0 (locked in) to 10.
    succeeds(Command::new(&program).args(["security", "--offline=true", "--threshold=15"]).arg(&unit));
    std::fs::remove_dir_all(&copy).unwrap();
}

#[test]
fn the_example_of_settings_names_settings() {
    let text = std::fs::read_to_string(deploy("systemd/threadline.env.example")).unwrap();
    let all = threadline::config::env_example();
    for line in text.lines().filter(|line| line.contains('=')) {
        let name = line.trim_start_matches('#').split('=').next().unwrap();
        assert!(all.contains(&format!("{name}=")), "{name} is not a setting");
    }
}

#[test]
fn the_scripts_pass_shellcheck() {
    let Some(program) = Requirement::ShellCheck.find() else { return };
    succeeds(Command::new(program).arg(deploy("install.sh")));
}

#[test]
fn the_book_builds_without_a_warning() {
    let Some(mut mdbook) = check("mdbook") else { return };
    let target = std::env::temp_dir().join(format!("threadline-book-{}", uuid::Uuid::new_v4().simple()));
    let output = mdbook.args(["build", "--dest-dir"]).arg(&target).arg(deploy("../docs")).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && !said.contains("WARN") && !said.contains("ERROR"), "{said}");
    for page in ["index.html", "OPERATIONS.html", "ERRORS.html"] {
        assert!(target.join(page).exists(), "no {page}: {said}");
    }
    std::fs::remove_dir_all(&target).unwrap();
}

#[test]
fn the_version_is_the_same_everywhere() {
    let version = run(&["--version"], &[]);
    let version = String::from_utf8(version.stdout).unwrap();
    let version = version.trim().rsplit(' ').next().unwrap().to_owned();
    for (file, line) in [
        ("helm/threadline/Chart.yaml", format!("appVersion: \"{version}\"")),
        ("kustomize/kustomization.yaml", format!("newTag: {version}")),
        ("npm/package.json", format!("\"version\": \"{version}\"")),
    ] {
        let text = std::fs::read_to_string(deploy(file)).unwrap();
        assert!(text.contains(&line), "{file} does not have {line}");
    }
}
