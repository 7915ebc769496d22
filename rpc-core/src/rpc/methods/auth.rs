//! `auth.*`

use crate::auth::password;
use crate::error::Error;
use crate::rpc::context::Cx;
use crate::rpc::registry::Registry;
use crate::store::StoreError;
use crate::wire;
use threadline_schema::ErrorCode;
use threadline_schema::auth::{AuthLogin, AuthMe, AuthRegister, Credentials, Login, Nothing, User};

/// Characters of an email address, at most (RFC 5321).
const EMAIL_CHARS: usize = 254;

pub(super) fn register(registry: &mut Registry) {
    registry.method::<AuthRegister, _, _>(register_account).method::<AuthLogin, _, _>(login).method::<AuthMe, _, _>(me);
}

async fn register_account(cx: Cx, params: Credentials) -> Result<User, Error> {
    let email = email(&params.email)?;
    let chars = params.password.chars().count();
    if !password::LENGTH.contains(&chars) {
        let (min, max) = (password::LENGTH.start(), password::LENGTH.end());
        return Err(Error::invalid(format!("A password has {min} to {max} characters.")));
    }
    let hash = cx.core.passwords.hash(params.password).await.map_err(Error::internal)?;
    match cx.core.store.user_create(email, hash).await {
        Ok(row) => Ok(wire::user(&row)),
        Err(StoreError::Duplicate) => {
            Err(Error::new(ErrorCode::EmailTaken, "An account with this email exists already."))
        }
        Err(error) => Err(error.into()),
    }
}

async fn login(cx: Cx, params: Credentials) -> Result<Login, Error> {
    let wrong = || Error::new(ErrorCode::InvalidCredentials, "Email or password is wrong.");
    // No account has a longer one; hashing it would only cost.
    if params.password.chars().count() > *password::LENGTH.end() {
        return Err(wrong());
    }
    let row = match email(&params.email) {
        Ok(email) => cx.core.store.user_by_email(email).await?,
        Err(_) => None,
    };
    let hash = row.as_ref().map(|row| row.password_hash.clone());
    let right = cx.core.passwords.verify(params.password, hash).await.map_err(Error::internal)?;
    let row = row.filter(|_| right).ok_or_else(wrong)?;
    let (token, expires_at) = cx.core.tokens.issue(row.id.0, None).map_err(Error::internal)?;
    Ok(Login { user: wire::user(&row), token, expires_at })
}

async fn me(cx: Cx, _: Nothing) -> Result<User, Error> {
    let row = cx.core.store.user_by_id(cx.user_id()?.into()).await?.ok_or_else(Error::unauthorized)?;
    Ok(wire::user(&row))
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
