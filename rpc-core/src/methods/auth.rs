//! `auth.*`

use crate::accounts::{AccountExport, Accounts, Erasure, check_length};
use crate::agent::AgentRegistry;
use crate::auth::grant::{Grant, MethodScope};
use crate::auth::login_guard::LoginGuard;
use crate::auth::password;
use crate::auth::standings::Standings;
use crate::auth::token::{Identity, Tokens};
use crate::config::Registration;
use crate::error::Error;
use crate::input::roles_of;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use crate::store::rows::UserRow;
use crate::store::{Clock, Store};
use crate::wire;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ErrorCode;
use threadline_schema::auth::{
    AccountDeletion, AuthCancelClientToken, AuthChangePassword, AuthCreateClientToken, AuthDeleteAccount, AuthExport,
    AuthLogin, AuthLogoutEverywhere, AuthMe, AuthRegister, ClientToken, ClientTokenToCancel, Credentials, ErasureBegun,
    ExportPiece, ExportPosition, LoggedOut, Login, NewAccount, NewClientToken, Nothing, PasswordChange, User,
};

/// Longest lifetime of a client token.
const MAX_CLIENT_TOKEN_SECONDS: u32 = 3600;

/// What a chat page calls: the scopes of a client token that is created without any.
const PAGE_SCOPES: [&str; 7] =
    ["threads.*", "items.*", "runs.*", "attachments.*", "input.*", "auth.me", "auth.cancel_client_token"];

/// Handlers of `auth.*`.
pub(crate) struct AuthMethods {
    pub(crate) store: Store,
    pub(crate) accounts: Accounts,
    pub(crate) logins: LoginGuard,
    pub(crate) export: AccountExport,
    pub(crate) erasure: Arc<Erasure>,
    pub(crate) agents: Arc<AgentRegistry>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) standings: Arc<Standings>,
    pub(crate) registration: Registration,
}

impl AuthMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(AuthRegister, Self::register_account)
            .command(AuthLogin, Self::login)
            .command(AuthMe, Self::me)
            .command(AuthChangePassword, Self::change_password)
            .command(AuthLogoutEverywhere, Self::logout_everywhere)
            .command(AuthCreateClientToken, Self::create_client_token)
            .command(AuthCancelClientToken, Self::cancel_client_token)
            .command(AuthExport, Self::export)
            .command(AuthDeleteAccount, Self::delete_account);
    }

    async fn register_account(self: Arc<Self>, _: CallContext, params: NewAccount) -> Result<User, Error> {
        let NewAccount { email, password, invitation } = params;
        let row = match self.registration {
            Registration::Closed => {
                let message = "Registration is closed. Ask the operator of the service for an account.";
                return Err(Error::new(ErrorCode::RegistrationClosed, message));
            }
            Registration::Open => self.accounts.create(&email, password).await?,
            Registration::Invite => {
                let code = invitation.ok_or_else(|| {
                    let message = "An invitation is needed. Send its code as `invitation`.";
                    Error::new(ErrorCode::InvitationRequired, message)
                })?;
                self.accounts.create_invited(&email, password, &code).await?
            }
        };
        Ok(wire::user(&row))
    }

    async fn login(self: Arc<Self>, call: CallContext, params: Credentials) -> Result<Login, Error> {
        let wrong = || Error::new(ErrorCode::InvalidCredentials, "Email or password is wrong.");
        // No account has a longer one; hashing it would only cost.
        if params.password.chars().count() > *password::LENGTH.end() {
            return Err(wrong());
        }
        let attempt = self.logins.begin(&params.email, call.ip()).await?;
        let row = self.accounts.find_by_email(&params.email).await?;
        let hash = row.as_ref().filter(|row| row.has_password()).map(|row| row.password_hash.clone());
        let right = self.accounts.passwords().verify(params.password, hash).await.map_err(Error::internal)?;
        let Some(row) = row.filter(|_| right) else {
            attempt.fail();
            return Err(wrong());
        };
        attempt.succeed().await?;
        if row.disabled_at.is_some() {
            let message = "This account is disabled. Ask the operator of the service.";
            return Err(Error::new(ErrorCode::AccountDisabled, message));
        }
        self.logged_in(&row)
    }

    async fn me(self: Arc<Self>, call: CallContext, _: Nothing) -> Result<User, Error> {
        let row = self.store.user_by_id(call.user_id()?).await?.ok_or_else(Error::unauthorized)?;
        let email = match row.own_email() {
            Some(email) => Some(email.to_owned()),
            None => self.store.foreign_identity_of(row.id).await?.and_then(|identity| identity.email),
        };
        Ok(User { email, ..wire::user(&row) })
    }

    async fn change_password(self: Arc<Self>, call: CallContext, params: PasswordChange) -> Result<Login, Error> {
        let user_id = call.user_id()?;
        let PasswordChange { current_password, new_password } = params;
        // Before the attempt, which counts as a failure until it succeeds.
        check_length(&new_password)?;
        let by = call.identity()?.issued;
        let changed = Box::pin(self.accounts.change_password(user_id, current_password, new_password, by));
        let row = self.attempt_with_password(&call, changed).await?;
        self.standings.announce(user_id.into()).await;
        self.logged_in(&row)
    }

    async fn logout_everywhere(self: Arc<Self>, call: CallContext, _: Nothing) -> Result<LoggedOut, Error> {
        let Identity { user_id, issued, .. } = call.identity()?;
        let at = self.accounts.end_tokens(user_id, Some(issued)).await?;
        self.standings.announce(user_id.into()).await;
        Ok(LoggedOut { at: at.utc() })
    }

    async fn create_client_token(
        self: Arc<Self>,
        call: CallContext,
        params: NewClientToken,
    ) -> Result<ClientToken, Error> {
        let identity = call.identity()?;
        // The pipeline has read `user`, and the identity is that of this user.
        let NewClientToken { user: _, agent, expires_in, scopes } = params;
        if !(1..=MAX_CLIENT_TOKEN_SECONDS).contains(&expires_in) {
            return Err(Error::invalid(format!("`expires_in` is 1 to {MAX_CLIENT_TOKEN_SECONDS} seconds.")));
        }
        let grant = identity.grant.as_deref();
        if grant.is_some_and(|grant| grant.token_id.is_some()) {
            return Err(Error::new(ErrorCode::Forbidden, "A client token cannot create another."));
        }
        let methods = methods_of_client_token(grant.map(|grant| &grant.methods), scopes)?;
        if let Some(agent) = &agent {
            let roles = roles_of(&self.store, &self.agents, identity.user_id).await?;
            self.agents.current().thread_metadata(Some(agent), &roles)?;
        }
        let id = self.clock.new_id();
        let key_id = identity.service_key().map(|key| key.id);
        let grant = Grant { key_id, service_key: None, token_id: Some(id), methods, agent: agent.map(Into::into) };
        let standing = self.standings.get(identity.user_id).await?.ok_or_else(Error::unauthorized)?;
        let lifetime = Duration::from_secs(u64::from(expires_in)).min(identity.remaining());
        let issued = self.tokens.issue_client(identity.user_id, standing.generation(), lifetime, &grant, id);
        let (token, expires_at) = issued.map_err(Error::internal)?;
        let scopes = grant.methods.patterns().to_vec();
        Ok(ClientToken { token, user_id: identity.user_id, expires_at, scopes })
    }

    async fn cancel_client_token(
        self: Arc<Self>,
        call: CallContext,
        params: ClientTokenToCancel,
    ) -> Result<LoggedOut, Error> {
        let caller = call.identity()?;
        let identity = match params.client_token {
            None => caller,
            Some(token) => {
                let identity = self.tokens.verify(&token).filter(|identity| identity.user_id == caller.user_id);
                identity.ok_or_else(|| Error::invalid("`client_token` is not a valid token of this user."))?
            }
        };
        let Some(id) = identity.grant.as_ref().and_then(|grant| grant.token_id) else {
            return Err(Error::invalid(
                "Only a client token can be cancelled. `auth.logout_everywhere` ends all tokens.",
            ));
        };
        let expires_at = DateTime::from_timestamp(identity.expires_at, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let at = self.accounts.cancel_client_token(id, expires_at.into()).await?;
        self.standings.announce(id.into()).await;
        Ok(LoggedOut { at: at.utc() })
    }

    async fn export(self: Arc<Self>, call: CallContext, params: ExportPosition) -> Result<ExportPiece, Error> {
        self.export.piece(call.user_id()?, params.cursor.as_deref()).await
    }

    async fn delete_account(
        self: Arc<Self>,
        call: CallContext,
        params: AccountDeletion,
    ) -> Result<ErasureBegun, Error> {
        let identity = call.identity()?;
        let user_id = identity.user_id;
        if identity.service_key().is_none() {
            let checked = self.accounts.check_password(user_id, params.password);
            Box::pin(self.attempt_with_password(&call, checked)).await?;
        }
        let at = self.accounts.request_erasure(user_id, Some(identity.issued)).await?;
        self.standings.announce(user_id.into()).await;
        self.erasure.wake();
        Ok(ErasureBegun { user_id, requested_at: at.utc() })
    }

    /// Makes an attempt that needs the password of the caller's account. Failures count like failed logins: a token
    /// that was stolen must not be a way to guess the password.
    async fn attempt_with_password<T>(
        &self,
        call: &CallContext,
        attempt: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let row = self.store.user_by_id(call.user_id()?).await?.ok_or_else(Error::unauthorized)?;
        let Some(email) = row.own_email() else { return attempt.await };
        let counted = self.logins.begin(email, call.ip()).await?;
        match attempt.await {
            Ok(value) => {
                counted.succeed().await?;
                Ok(value)
            }
            Err(error) => {
                if error.public().code == ErrorCode::InvalidCredentials {
                    counted.fail();
                }
                Err(error)
            }
        }
    }

    fn logged_in(&self, row: &UserRow) -> Result<Login, Error> {
        let issued = self.tokens.issue(row.id, row.token_generation, None);
        let (token, expires_at) = issued.map_err(Error::internal)?;
        Ok(Login { user: wire::user(row), token, expires_at })
    }
}

/// Returns the methods that a new client token may call.
///
/// # Errors
/// When a scope that was sent names no method, or more than the key has; when the key has nothing that a page needs.
fn methods_of_client_token(of_key: Option<&MethodScope>, scopes: Option<Vec<String>>) -> Result<MethodScope, Error> {
    let Some(scopes) = scopes else {
        let page = MethodScope::new(PAGE_SCOPES.map(str::to_owned).to_vec());
        let methods = of_key.map_or_else(|| page.clone(), |of_key| of_key.common_with(&page));
        if methods.patterns().is_empty() {
            let message = "The scope of the key has no method that a chat page needs. Send `scopes`.";
            return Err(Error::new(ErrorCode::Forbidden, message));
        }
        return Ok(methods);
    };
    let methods = MethodScope::new(scopes);
    methods.check().map_err(|problem| Error::invalid(format!("`scopes`: {problem}")))?;
    if of_key.is_some_and(|of_key| !of_key.includes(&methods)) {
        let message = "`scopes` has methods that the scope of the key does not have.";
        return Err(Error::new(ErrorCode::Forbidden, message));
    }
    Ok(methods)
}
