//! The hand-written documents: links and file names in them lead somewhere, and examples work.

mod examples;

use std::path::{Path, PathBuf};

/// Folders whose files the documents name from the root of the repository.
const ROOTS: [&str; 12] = [
    ".ci/",
    ".github/",
    "benches/",
    "deploy/",
    "docs/",
    "examples/",
    "migrations/",
    "rest-gateway/",
    "rpc-core/",
    "schema/",
    "src/",
    "tests/",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// All Markdown files outside of generated and third-party folders.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "deploy", "docs", "docs/adr", "docs/guides", "migrations"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// Paths in backticks that begin with one of the roots. `NAME`, `*` and `{a,b}` stand for several files: what is before
/// them is checked.
fn named_paths(text: &str) -> Vec<String> {
    let code = text.split('`').skip(1).step_by(2);
    let paths = code.filter(|code| ROOTS.iter().any(|root| code.starts_with(root)) && !code.contains(' '));
    let fixed = paths.map(|path| {
        let parts = path.split('/').take_while(|part| {
            !part.contains(['*', '{', '<']) && !part.chars().all(|c| c.is_ascii_uppercase() || "_-.rs".contains(c))
        });
        parts.collect::<Vec<_>>().join("/")
    });
    fixed.collect()
}

/// Targets of Markdown links, without those to other hosts.
fn link_targets(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).map(ToOwned::to_owned).collect()
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || "- _".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn files_and_links_in_documents_exist() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let name = document.strip_prefix(root()).unwrap().display().to_string();
        for path in named_paths(&text) {
            if !root().join(&path).exists() {
                wrong.push(format!("{name}: there is no {path}"));
            }
        }
        for target in link_targets(&text) {
            let (file, heading) =
                target.split_once('#').map_or((&*target, None), |(file, heading)| (file, Some(heading)));
            let path = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            let Ok(linked) = std::fs::read_to_string(&path)
                .or_else(|error| if path.is_dir() { Ok(String::new()) } else { Err(error) })
            else {
                wrong.push(format!("{name}: the link to {target} leads nowhere"));
                continue;
            };
            let is_heading = |heading: &str| {
                linked
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| anchor(line.trim_start_matches('#')) == heading)
            };
            if heading.is_some_and(|heading| !is_heading(heading)) {
                wrong.push(format!("{name}: {target} names no heading"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tests of this binary, by their paths: those of modules that run in several variants have the variant at the end.
fn tests_of_this_binary() -> Vec<String> {
    let listed = std::process::Command::new(std::env::current_exe().unwrap()).args(["--list"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().filter_map(|line| line.strip_suffix(": test")).map(ToOwned::to_owned).collect()
}

#[test]
fn the_tests_that_the_security_tables_name_exist() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let tests = tests_of_this_binary();
    let mut lines = 0;
    for line in text.lines().skip_while(|line| !line.starts_with("## OWASP API")) {
        if line.starts_with("## Known gaps") {
            break;
        }
        let cells: Vec<_> = line.split(" | ").collect();
        let [name, _, named] = cells[..] else { continue };
        let named: Vec<_> = named.split('`').skip(1).step_by(2).collect();
        if name.contains("---") || name.ends_with("risk") || name.ends_with("section") {
            continue;
        }
        assert!(!named.is_empty(), "{name} names no test");
        lines += 1;
        for named in named {
            let found = tests.iter().any(|test| {
                test == named
                    || test.strip_prefix(named).is_some_and(|rest| named.ends_with("::") || rest.starts_with("::"))
            });
            assert!(found, "{name} names {named}, which is not a test");
        }
    }
    assert!(lines > 30, "{lines}");
}

#[test]
fn the_book_has_every_page() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed = link_targets(&summary);
    for document in documents() {
        let Ok(page) = document.strip_prefix(root().join("docs")) else { continue };
        // The book has nothing of the repository but its pages.
        for target in link_targets(&std::fs::read_to_string(&document).unwrap()) {
            let up = target.split('/').take_while(|part| *part == "..").count();
            assert!(up < page.components().count(), "{}: the link to {target} leaves the book", page.display());
        }
        let page = page.display().to_string();
        assert!(page == "SUMMARY.md" || listed.contains(&page), "docs/SUMMARY.md does not name {page}");
    }
    assert!(listed.len() > 20, "{listed:?}");
}
