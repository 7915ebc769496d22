//! The users of an identity provider, and their accounts here.

use super::claims::ForeignUser;
use super::identity_hash;
use crate::auth::numeric_date::NumericDate;
use crate::auth::standings::Standings;
use crate::error::Error;
use crate::store::{Clock, ForeignIdentity, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_schema::ids::UserId;

/// Maximum number of users that are kept; about 500 bytes each.
const MAX_KNOWN: usize = 10_000;
/// How long an answer of the database is used.
const TTL: Duration = Duration::from_secs(60);

/// Finds and creates the accounts of a provider's users.
pub(super) struct ForeignUsers {
    store: Store,
    clock: Arc<Clock>,
    standings: Arc<Standings>,
    /// By subject.
    known: quick_cache::sync::Cache<String, Known>,
}

/// An account, and what its row says about its user.
#[derive(Clone)]
struct Known {
    user_id: UserId,
    user: ForeignUser,
    seen: Instant,
}

impl ForeignUsers {
    pub(super) fn new(store: Store, clock: Arc<Clock>, standings: Arc<Standings>) -> Self {
        Self { store, clock, standings, known: quick_cache::sync::Cache::new(MAX_KNOWN) }
    }

    /// Returns the account of a user. Creates it at first sight, and keeps what the provider says about the user.
    /// `None` for a token from before the user's account was erased.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the user is not known and the database cannot be reached.
    pub(super) async fn find_or_create(
        &self,
        issuer: &str,
        user: ForeignUser,
        issued_at: Option<NumericDate>,
    ) -> Result<Option<UserId>, Error> {
        if let Some(known) = self.known.get(&user.subject)
            && known.user == user
            && known.seen.elapsed() < TTL
            // Who was erased is a new user with the next token.
            && self.standings.get(known.user_id).await?.is_some()
        {
            return Ok(Some(known.user_id));
        }
        if let Some(erased_at) = self.store.identity_erased_at(identity_hash(issuer, &user.subject)).await?
            && !issued_at.is_some_and(|at| at.is_after(erased_at.utc()))
        {
            return Ok(None);
        }
        let identity = ForeignIdentity {
            issuer: issuer.to_owned(),
            subject: user.subject.clone(),
            email: user.email.clone(),
            roles: user.roles.clone(),
            budget_class: user.budget_class.clone(),
        };
        let user_id = self.store.foreign_user(identity, self.clock.new_id(), self.clock.now()).await?;
        self.known.insert(user.subject.clone(), Known { user_id, user, seen: Instant::now() });
        Ok(Some(user_id))
    }
}
