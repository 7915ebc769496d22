//! `auth.*`: accounts and tokens.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Id of the account; the `sub` of its tokens.
    pub id: Uuid,
    /// Email address, lower-cased.
    pub email: String,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

/// Email and password.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Email address, at most 254 characters; upper and lower case are the same.
    pub email: String,
    /// Password, 8 to 128 characters.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// A fresh token and whose it is.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Login {
    /// The account.
    pub user: User,
    /// A JWT for `Authorization: Bearer`.
    pub token: String,
    /// When the token stops working.
    pub expires_at: DateTime<Utc>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user.id).finish_non_exhaustive()
    }
}

/// No params.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

crate::methods! {
    /// Register an account.
    ///
    /// Passwords have 8 to 128 characters and are kept as argon2id hashes. An email that is taken answers
    /// `EMAIL_TAKEN`.
    AuthRegister = "auth.register" (Public): Credentials => User;
    /// Log in and get a token.
    ///
    /// A wrong password and an unknown email answer the same, after the same time.
    AuthLogin = "auth.login" (Public): Credentials => Login;
    /// The account the token belongs to.
    AuthMe = "auth.me" (User): Nothing => User;
}
