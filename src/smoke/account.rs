//! The account that `threadline smoke` uses.

use super::text;
use crate::cli::SmokeOptions;
use crate::rest_client::{Refusal, RestClient};
use anyhow::bail;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

/// Path of the account of the token.
const ME: &str = "/api/v1/auth/me";

/// A user of the deployment.
#[derive(Debug)]
pub(super) struct Account {
    /// The client with the user's token.
    pub(super) api: RestClient,
    /// The password, if this test has registered the account, and so deletes it.
    registered_with: Option<SecretString>,
}

/// Returns the account of the options, or registers one.
///
/// # Errors
/// When the service refuses it. The error says what to do.
pub(super) async fn open(api: &RestClient, options: &SmokeOptions) -> anyhow::Result<(Account, String)> {
    if let Some(token) = &options.token {
        let api = api.with_token(token.clone(), options.user.clone());
        // A service key without a user has no account, but it can do everything else.
        let who = match api.call(Method::GET, ME, None).await {
            Ok(me) => text(&me, "/email").to_owned(),
            Err(error) if status(&error) == Some(StatusCode::UNAUTHORIZED) => {
                return Err(error.context(
                    "the token is refused: has this installation signed it (SECRET_KEY), and has it not expired?",
                ));
            }
            Err(error) => return Err(error),
        };
        return Ok((Account { api, registered_with: None }, format!("the token is valid: {who}")));
    }
    match (&options.email, &options.password) {
        (Some(email), Some(password)) => {
            let api = api.log_in(email, password).await?;
            Ok((Account { api, registered_with: None }, format!("logged in as {email}")))
        }
        (Some(_), None) => bail!("--email needs a password: set SMOKE_PASSWORD or --password"),
        (None, Some(_)) => bail!("--password needs an account: set SMOKE_EMAIL or --email"),
        (None, None) => register(api).await,
    }
}

async fn register(api: &RestClient) -> anyhow::Result<(Account, String)> {
    let email = format!("smoke-{}@example.com", Uuid::new_v4().simple());
    let password = SecretString::from(Uuid::new_v4().to_string());
    if let Err(error) = api.register(&email, &password).await {
        let is_closed =
            status(&error).is_some_and(|status| status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS);
        return Err(match is_closed {
            true => error.context(
                "no account can be registered: give an account (SMOKE_EMAIL and SMOKE_PASSWORD) or SMOKE_TOKEN",
            ),
            false => error,
        });
    }
    let api = api.log_in(&email, &password).await?;
    Ok((Account { api, registered_with: Some(password) }, format!("registered {email}")))
}

fn status(error: &anyhow::Error) -> Option<StatusCode> {
    error.downcast_ref::<Refusal>().map(|refusal| refusal.status)
}

impl Account {
    /// Deletes the account if this test has registered it. Returns what was deleted.
    ///
    /// # Errors
    /// When the service refuses it although it can delete accounts.
    pub(super) async fn delete(&self) -> anyhow::Result<Option<&'static str>> {
        let Some(password) = &self.registered_with else { return Ok(None) };
        let body = json!({"password": password.expose_secret()});
        match self.api.call(Method::POST, "/api/v1/auth/delete-account", Some(&body)).await {
            Ok(_) => Ok(Some("the account")),
            Err(error) => match status(&error) {
                Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
                    Ok(Some("not the account, since this version cannot delete accounts"))
                }
                _ => Err(error),
            },
        }
    }
}
