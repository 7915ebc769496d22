//! The command line of `threadline bench`.

use crate::rest_client::base_url;
use clap::{Arg, ArgMatches, Command as Definition, value_parser};

/// What `threadline bench` is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchOptions {
    /// Address of the REST API.
    pub url: String,
    /// Token of an existing user; `None` registers one.
    pub token: Option<String>,
    /// Answers at the same time.
    pub streams: u32,
    /// Connections that make other calls at the same time.
    pub connections: u32,
    /// Length of each of the two parts, in seconds.
    pub seconds: u32,
    /// The message that is answered.
    pub message: String,
}

/// Adds the arguments. `option` makes one of them.
pub(super) fn definition(option: impl Fn(&'static str, &'static str, &'static str) -> Arg) -> Definition {
    let number = |name, help, default: &'static str| {
        option(name, "N", help).default_value(default).value_parser(value_parser!(u32).range(1..=100_000))
    };
    Definition::new("bench")
        .about("Measure an installation over its REST API; exit code 0 if it meets the targets")
        .arg(
            option("url", "URL", "Address of the REST API")
                .default_value("http://127.0.0.1:8000")
                .value_parser(base_url),
        )
        .arg(option("token", "TOKEN", "Token of the user who asks [env: BENCH_TOKEN] [default: that of a new user]"))
        .arg(number("streams", "Answers at the same time", "20"))
        .arg(number("connections", "Connections that make other calls at the same time", "8"))
        .arg(number("seconds", "Length of each of the two parts, in seconds", "10"))
        .arg(option("message", "TEXT", "Message that is answered").default_value("Tell me about the sea."))
}

/// Reads the arguments.
pub(super) fn options(matches: &ArgMatches) -> BenchOptions {
    let text = |name| matches.get_one::<String>(name).cloned();
    let number = |name| matches.get_one(name).copied().unwrap_or(1);
    BenchOptions {
        url: text("url").unwrap_or_default(),
        token: text("token"),
        streams: number("streams"),
        connections: number("connections"),
        seconds: number("seconds"),
        message: text("message").unwrap_or_default(),
    }
}
