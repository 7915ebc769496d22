//! The standing of an account: whether it is disabled, and which of its tokens are still accepted.

use crate::auth::token::Identity;
use crate::store::UserAccess;

/// How a token shows when it was issued.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Issued {
    /// In this generation of its user's tokens.
    Generation(i64),
    /// At this time, in Unix seconds with a fraction; `None` if it does not say.
    At(Option<f64>),
    /// Just now: a service key acts for the user, and its user cannot end it.
    Always,
}

/// Whether the tokens of an account are accepted, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing(UserAccess);

impl Standing {
    pub(crate) fn new(access: UserAccess) -> Self {
        Self(access)
    }

    /// Returns whether a verified token is accepted: its user is not disabled, and has not ended its tokens since.
    pub(crate) fn admits(&self, identity: &Identity) -> bool {
        let UserAccess { token_generation, tokens_after, disabled_at } = self.0;
        if disabled_at.is_some() {
            return false;
        }
        match (identity.issued, tokens_after) {
            (Issued::Generation(generation), _) => generation == token_generation,
            (Issued::Always, _) | (Issued::At(_), None) => true,
            (Issued::At(None), Some(_)) => false,
            // A token that was issued in the second of the change may be older than it: most have whole seconds.
            #[allow(clippy::cast_precision_loss, reason = "microseconds of this century fit into a double")]
            (Issued::At(Some(at)), Some(after)) => at > after.micros() as f64 / 1e6,
        }
    }

    /// Returns the generation that a new token belongs to.
    pub(crate) fn generation(&self) -> i64 {
        self.0.token_generation
    }

    /// Returns whether the account is disabled.
    pub(crate) fn is_disabled(&self) -> bool {
        self.0.disabled_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::db::types::UtcTime;
    use threadline_schema::ids::UserId;

    fn admits(issued: Issued, generation: i64, tokens_after: Option<i64>, disabled: bool) -> bool {
        let time = |seconds: i64| UtcTime::from_micros(seconds * 1_000_000).unwrap();
        let access = UserAccess {
            token_generation: generation,
            tokens_after: tokens_after.map(time),
            disabled_at: disabled.then(|| time(1)),
        };
        let mut identity = Identity::for_tests(UserId::nil());
        identity.issued = issued;
        Standing::new(access).admits(&identity)
    }

    #[test]
    fn a_token_is_accepted_until_its_user_ends_it() {
        assert!(admits(Issued::Generation(3), 3, Some(100), false));
        assert!(!admits(Issued::Generation(2), 3, Some(100), false));
        assert!(!admits(Issued::Generation(3), 3, None, true));
        assert!(admits(Issued::At(None), 0, None, false));
        assert!(!admits(Issued::At(None), 1, Some(100), false));
        assert!(admits(Issued::At(Some(100.5)), 1, Some(100), false));
        assert!(!admits(Issued::At(Some(100.0)), 1, Some(100), false));
        assert!(!admits(Issued::At(Some(f64::NAN)), 1, Some(100), false));
    }
}
