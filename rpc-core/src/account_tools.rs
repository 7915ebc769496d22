//! The commands of the operator about accounts.

use crate::accounts::{AccountExport, Accounts, Erasure};
use crate::attachments::Attachments;
use crate::config::{AttachmentsConfig, DatabaseConfig};
use crate::core::StartError;
use crate::store::{Clock, Store};
use async_recursion::async_recursion as boxed;
use std::sync::Arc;

/// The parts with which the operator's commands work on accounts, without a running service.
pub struct AccountTools {
    /// Creates and changes them.
    pub accounts: Accounts,
    /// Reads their archives.
    pub export: AccountExport,
    /// Erases them.
    pub erasure: Erasure,
}

impl AccountTools {
    /// Opens the database and the storage for attachments.
    ///
    /// # Errors
    /// If one of them cannot be used as it is configured.
    #[boxed]
    pub async fn open(database: &DatabaseConfig, attachments: &AttachmentsConfig) -> Result<Self, StartError> {
        let store = Store::open(database).await?;
        let clock = Arc::new(Clock::read(&store).await?);
        let attachments = Arc::new(Attachments::for_commands(attachments, &store, &clock)?);
        Ok(Self {
            accounts: Accounts::new(store.clone(), clock.clone()),
            export: AccountExport::new(store.clone(), clock.clone(), attachments.clone()),
            erasure: Erasure::in_command(store, clock, attachments),
        })
    }
}
