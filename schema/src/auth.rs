//! `auth.*`: accounts and tokens.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Id of the account; the claim `sub` of its tokens.
    pub id: Uuid,
    /// Email address in lower case.
    pub email: String,
    /// Time of registration.
    pub created_at: DateTime<Utc>,
}

/// Email and password.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Email address, at most 254 characters. Case does not matter.
    #[schemars(
        length(min = 5, max = 254),
        regex(
            pattern = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s.\u0000-\u001f\u007f-\u009f]+(\.[^@\s.\u0000-\u001f\u007f-\u009f]+)+$"
        )
    )]
    pub email: String,
    /// Password, 8 to 128 characters.
    #[schemars(length(min = 8, max = 128))]
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// A new token and its account.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Login {
    /// The account.
    pub user: User,
    /// A JWT, to send as `Authorization: Bearer <token>`.
    pub token: String,
    /// Time at which the token expires.
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
    /// Passwords have 8 to 128 characters and are stored as argon2id hashes. Fails with `EMAIL_TAKEN` if an account
    /// with this email exists.
    AuthRegister = "auth.register" (Public): Credentials => User;
    /// Log in and get a token.
    ///
    /// Fails with `INVALID_CREDENTIALS`, after the same time for a wrong password and for an unknown email.
    AuthLogin = "auth.login" (Public): Credentials => Login;
    /// Get the account of the token.
    AuthMe = "auth.me" (User): Nothing => User;
}
