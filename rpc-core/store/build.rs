//! Builds again when a migration changes: `embed_migrations!` reads directories that cargo does not watch by itself.

#![allow(clippy::print_stdout, reason = "how a build script talks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
