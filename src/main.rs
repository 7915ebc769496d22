//! The binary: the allocator, and everything else in the library.
//!
//! An `async fn` is compiled where it is awaited, with all that it awaits. So the library starts the runtime, otherwise
//! the whole service would be compiled twice.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    threadline::program::run(std::env::args_os())
}
