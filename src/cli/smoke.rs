//! The command line of `threadline smoke`.

use crate::rest_client::base_url;
use clap::{Arg, ArgMatches, Command as Definition, value_parser};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// Steps that can be left out.
const OPTIONAL_STEPS: [&str; 2] = ["model", "tool"];

/// What `threadline smoke` tries out, and as whom.
#[derive(Debug, Clone)]
pub struct SmokeOptions {
    /// URL of the REST API.
    pub url: String,
    /// Email address of an existing account.
    pub email: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// A token or a service key, instead of an account.
    pub token: Option<SecretString>,
    /// The user for whom a service key acts.
    pub user: Option<String>,
    /// Steps that are left out.
    pub skipped: Vec<String>,
    /// Maximum time of one step.
    pub timeout: Duration,
}

/// Secrets are compared by their text: this is for tests of the command line.
impl PartialEq for SmokeOptions {
    fn eq(&self, other: &Self) -> bool {
        let text = |secret: &Option<SecretString>| secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        let plain = |options: &Self| {
            let Self { url, email, user, skipped, timeout, password: _, token: _ } = options.clone();
            (url, email, user, skipped, timeout)
        };
        plain(self) == plain(other)
            && text(&self.password) == text(&other.password)
            && text(&self.token) == text(&other.token)
    }
}

impl Eq for SmokeOptions {}

/// Adds the arguments. `option` makes one of them.
pub(super) fn definition(option: impl Fn(&'static str, &'static str, &'static str) -> Arg) -> Definition {
    Definition::new("smoke")
        .about("Try out a deployment from outside: account, stream, tool, resume, cancel, delete; exit code 0 if it works")
        .after_help(
            "Without an account or a token, an account is registered, and deleted at the end if the server can do that.\n\
             Other users of the machine can see flags: set SMOKE_EMAIL, SMOKE_PASSWORD or SMOKE_TOKEN instead.",
        )
        .arg(option("url", "URL", "URL of the REST API, such as https://chat.example").required(true).value_parser(base_url))
        .arg(option("email", "EMAIL", "Email address of an existing account [env: SMOKE_EMAIL]"))
        .arg(option("password", "PASSWORD", "Its password [env: SMOKE_PASSWORD]"))
        .arg(
            option("token", "TOKEN", "A token or a service key, instead of an account [env: SMOKE_TOKEN]")
                .conflicts_with_all(["email", "password"]),
        )
        .arg(option("user", "USER", "The user for whom the service key acts").requires("token"))
        .arg(
            option("skip", "STEP", "Leave a step out; can be repeated")
                .action(clap::ArgAction::Append)
                .value_parser(OPTIONAL_STEPS),
        )
        .arg(
            option("timeout-seconds", "N", "Maximum seconds of one step")
                .default_value("60")
                .value_parser(value_parser!(u32).range(1..=3600)),
        )
}

/// Reads the arguments; what is missing comes from the environment.
pub(super) fn options(matches: &ArgMatches) -> SmokeOptions {
    read(matches, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn read(matches: &ArgMatches, environment: &dyn Fn(&str) -> Option<String>) -> SmokeOptions {
    let flag = |name: &str| matches.get_one::<String>(name).cloned();
    // A flag is a decision for one kind of login: the environment must not add the other kind.
    let (has_token, has_account) = (flag("token").is_some(), flag("email").is_some());
    let other = |name: &str, is_decided: bool| (!is_decided).then(|| environment(name)).flatten();
    SmokeOptions {
        url: flag("url").unwrap_or_default(),
        email: flag("email").or_else(|| other("SMOKE_EMAIL", has_token)),
        password: flag("password").or_else(|| other("SMOKE_PASSWORD", has_token)).map(SecretString::from),
        token: flag("token").or_else(|| other("SMOKE_TOKEN", has_account)).map(SecretString::from),
        user: flag("user"),
        skipped: matches.get_many::<String>("skip").into_iter().flatten().cloned().collect(),
        timeout: Duration::from_secs(matches.get_one::<u32>("timeout-seconds").copied().unwrap_or(60).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str], environment: &[(&str, &str)]) -> SmokeOptions {
        let option = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name).long(name).value_name(value).help(help)
        };
        let arguments = [&["smoke", "--url", "http://x"], arguments].concat();
        let matches = definition(option).try_get_matches_from(arguments).unwrap();
        let value = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        read(&matches, &value)
    }

    #[test]
    fn flags_come_before_the_environment_and_secrets_are_not_shown() {
        let environment = [("SMOKE_EMAIL", "env@x.example"), ("SMOKE_PASSWORD", "hunter2!"), ("SMOKE_TOKEN", "tl_env")];
        let options = parsed(&["--email", "flag@x.example"], &environment);
        assert_eq!(options.email.as_deref(), Some("flag@x.example"));
        assert_eq!(options.password.as_ref().unwrap().expose_secret(), "hunter2!");
        assert!(options.token.is_none(), "an account was named");
        let options = parsed(&["--token", "tl_flag"], &environment);
        assert_eq!(options.token.as_ref().unwrap().expose_secret(), "tl_flag");
        assert!(options.email.is_none() && options.password.is_none(), "a token was named");
        let shown = format!("{options:?}{:?}", parsed(&[], &environment));
        assert!(!shown.contains("tl_flag") && !shown.contains("hunter2!"), "{shown}");
    }
}
