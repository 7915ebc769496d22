//! The standing of an account: whether it is disabled, and which of its tokens are still accepted.

use crate::auth::token::Identity;
use crate::store::UserAccess;
use chrono::TimeDelta;
use threadline_schema::db::types::UtcTime;

/// How far the clock of another issuer of tokens may be ahead of ours. A token that is issued later than that is
/// refused: it would outlive the end of its user's tokens.
pub(crate) const ISSUER_LEEWAY: TimeDelta = TimeDelta::seconds(30);

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

impl Issued {
    /// Returns until when the tokens were issued that end now. `by` is the token of the caller who ends them: the clock
    /// of its issuer can be ahead, and the token must end too. An operator (`None`), or a service, has none: then all
    /// end that the issuer may have issued by a clock that is ahead.
    pub(crate) fn until(by: Option<Self>, now: UtcTime) -> UtcTime {
        let until = match by {
            // One microsecond more: a double is not exact to the last one.
            #[allow(clippy::cast_possible_truncation, reason = "the cast saturates")]
            Some(Self::At(Some(at))) => UtcTime::from_micros(((at * 1e6).floor() as i64).saturating_add(1)),
            Some(Self::Generation(_) | Self::At(None)) => None,
            Some(Self::Always) | None => now.utc().checked_add_signed(ISSUER_LEEWAY).map(Into::into),
        };
        until.map_or(now, |until| until.max(now))
    }
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
    fn who_ends_the_tokens_of_an_account_ends_its_own_also_by_a_clock_that_is_ahead() {
        let now = UtcTime::from_micros(1_800_000_000_123_456).unwrap();
        let ends = |by: Option<Issued>, issued: f64| {
            let access =
                UserAccess { token_generation: 1, tokens_after: Some(Issued::until(by, now)), disabled_at: None };
            let mut identity = Identity::for_tests(UserId::nil());
            identity.issued = Issued::At(Some(issued));
            !Standing::new(access).admits(&identity)
        };
        for at in [1_799_999_000.0, 1_800_000_020.0, 1_800_000_020.123_456, 1_800_000_030.0] {
            let by = Some(Issued::At(Some(at)));
            assert!(ends(by, at) && ends(by, 1_800_000_000.0), "{at}");
            // A new one is accepted.
            assert!(!ends(by, at.max(1_800_000_000.2) + 0.001), "{at}");
        }
        for by in [Issued::Generation(0), Issued::At(None), Issued::At(Some(f64::NAN)), Issued::At(Some(-1e300))] {
            assert!(ends(Some(by), 1_800_000_000.0) && !ends(Some(by), 1_800_000_001.0), "{by:?}");
        }
        for by in [Some(Issued::Always), None] {
            assert!(ends(by, 1_800_000_030.0) && !ends(by, 1_800_000_031.0), "{by:?}");
        }
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
