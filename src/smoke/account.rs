//! The account as which `threadline smoke` speaks.

use super::api::{Api, Refusal};
use super::text;
use crate::cli::SmokeOptions;
use anyhow::{Context, bail};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

/// Path of the account of the token.
const ME: &str = "/api/v1/auth/me";

/// A user of the deployment.
#[derive(Debug)]
pub(super) struct Account {
    /// The API, with the user's token.
    pub(super) api: Api,
    /// The password, if the account was registered here and so is to be deleted.
    made_with: Option<SecretString>,
}

/// Uses the token or the account of the options, or registers an account.
///
/// # Errors
/// When the service refuses it, with what to do.
pub(super) async fn open(api: &Api, options: &SmokeOptions) -> anyhow::Result<(Account, String)> {
    if let Some(token) = &options.token {
        let api = api.logged_in(token.clone(), options.user.clone());
        // A service key without a user has no account, but it can do everything else.
        let who = match api.call(Method::GET, ME, None).await {
            Ok(me) => text(&me, "/email").to_owned(),
            Err(error) if status(&error) == Some(StatusCode::UNAUTHORIZED) => {
                return Err(
                    error.context("the token is refused: is it of this installation (SECRET_KEY), and not expired?")
                );
            }
            Err(error) => return Err(error),
        };
        return Ok((Account { api, made_with: None }, format!("the token is valid: {who}")));
    }
    match (&options.email, &options.password) {
        (Some(email), Some(password)) => {
            let api = log_in(api, email, password).await?;
            Ok((Account { api, made_with: None }, format!("logged in as {email}")))
        }
        (Some(_), None) => bail!("--email needs a password: set SMOKE_PASSWORD or --password"),
        (None, Some(_)) => bail!("--password needs an account: set SMOKE_EMAIL or --email"),
        (None, None) => register(api).await,
    }
}

async fn register(api: &Api) -> anyhow::Result<(Account, String)> {
    let email = format!("smoke-{}@example.com", Uuid::new_v4().simple());
    let password = SecretString::from(Uuid::new_v4().to_string());
    let body = json!({"email": email, "password": password.expose_secret()});
    if let Err(error) = api.call(Method::POST, "/api/v1/auth/register", Some(&body)).await {
        let is_closed =
            status(&error).is_some_and(|status| status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS);
        return Err(match is_closed {
            true => error.context(
                "no account can be registered: give an account (SMOKE_EMAIL and SMOKE_PASSWORD) or SMOKE_TOKEN",
            ),
            false => error,
        });
    }
    let api = log_in(api, &email, &password).await?;
    Ok((Account { api, made_with: Some(password) }, format!("registered {email}")))
}

async fn log_in(api: &Api, email: &str, password: &SecretString) -> anyhow::Result<Api> {
    let body = json!({"email": email, "password": password.expose_secret()});
    let reply: Value = api.call(Method::POST, "/api/v1/auth/login", Some(&body)).await?;
    let token = reply.get("token").and_then(Value::as_str).context("the login returned no token")?;
    Ok(api.logged_in(token.into(), None))
}

fn status(error: &anyhow::Error) -> Option<StatusCode> {
    error.downcast_ref::<Refusal>().map(|refusal| refusal.status)
}

impl Account {
    /// Deletes the account if it was registered here. Returns what is to be said about it.
    ///
    /// # Errors
    /// When the service refuses it although it can delete accounts.
    pub(super) async fn delete(&self) -> anyhow::Result<&'static str> {
        let Some(password) = &self.made_with else { return Ok("") };
        let body = json!({"password": password.expose_secret()});
        match self.api.call(Method::POST, "/api/v1/auth/delete-account", Some(&body)).await {
            Ok(_) => Ok(", and the account"),
            Err(error) => match status(&error) {
                Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
                    Ok("; the account stays, since this version cannot delete accounts")
                }
                _ => Err(error.context("the account could not be deleted")),
            },
        }
    }
}
