//! `auth.*`

use crate::auth::login_guard::LoginGuard;
use crate::auth::password;
use crate::auth::password::Passwords;
use crate::auth::token::Tokens;
use crate::error::Error;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use crate::store::{Clock, Store};
use crate::wire;
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::auth::{AuthLogin, AuthMe, AuthRegister, Credentials, Login, Nothing, User};

/// Characters of an email address, at most (RFC 5321).
const EMAIL_CHARS: usize = 254;

/// Handlers of `auth.*`.
pub(crate) struct AuthMethods {
    pub(crate) store: Store,
    pub(crate) passwords: Passwords,
    pub(crate) logins: LoginGuard,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Arc<Clock>,
}

impl AuthMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(AuthRegister, Self::register_account)
            .command(AuthLogin, Self::login)
            .command(AuthMe, Self::me);
    }

    async fn register_account(self: Arc<Self>, _: CallContext, params: Credentials) -> Result<User, Error> {
        let email = email(&params.email)?;
        let chars = params.password.chars().count();
        if !password::LENGTH.contains(&chars) {
            let (min, max) = (password::LENGTH.start(), password::LENGTH.end());
            return Err(Error::invalid(format!("A password has {min} to {max} characters.")));
        }
        let hash = self.passwords.hash(params.password).await.map_err(Error::internal)?;
        let (id, now) = (self.clock.new_id(), self.clock.now());
        Ok(wire::user(&self.store.user_create(id, email, hash, now).await?))
    }

    async fn login(self: Arc<Self>, call: CallContext, params: Credentials) -> Result<Login, Error> {
        let wrong = || Error::new(ErrorCode::InvalidCredentials, "Email or password is wrong.");
        // No account has a longer one; hashing it would only cost.
        if params.password.chars().count() > *password::LENGTH.end() {
            return Err(wrong());
        }
        let attempt = self.logins.begin(&params.email, call.ip()).await?;
        let row = match email(&params.email) {
            Ok(email) => self.store.user_by_email(email).await?,
            Err(_) => None,
        };
        let hash = row.as_ref().map(|row| row.password_hash.clone());
        let right = self.passwords.verify(params.password, hash).await.map_err(Error::internal)?;
        let Some(row) = row.filter(|_| right) else {
            attempt.fail();
            return Err(wrong());
        };
        attempt.succeed().await?;
        let (token, expires_at) = self.tokens.issue(row.id.0, None).map_err(Error::internal)?;
        Ok(Login { user: wire::user(&row), token, expires_at })
    }

    async fn me(self: Arc<Self>, call: CallContext, _: Nothing) -> Result<User, Error> {
        let row = self.store.user_by_id(call.user_id()?.into()).await?.ok_or_else(Error::unauthorized)?;
        Ok(wire::user(&row))
    }
}

/// Checks the shape of an address, and nothing more: whether mail arrives there, only mail can tell.
fn email(text: &str) -> Result<String, Error> {
    let email = text.trim().to_lowercase();
    let well_formed = email.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty()
            && !domain.contains('@')
            && domain.contains('.')
            && domain.split('.').all(|label| !label.is_empty())
    });
    let clean = !email.chars().any(|character| character.is_whitespace() || character.is_control());
    if well_formed && clean && email.chars().count() <= EMAIL_CHARS {
        Ok(email)
    } else {
        Err(Error::invalid("`email` must be an email address, such as ada@example.com."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_for_their_shape() {
        for (good, kept) in
            [("ada@example.com", "ada@example.com"), (" Ada@Example.COM ", "ada@example.com"), ("ä+1@ö.de", "ä+1@ö.de")]
        {
            assert_eq!(email(good).unwrap(), kept);
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in
            ["", "ada", "@example.com", "ada@", "ada@example", "ada@.com", "a@b@c.de", "a b@c.de", "a@c.de\0", &long]
        {
            assert!(email(bad).is_err(), "{bad}");
        }
    }
}
