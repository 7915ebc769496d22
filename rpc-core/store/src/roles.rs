//! Roles of users: those that the operator has given, and those of the identity provider.

use super::db::Store;
use super::error::StoreResult;
use super::query::RunQueryDsl;
use super::rows::UserRoleRow;
use super::unit::{change, read};
use diesel::prelude::*;
use threadline_schema::db::tables::{foreign_identities, user_roles};
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::UserId;

impl Store {
    /// Returns the roles of a user, sorted: those that the operator has given, and those that the identity provider has
    /// named last.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn user_roles(&self, user_id: UserId) -> StoreResult<Vec<String>> {
        read!(self, |c| {
            let mut roles: Vec<String> =
                user_roles::table.filter(user_roles::user_id.eq(user_id)).select(user_roles::role).load(c).await?;
            let foreign: Option<TextList> = foreign_identities::table
                .filter(foreign_identities::user_id.eq(user_id))
                .select(foreign_identities::roles)
                .first(c)
                .await
                .optional()?;
            roles.extend(foreign.unwrap_or_default().0);
            roles.sort();
            roles.dedup();
            Ok(roles)
        })
    }

    /// Returns the roles that the operator has given to a user.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn user_roles_given(&self, user_id: UserId) -> StoreResult<Vec<UserRoleRow>> {
        read!(self, |c| {
            let of_user = user_roles::table.filter(user_roles::user_id.eq(user_id)).order(user_roles::role.asc());
            Ok(of_user.select(UserRoleRow::as_select()).load(c).await?)
        })
    }

    /// Gives a role to a user. Changes nothing if the user has it.
    ///
    /// # Errors
    /// Only if the database fails, or there is no such user.
    pub async fn user_role_give(&self, user_id: UserId, role: String, now: UtcTime) -> StoreResult<()> {
        change!(self, |c| {
            let row = UserRoleRow { user_id, role, granted_at: now };
            diesel::insert_into(user_roles::table).values(row).on_conflict_do_nothing().execute(c).await?;
            Ok(())
        })
    }

    /// Takes a role from a user. Returns whether the operator had given it. The roles of an identity provider stay.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn user_role_take(&self, user_id: UserId, role: String) -> StoreResult<bool> {
        change!(self, |c| { Ok(diesel::delete(user_roles::table.find((user_id, role))).execute(c).await? > 0) })
    }
}
