//! `auth.*`: accounts and tokens.

use crate::ids::UserId;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Id of the account; the claim `sub` of its tokens.
    pub id: UserId,
    /// Email address, normalised. Absent for a user of an identity provider whose tokens have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Time of registration.
    pub created_at: DateTime<Utc>,
}

/// The shape of an email address: no white space and no control characters, one `@`, and a dot after it.
const EMAIL: &str = concat!(
    r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s.\u0000-\u001f\u007f-\u009f]+",
    r"(\.[^@\s.\u0000-\u001f\u007f-\u009f]+)+$"
);

/// Email and password.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Email address, at most 254 characters. Case does not matter.
    #[schemars(
        length(min = 5, max = 254),
        regex(pattern = EMAIL)
    )]
    pub email: String,
    /// Password, 8 to 128 characters.
    #[schemars(length(min = 8, max = 128), extend("format" = "password"))]
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// A new account.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Email address, at most 254 characters. Case does not matter.
    #[schemars(length(min = 5, max = 254), regex(pattern = EMAIL))]
    pub email: String,
    /// Password, 8 to 128 characters.
    #[schemars(length(min = 8, max = 128), extend("format" = "password"))]
    pub password: String,
    /// Code of an invitation. Without invitations (`REGISTRATION=open`) it is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "password"))]
    pub invitation: Option<String>,
}

impl std::fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewAccount").finish_non_exhaustive()
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

/// The password of an account, and its successor.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password until now.
    #[schemars(extend("format" = "password"))]
    pub current_password: String,
    /// The password from now on, 8 to 128 characters.
    #[schemars(length(min = 8, max = 128), extend("format" = "password"))]
    pub new_password: String,
}

impl std::fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordChange").finish_non_exhaustive()
    }
}

/// The end of all tokens of an account.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoggedOut {
    /// Tokens from before this time are refused.
    pub at: DateTime<Utc>,
}

/// A client token to create.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewClientToken {
    /// The user, for whom a service key may act: an id, or `ISSUER|SUBJECT`. A user gets a token for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The only agent of new threads. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Seconds until it expires, at most 3600.
    #[serde(default = "default_client_token_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub expires_in: u32,
    /// The methods that it may call, by name (`threads.create`) or namespace (`threads.*`). Default: what a chat page
    /// needs (`threads.*`, `items.*`, `runs.*`, `attachments.*`, `input.*`, `auth.me`, `auth.cancel_client_token`), as
    /// far as the caller may call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
}

fn default_client_token_seconds() -> u32 {
    600
}

/// A client token: a short token with a part of its user's rights, for a page.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct ClientToken {
    /// A JWT, to send as `Authorization: Bearer <token>`.
    pub token: String,
    /// Its user.
    pub user_id: UserId,
    /// Time at which it expires.
    pub expires_at: DateTime<Utc>,
    /// The methods that it may call.
    pub scopes: Vec<String>,
}

impl std::fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientToken").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

/// A client token to cancel.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientTokenToCancel {
    /// The client token. Default: the token of this call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
}

impl std::fmt::Debug for ClientTokenToCancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTokenToCancel").finish_non_exhaustive()
    }
}

/// A place in an archive.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportPosition {
    /// The `next` of the piece before. Default: the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A piece of an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExportPiece {
    /// Whole lines of JSON. Each object has a `type`; the last line of the archive has the type `end`.
    pub lines: String,
    /// Where the next piece begins; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An account to erase.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountDeletion {
    /// The password. Required if the account has one, unless a service acts for its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "password"))]
    pub password: Option<String>,
}

impl std::fmt::Debug for AccountDeletion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountDeletion").finish_non_exhaustive()
    }
}

/// The erasure of an account has begun.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErasureBegun {
    /// Id of the account.
    pub user_id: UserId,
    /// Time of the request.
    pub requested_at: DateTime<Utc>,
}

/// No params.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

crate::methods! {
    /// Register an account.
    ///
    /// Passwords have 8 to 128 characters and are stored as argon2id hashes. An email address is stored in lower case
    /// and in Unicode's normalisation form KC. Fails with `EMAIL_TAKEN` if an account with this email exists, with
    /// `INVITATION_REQUIRED` if the server wants an invitation (`REGISTRATION=invite`), and with `REGISTRATION_CLOSED`
    /// if registration is closed. Registrations are limited per address and hour.
    AuthRegister = "auth.register" (Public): NewAccount => User;
    /// Log in and get a token.
    ///
    /// Fails with `INVALID_CREDENTIALS`, after the same time for a wrong password and for an unknown email.
    AuthLogin = "auth.login" (Public): Credentials => Login;
    /// Get the account of the token.
    AuthMe = "auth.me" (User): Nothing => User;
    /// Change the password, and get a new token.
    ///
    /// All other tokens of the account are refused from then on, and its open streams end within a second. Fails with
    /// `INVALID_CREDENTIALS` if the current password is wrong.
    AuthChangePassword = "auth.change_password" (User): PasswordChange => Login;
    /// Log out everywhere: end all tokens of the account, also the one of this call.
    ///
    /// Open streams end within a second, on every replica.
    AuthLogoutEverywhere = "auth.logout_everywhere" (User): Nothing => LoggedOut;
    /// Create a client token: a short token with a part of its user's rights.
    ///
    /// A back end calls this with its service key, and gives the token to a page. Scopes that are sent must be among
    /// those of the caller. The token ends when it expires, when it is cancelled, when its key is revoked, and when its
    /// user logs out everywhere. A client token cannot create another.
    AuthCreateClientToken = "auth.create_client_token" (User): NewClientToken => ClientToken;
    /// Cancel a client token of the user before it expires.
    ///
    /// It is refused from then on, and its open streams end within a second.
    AuthCancelClientToken = "auth.cancel_client_token" (User): ClientTokenToCancel => LoggedOut;
    /// Get everything that is stored about the user, as JSON Lines.
    ///
    /// Each call returns a piece of whole lines and where the next one begins. The archive has the account, usage,
    /// tasks, conversations with all items, runs and ratings, attachments with their bytes, and the entries of the
    /// audit log about the user.
    AuthExport = "auth.export" (User): ExportPosition => ExportPiece;
    /// Erase the account and everything that belongs to it.
    ///
    /// All tokens are refused at once. Conversations, files, tasks and the account are deleted within seconds to
    /// minutes; a crash does not stop that. Only sums of usage per day remain, which belong to no user. Fails with
    /// `INVALID_CREDENTIALS` if the account has a password and `password` is another.
    AuthDeleteAccount = "auth.delete_account" (User): AccountDeletion => ErasureBegun;
}
