//! Users of identity providers, and their accounts.

use super::db::Store;
use super::error::StoreResult;
use super::query::RunQueryDsl;
use super::rows::{ForeignIdentityRow, UserRow};
use super::unit::{read, steps, tx};
use super::users::UserSteps;
use diesel::prelude::*;
use threadline_schema::db::tables::{foreign_identities, users};
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::UserId;

/// The password hash of an account without a password: no password has it.
const NO_PASSWORD: &str = "!";

/// A user of an identity provider, as the provider describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignIdentity {
    /// The provider.
    pub issuer: String,
    /// What the provider calls the user.
    pub subject: String,
    /// Email address, normalised.
    pub email: Option<String>,
    /// Roles, sorted.
    pub roles: Vec<String>,
    /// Budget class.
    pub budget_class: Option<String>,
}

impl UserRow {
    /// Returns whether the account has a password of its own.
    pub fn has_password(&self) -> bool {
        self.password_hash != NO_PASSWORD
    }

    /// Returns the email address with which the account was registered; `None` for a user of an identity provider.
    pub fn own_email(&self) -> Option<&str> {
        self.has_password().then_some(self.email.as_str())
    }
}

steps! {
    trait ForeignSteps {
        /// Creates the account `new_id` of a provider's user. Returns it; the account that there is if another call was
        /// first.
        fn create_foreign(c, identity: ForeignIdentity, new_id: UserId, now: UtcTime) -> UserId {
            let ForeignIdentity { issuer, subject, email, roles, budget_class } = identity;
            // An account has a unique email. This one is not an address, so it can neither be registered nor log in.
            c.insert_user(UserRow::new(new_id, new_id.to_string(), NO_PASSWORD.to_owned(), now)).await?;
            let row = ForeignIdentityRow {
                issuer: issuer.clone(),
                subject: subject.clone(),
                user_id: new_id,
                email,
                roles: TextList(roles),
                created_at: now,
                budget_class,
            };
            let created =
                diesel::insert_into(foreign_identities::table).values(row).on_conflict_do_nothing().execute(c).await?;
            if created == 1 {
                return Ok(new_id);
            }
            diesel::delete(users::table.find(new_id)).execute(c).await?;
            Ok(foreign_identities::table.find((issuer, subject)).select(foreign_identities::user_id).first(c).await?)
        }

        /// Keeps what a provider says about its user. Returns the account; `None` if there is none.
        fn update_foreign(c, identity: ForeignIdentity) -> Option<UserId> {
            let ForeignIdentity { issuer, subject, email, roles, budget_class } = identity;
            let updated = diesel::update(foreign_identities::table.find((issuer, subject)))
                .set((
                    foreign_identities::email.eq(email),
                    foreign_identities::roles.eq(TextList(roles)),
                    foreign_identities::budget_class.eq(budget_class),
                ))
                .returning(foreign_identities::user_id);
            Ok(updated.get_result(c).await.optional()?)
        }
    }
}

impl Store {
    /// Returns the account of a provider's user, and keeps what the provider says about the user. An unknown user gets
    /// an account with the id `new_id`; of concurrent calls, one creates it.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn foreign_user(&self, identity: ForeignIdentity, new_id: UserId, now: UtcTime) -> StoreResult<UserId> {
        if let Some(found) = self.foreign_identity(identity.issuer.clone(), identity.subject.clone()).await?
            && (&found.email, &found.roles.0, &found.budget_class)
                == (&identity.email, &identity.roles, &identity.budget_class)
        {
            return Ok(found.user_id);
        }
        tx!(self, |c| {
            if let Some(user_id) = c.update_foreign(identity.clone()).await? {
                return Ok(user_id);
            }
            let user_id = c.create_foreign(identity.clone(), new_id, now).await?;
            if user_id != new_id {
                // Another call was first: one of a service, which knows nothing more about the user.
                c.update_foreign(identity).await?;
            }
            Ok(user_id)
        })
    }

    /// Returns the account of a provider's user whom a service names. An unknown user gets an account with the id
    /// `new_id`. What the provider says about the user stays as it is: a service does not know it.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn foreign_user_named(
        &self,
        issuer: String,
        subject: String,
        new_id: UserId,
        now: UtcTime,
    ) -> StoreResult<UserId> {
        if let Some(found) = self.foreign_identity(issuer.clone(), subject.clone()).await? {
            return Ok(found.user_id);
        }
        let identity = ForeignIdentity { issuer, subject, email: None, roles: Vec::new(), budget_class: None };
        tx!(self, |c| { c.create_foreign(identity, new_id, now).await })
    }

    /// Returns a provider's user.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn foreign_identity(&self, issuer: String, subject: String) -> StoreResult<Option<ForeignIdentityRow>> {
        read!(self, |c| {
            Ok(foreign_identities::table
                .find((issuer, subject))
                .select(ForeignIdentityRow::as_select())
                .first(c)
                .await
                .optional()?)
        })
    }

    /// Returns what the provider says about the user of an account; `None` if the account is of no provider.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn foreign_identity_of(&self, user_id: UserId) -> StoreResult<Option<ForeignIdentityRow>> {
        read!(self, |c| {
            Ok(foreign_identities::table
                .filter(foreign_identities::user_id.eq(user_id))
                .select(ForeignIdentityRow::as_select())
                .first(c)
                .await
                .optional()?)
        })
    }
}
