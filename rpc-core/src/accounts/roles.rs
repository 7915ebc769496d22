//! Roles and budget classes of users, as the operator gives and takes them.

use super::Accounts;
use crate::config::check_class_name;
use crate::error::Error;
use crate::store::rows::UserRow;
use async_recursion::async_recursion as boxed;
use threadline_schema::ErrorCode;
use threadline_schema::ids::UserId;

/// Maximum number of characters of a role.
const ROLE_CHARS: usize = 100;

impl Accounts {
    /// Returns the roles of a user: those that the operator has given, and those of the identity provider.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    #[boxed]
    pub async fn roles(&self, id: UserId) -> Result<Vec<String>, Error> {
        Ok(self.store.user_roles(id).await?)
    }

    /// Gives a role to a user, from the next call on.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a name that cannot be, `SERVICE_UNAVAILABLE`.
    #[boxed]
    pub async fn give_role(&self, id: UserId, role: &str) -> Result<(), Error> {
        check_role(role)?;
        Ok(self.store.user_role_give(id, role.to_owned(), self.clock.now()).await?)
    }

    /// Takes a role from a user, from the next call on.
    ///
    /// # Errors
    /// `NOT_FOUND` if the operator has not given it: the roles of an identity provider are for the provider to take.
    #[boxed]
    pub async fn take_role(&self, id: UserId, role: &str) -> Result<(), Error> {
        if self.store.user_role_take(id, role.to_owned()).await? {
            return Ok(());
        }
        let message = format!("The user has no role {role:?} from here. `threadline user show` lists the roles.");
        Err(Error::new(ErrorCode::NotFound, message))
    }

    /// Gives a budget class to a user, or takes it, from the next run on. Does not check whether the agents file has
    /// the class, because each process reads its own file.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a name that cannot be, `UNAUTHORIZED` if the account is gone, `SERVICE_UNAVAILABLE`.
    #[boxed]
    pub async fn set_budget_class(&self, id: UserId, class: Option<String>) -> Result<UserRow, Error> {
        class.as_deref().map_or(Ok(()), check_class_name).map_err(Error::invalid)?;
        Ok(self.store.user_set_budget_class(id, class).await?)
    }

    /// Returns the name of the budget class of a user; `None` without one.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    #[boxed]
    pub async fn budget_class(&self, id: UserId) -> Result<Option<String>, Error> {
        Ok(self.store.budget_class(id, None).await?)
    }
}

/// Checks the name of a role.
///
/// # Errors
/// `INVALID_REQUEST`.
pub fn check_role(role: &str) -> Result<(), Error> {
    let is_valid = (1..=ROLE_CHARS).contains(&role.chars().count())
        && !role.chars().any(|c| c.is_whitespace() || c.is_control() || c == ',');
    if is_valid {
        return Ok(());
    }
    Err(Error::invalid(format!("A role has 1 to {ROLE_CHARS} characters, without blanks and commas.")))
}
