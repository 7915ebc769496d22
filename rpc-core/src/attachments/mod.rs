//! Attachments: files that belong to messages.
//!
//! | file | does |
//! | --- | --- |
//! | `create.rs` | checks name, type and size of a new attachment, and returns how to upload it |
//! | `upload.rs` | receives the bytes and checks them |
//! | `read.rs` | reads a file or its preview; deletes an attachment |
//! | `message.rs` | the attachments that a message names |
//! | `prompt_attachments.rs` | loads attachments into the prompt |
//! | `cleanup.rs` | maintenance job: deletes what is no longer needed |
//! | `capability.rs` | signs and verifies the capabilities in URLs |
//! | `content_check.rs` | checks that a file has its declared type |
//! | `preview.rs` | makes previews of images |
//! | `renew_previews.rs` | signs the URLs of previews anew when a message is read |
//! | `signed_upload.rs` | signs the URL of an upload to a bucket, with the size of the file |
//! | `storage.rs` | the bytes, in a directory or an S3 bucket |
//!
//! The row of an attachment is in the database. Its bytes are in a storage that takes no part in transactions. So the
//! row is deleted first, and the bytes after it (`cleanup.rs`): bytes without a row are garbage, never the other way
//! round.

mod capability;
mod cleanup;
mod content_check;
mod create;
mod media_type;
mod message;
mod preview;
mod prompt_attachments;
mod read;
mod renew_previews;
mod signed_upload;
mod storage;
mod upload;

pub(crate) use capability::{Capability, CapabilityPurpose};
pub(crate) use message::MAX_PER_MESSAGE;

use crate::auth::secret_code;
use crate::config::{AttachmentsConfig, AuthConfig, CoreConfig, TokenAlgorithm};
use crate::error::Error;
use crate::store::{Clock, Store};
use async_recursion::async_recursion as boxed;
use base64::engine::general_purpose::STANDARD as BASE64;
use capability::CapabilitySigner;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use storage::Storage;
use threadline_schema::attachments::min_piece_bytes;
use threadline_schema::db::types::UtcTime;
use threadline_schema::{ErrorCode, RpcError};
use tokio::sync::Semaphore;

/// Maximum number of images that are decoded at the same time: one can take 160 MB.
const MAX_CONCURRENT_DECODES: usize = 2;

/// Maximum number of images that wait to be decoded. Further uploads are refused until one is done.
const MAX_QUEUED_DECODES: usize = 64;

/// Creates, stores and reads attachments.
pub(crate) struct Attachments {
    config: AttachmentsConfig,
    /// Minimum size of a piece that is not the last, in bytes.
    min_piece_bytes: usize,
    store: Store,
    clock: Arc<Clock>,
    storage: Storage,
    signer: CapabilitySigner,
    decode_permits: Arc<Semaphore>,
    /// Until when late uploads to a bucket were deleted.
    late_uploads_deleted_to: Mutex<Option<UtcTime>>,
    /// Images that wait to be decoded, or are being decoded.
    decode_queue: Arc<Semaphore>,
}

/// Why attachments are not available.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentsError {
    /// The settings of the bucket are invalid.
    #[error("ATTACHMENTS_URL, or the AWS_* variables beside it, cannot be used: {0}")]
    Config(#[from] object_store::Error),
    /// The storage failed.
    #[error("the storage cannot be used: {0}")]
    Storage(#[source] object_store::Error),
    /// The key for capabilities cannot be derived.
    #[error("no key to sign with could be derived: {0}")]
    Key(#[from] jsonwebtoken::errors::Error),
}

impl Attachments {
    fn allowed_types(&self) -> media_type::AllowedTypes<'_> {
        media_type::AllowedTypes(&self.config.types)
    }

    /// Creates the service. The storage is not contacted yet.
    ///
    /// # Errors
    /// If the settings of a bucket contradict each other.
    pub(crate) fn new(config: &CoreConfig, store: &Store, clock: &Arc<Clock>) -> Result<Self, AttachmentsError> {
        Ok(Self {
            min_piece_bytes: min_piece_bytes(config.limits.body_bytes),
            store: store.clone(),
            clock: clock.clone(),
            storage: Storage::new(&config.attachments.location)?,
            signer: CapabilitySigner::new(&config.auth)?,
            decode_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_DECODES)),
            late_uploads_deleted_to: Mutex::new(None),
            decode_queue: Arc::new(Semaphore::new(MAX_QUEUED_DECODES)),
            config: config.attachments.clone(),
        })
    }

    /// Creates the service for commands that read and delete files. It signs nothing that a server would accept.
    ///
    /// # Errors
    /// If the settings of a bucket contradict each other.
    pub(crate) fn for_commands(
        config: &AttachmentsConfig,
        store: &Store,
        clock: &Arc<Clock>,
    ) -> Result<Self, AttachmentsError> {
        let auth = AuthConfig {
            secret: secret_code::generate(""),
            former_secrets: Vec::new(),
            algorithm: TokenAlgorithm::Hs256,
            token_lifetime: Duration::ZERO,
        };
        Ok(Self {
            min_piece_bytes: min_piece_bytes(0),
            store: store.clone(),
            clock: clock.clone(),
            storage: Storage::new(&config.location)?,
            signer: CapabilitySigner::new(&auth)?,
            decode_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_DECODES)),
            late_uploads_deleted_to: Mutex::new(None),
            decode_queue: Arc::new(Semaphore::new(MAX_QUEUED_DECODES)),
            config: config.clone(),
        })
    }

    /// Returns the kind of the storage, for the health report: `directory` or `s3`.
    pub(crate) fn storage_kind(&self) -> &'static str {
        self.storage.kind()
    }

    /// Checks that the storage works.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn check_storage(&self) -> Result<(), object_store::Error> {
        self.storage.check().await
    }

    /// Verifies the capability in a URL; `None` if it is invalid or has expired.
    pub(crate) fn verify_capability(&self, token: &str) -> Option<Capability> {
        self.signer.verify(token, self.clock.now().utc())
    }
}

/// The error for a capability that is invalid or has expired.
pub(crate) fn invalid_capability() -> RpcError {
    let message = "This `token` is invalid, or has expired. Create the attachment again to get another.";
    RpcError::new(ErrorCode::Unauthorized, message)
}

/// Checks that the configured storage works, without a running service. Returns its kind.
///
/// # Errors
/// If its settings contradict each other, or it does not work.
#[boxed]
pub async fn check_storage(config: &AttachmentsConfig) -> Result<&'static str, AttachmentsError> {
    let storage = Storage::new(&config.location)?;
    storage.check().await.map_err(AttachmentsError::Storage)?;
    Ok(storage.kind())
}

fn storage_error(error: object_store::Error) -> Error {
    let public = "The storage for attachments cannot be reached right now. Please try again in a moment.";
    Error::unavailable(public).because(error)
}
