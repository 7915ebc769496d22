//! `threadline smoke`: tests a deployment from outside, as a client does, and reports what is broken.
//!
//! It uses only the REST API, through everything in front of it: proxies, certificates, limits. It deletes everything
//! that it creates, also after a failure and after Ctrl-C.

mod account;
mod conversation;
mod events;
mod report;

use self::account::Account;
use self::conversation::Created;
use self::report::Report;
use crate::cli::SmokeOptions;
use crate::rest_client::{OnLimit, RestClient};
use anyhow::{anyhow, bail};
use serde_json::Value;
use std::time::Duration;

/// Tests the deployment at a URL, and prints a line for each step. Returns whether all worked.
///
/// # Errors
/// When the URL is not valid, or stdout cannot be written to.
pub async fn smoke(options: &SmokeOptions) -> anyhow::Result<bool> {
    let api = RestClient::new(&options.url, OnLimit::WaitAndRetry)?;
    let mut report = Report::new();
    let limit = options.timeout;

    let is_there = report.step("reach", limit, reach(&api)).await?.is_some();
    let is_usable = is_there && report.step("database", limit, database(&api)).await?.is_some();
    if !is_usable {
        return report.end();
    }
    if is_skipped(options, "model") {
        report.skip("model", "--skip model")?;
    } else {
        report.step("model", limit, model(&api)).await?;
    }
    let Some(account) = report.step("account", limit, account::open(&api, options)).await? else {
        return report.end();
    };
    let mut created = Created::default();
    let was_interrupted = tokio::select! {
        done = Box::pin(conversation::talk(&account.api, options, &mut report, &mut created)) => {
            done?;
            false
        }
        _ = tokio::signal::ctrl_c() => true,
    };
    // Each of the three deletions has the time of a step.
    report.step("delete", limit.saturating_mul(4), clean_up(&account, &created, limit)).await?;
    if was_interrupted {
        bail!("interrupted");
    }
    report.end()
}

fn is_skipped(options: &SmokeOptions, step: &str) -> bool {
    options.skipped.iter().any(|skipped| skipped == step)
}

async fn reach(api: &RestClient) -> anyhow::Result<((), String)> {
    let (is_healthy, body) = api.health("/health").await?;
    if body.pointer("/error/code").is_some() {
        bail!("/health says {body}: the URL must be that of the REST API (REST_LISTEN), without /chat or /rpc");
    }
    if !is_healthy {
        bail!("/health says {body}");
    }
    Ok(((), format!("threadline {}", text(&body, "/version"))))
}

async fn database(api: &RestClient) -> anyhow::Result<((), String)> {
    let (is_healthy, body) = api.health("/health/db").await?;
    let kind = text(&body, "/components/db/kind");
    match is_healthy {
        true => Ok(((), format!("{kind}, takes writes"))),
        false if is_elsewhere(&body) => Ok(((), ELSEWHERE.to_owned())),
        false => bail!(
            "/health/db says {body}: the database does not answer, or takes no writes (DATABASE_URL); or the gateway does \
             not reach its core (CORE_URL)"
        ),
    }
}

async fn model(api: &RestClient) -> anyhow::Result<((), String)> {
    let (is_healthy, body) = api.health("/health/openrouter").await?;
    match (is_healthy, text(&body, "/components/openrouter/kind")) {
        (true, "demo") => Ok(((), "the built-in demo model: set OPENROUTER_API_KEY or OPENROUTER_BASE_URL".to_owned())),
        (true, kind) => Ok(((), kind.to_owned())),
        (false, _) if is_elsewhere(&body) => Ok(((), ELSEWHERE.to_owned())),
        (false, _) => bail!(
            "/health/openrouter says {body}: the model's server cannot be reached, or refuses the key or the model \
             (OPENROUTER_BASE_URL, OPENROUTER_API_KEY, OPENROUTER_MODEL); `threadline doctor --model` says more"
        ),
    }
}

/// The words for a deployment whose operators have a listener of their own.
const ELSEWHERE: &str = "not asked: its health is on OPS_LISTEN only; the steps below show whether it works";

/// Returns whether a health check is not served at this URL.
fn is_elsewhere(body: &Value) -> bool {
    text(body, "/error/code") == "NOT_FOUND"
}

/// Deletes everything that was created. What cannot be deleted stops no other deletion.
///
/// # Errors
/// The first of the errors.
async fn clean_up(account: &Account, created: &Created, limit: Duration) -> anyhow::Result<((), String)> {
    let api = &account.api;
    let outcomes = [
        ("the task", within(limit, created.delete_task(api)).await),
        ("the session", within(limit, created.delete_session(api)).await),
        ("the account", within(limit, account.delete()).await),
    ];
    let mut deleted = Vec::new();
    let mut first_error = None;
    for (name, outcome) in outcomes {
        match outcome {
            Ok(words) => deleted.extend(words),
            Err(error) => {
                first_error.get_or_insert(error.context(format!("{name} could not be deleted")));
            }
        }
    }
    match first_error {
        None => Ok(((), deleted.join(", "))),
        Some(error) => Err(error),
    }
}

async fn within<T>(limit: Duration, deletion: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(limit, deletion)
        .await
        .unwrap_or_else(|_| Err(anyhow!("not done within {} s (--timeout-seconds)", limit.as_secs())))
}

/// Returns a text inside of a body; empty when it is missing.
fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
