//! The claims of a token of an identity provider.

use super::refusal::TokenRefusal;
use crate::auth::email;
use crate::auth::numeric_date::NumericDate;
use crate::auth::standing::ISSUER_LEEWAY;
use crate::config::{ProviderConfig, check_class_name};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Maximum number of bytes of a subject.
const SUBJECT_BYTES: usize = 255;
/// Maximum number of roles that are kept of a token, and maximum number of characters of one.
const MAX_ROLES: usize = 64;
const ROLE_CHARS: usize = 100;

/// The claims of a token.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    pub(super) exp: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    pub(super) iat: Option<NumericDate>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// A user, as the provider describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignUser {
    /// The provider's unique name of the user.
    pub(super) subject: String,
    /// Email address, normalised.
    pub(super) email: Option<String>,
    /// Roles, sorted.
    pub(super) roles: Vec<String>,
    /// Budget class.
    pub(super) budget_class: Option<String>,
}

impl Claims {
    /// Returns the user if the token is for this service, from its provider, and valid now.
    pub(super) fn check(&self, config: &ProviderConfig, now: DateTime<Utc>) -> Result<ForeignUser, TokenRefusal> {
        if self.iss != config.issuer {
            return Err(TokenRefusal::OtherIssuer);
        }
        if !self.is_for(&config.audiences) {
            return Err(TokenRefusal::OtherAudience);
        }
        if !self.exp.is_after(now) {
            return Err(TokenRefusal::Expired);
        }
        if [self.nbf, self.iat].into_iter().flatten().any(|date| date.is_after(now + ISSUER_LEEWAY)) {
            return Err(TokenRefusal::NotYetValid);
        }
        self.user(config).ok_or(TokenRefusal::Subject)
    }

    /// Returns whether the token is meant for one of these audiences.
    fn is_for(&self, audiences: &[String]) -> bool {
        match &self.aud {
            Audience::One(audience) => audiences.contains(audience),
            Audience::Several(several) => several.iter().any(|audience| audiences.contains(audience)),
        }
    }

    /// Returns the user; `None` if the subject cannot be one: it is empty, too long, or has a NUL, which PostgreSQL
    /// does not store.
    fn user(&self, config: &ProviderConfig) -> Option<ForeignUser> {
        if self.sub.is_empty() || self.sub.len() > SUBJECT_BYTES || self.sub.contains('\0') {
            return None;
        }
        let email = self.claim(&config.email_claim).and_then(Value::as_str);
        Some(ForeignUser {
            subject: self.sub.clone(),
            email: email.and_then(|text| email::normalize(text).ok()),
            roles: roles(self.claim(&config.roles_claim)),
            budget_class: self.budget_class(config),
        })
    }

    /// Returns the budget class: one text, which may be the name of a class.
    fn budget_class(&self, config: &ProviderConfig) -> Option<String> {
        let class = self.claim(config.budget_class_claim.as_deref()?)?.as_str()?;
        check_class_name(class).is_ok().then(|| class.to_owned())
    }

    /// Returns a claim by its name, or by its path if it is nested: `realm_access.roles`.
    fn claim(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.others.get(path) {
            return Some(value);
        }
        let mut names = path.split('.');
        let first = self.others.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    }
}

/// Reads roles: a list, or words in one text.
fn roles(claim: Option<&Value>) -> Vec<String> {
    let mut roles: Vec<String> = match claim {
        Some(Value::Array(roles)) => roles.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(words)) => words.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    roles.retain(|role| (1..=ROLE_CHARS).contains(&role.chars().count()) && !role.contains('\0'));
    roles.sort_unstable();
    roles.dedup();
    roles.truncate(MAX_ROLES);
    roles
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        let mut claims = json!({"iss": "i", "sub": "s", "aud": "a", "exp": 1});
        claims.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        serde_json::from_value(claims).unwrap()
    }

    fn config(roles_claim: &str) -> ProviderConfig {
        ProviderConfig {
            issuer: "i".into(),
            jwks_url: None,
            audiences: vec!["a".into()],
            email_claim: "email".into(),
            roles_claim: roles_claim.into(),
            budget_class_claim: Some("plan.name".into()),
        }
    }

    #[test]
    fn a_token_of_the_future_is_refused() {
        let now = DateTime::UNIX_EPOCH;
        for name in ["iat", "nbf"] {
            let check = |at: f64| claims(json!({"exp": 60, name: at})).check(&config("roles"), now).err();
            assert_eq!((check(30.0), check(-1e300)), (None, None), "{name}");
            for late in [30.5, 1e300] {
                assert_eq!(check(late), Some(TokenRefusal::NotYetValid), "{name}");
            }
        }
    }

    #[test]
    fn a_budget_class_is_one_text() {
        let class = |value: Value| claims(value).user(&config("roles")).unwrap().budget_class;
        assert_eq!(class(json!({"plan": {"name": "free"}})).as_deref(), Some("free"));
        assert_eq!(class(json!({"plan.name": "gold-2"})).as_deref(), Some("gold-2"));
        for none in [json!({}), json!({"plan": {"name": ["free"]}}), json!({"plan": {"name": "a b"}})] {
            assert_eq!(class(none), None);
        }
    }

    #[test]
    fn a_subject_is_any_text_of_up_to_255_bytes() {
        let user = |sub: &str| claims(json!({"sub": sub})).user(&config("roles"));
        for good in ["1", "auth0|5f7c8ec7", "Ä ö/\"'\u{1f600}", &"x".repeat(255)] {
            assert_eq!(user(good).unwrap().subject, good);
        }
        for bad in ["", "a\0b", &"x".repeat(256), &"ü".repeat(128)] {
            assert_eq!(user(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn roles_are_a_list_or_words_and_may_be_nested() {
        let roles = |claim: &str, value: Value| claims(value).user(&config(claim)).unwrap().roles;
        assert_eq!(roles("roles", json!({"roles": ["b", "a", "b", 7, ""]})), ["a", "b"]);
        assert_eq!(roles("scope", json!({"scope": "b  a"})), ["a", "b"]);
        assert_eq!(roles("realm_access.roles", json!({"realm_access": {"roles": ["x"]}})), ["x"]);
        assert_eq!(roles("https://a.example/roles", json!({"https://a.example/roles": ["x"]})), ["x"]);
        assert!(roles("roles", json!({"roles": {"a": 1}})).is_empty());
    }

    #[test]
    fn an_audience_is_one_or_one_of_several() {
        let audiences = ["a".to_owned(), "b".to_owned()];
        assert!(claims(json!({"aud": "b"})).is_for(&audiences));
        assert!(claims(json!({"aud": ["x", "a"]})).is_for(&audiences));
        assert!(!claims(json!({"aud": ["x"]})).is_for(&audiences) && !claims(json!({"aud": []})).is_for(&audiences));
    }
}
