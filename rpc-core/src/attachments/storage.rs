//! Stores the bytes of attachments in a directory or an S3 bucket.
//!
//! Names of objects contain only ids, so a client cannot influence a path:
//!
//! | object | holds |
//! | --- | --- |
//! | `ID/content` | the complete file |
//! | `ID/preview` | the preview of an image |
//! | `ID/upload` | the file that the client has put into the bucket, until it is checked |
//! | `ID/pieces/UPLOAD/OFFSET` | a piece of an upload through the gateway |
//! | `check` | nothing; the health check of a directory writes and deletes it |

use super::signed_upload::{Credentials, SignedRequest};
use crate::config::AttachmentsLocation;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt, RetryConfig, WriteMultipart};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ids::{AttachmentId, UploadId};
use tokio::sync::OnceCell;
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of one request to a bucket.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a failed request to a bucket is retried.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_RETRIES: usize = 3;

/// Result of a storage operation.
pub(super) type StorageResult<T> = Result<T, Error>;

/// Stores the bytes of attachments.
pub(super) struct Storage {
    location: StorageLocation,
}

enum StorageLocation {
    /// Created with the first file: a service without attachments needs no directory.
    Directory {
        path: PathBuf,
        opened: OnceCell<Arc<dyn ObjectStore>>,
    },
    Bucket {
        s3: Arc<AmazonS3>,
        prefix: Path,
    },
}

impl Storage {
    /// Returns `directory` or `s3`.
    pub(super) fn kind(&self) -> &'static str {
        match &self.location {
            StorageLocation::Directory { .. } => "directory",
            StorageLocation::Bucket { .. } => "s3",
        }
    }

    /// Returns whether clients upload to the storage itself.
    pub(super) fn is_bucket(&self) -> bool {
        matches!(self.location, StorageLocation::Bucket { .. })
    }

    /// Checks that the storage works: writes to a directory, lists a bucket (requests that write cost money).
    pub(super) async fn check(&self) -> StorageResult<()> {
        match &self.location {
            // Created with the first file.
            StorageLocation::Directory { path, .. } if !path.exists() => Ok(()),
            StorageLocation::Directory { .. } => {
                let (store, name) = (self.open().await?, self.root().join("check"));
                store.put(&name, Bytes::new().into()).await?;
                store.delete(&name).await
            }
            StorageLocation::Bucket { s3, prefix } => s3.list(Some(prefix)).try_next().await.map(|_| ()),
        }
    }

    /// Creates the storage. Nothing is read or written yet.
    ///
    /// # Errors
    /// If the settings of the bucket contradict each other.
    pub(super) fn new(location: &AttachmentsLocation) -> StorageResult<Self> {
        let location = match location {
            AttachmentsLocation::Directory(path) => {
                StorageLocation::Directory { path: path.clone(), opened: OnceCell::new() }
            }
            AttachmentsLocation::Bucket { name, prefix } => {
                let client = ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT);
                let retry =
                    RetryConfig { retry_timeout: RETRY_TIMEOUT, max_retries: MAX_RETRIES, ..RetryConfig::default() };
                let s3 = AmazonS3Builder::from_env().with_bucket_name(name);
                // `from_env` reads this too, but our own client options replace it.
                let allow_http = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|text| text.eq_ignore_ascii_case("true"));
                let s3 = s3.with_client_options(client.with_allow_http(allow_http)).with_retry(retry).build()?;
                StorageLocation::Bucket { s3: Arc::new(s3), prefix: Path::parse(prefix)? }
            }
        };
        Ok(Self { location })
    }

    /// Returns a URL to which the client can PUT the file; `None` without a bucket. The signature covers media type and
    /// size, so that a client cannot store more than was announced and counted.
    pub(super) async fn upload_url(
        &self,
        id: AttachmentId,
        (mime_type, size): (&str, i64),
        lifetime: Duration,
        now: DateTime<Utc>,
    ) -> StorageResult<Option<String>> {
        let StorageLocation::Bucket { s3, .. } = &self.location else { return Ok(None) };
        let broken = |error: &dyn std::fmt::Display| Error::Generic { store: "S3", source: error.to_string().into() };
        // The client of the bucket knows its address, its region and who signs.
        let url = s3.signed_url(Method::PUT, &self.name(id, "upload"), lifetime).await?;
        let mut url = Url::parse(url.as_str()).map_err(|error| broken(&error))?;
        let credential = url.query_pairs().find(|(name, _)| name == "X-Amz-Credential");
        let region = credential.and_then(|(_, value)| value.split('/').nth(2).map(ToOwned::to_owned));
        let Some(region) = region else { return Err(broken(&"a signed URL without a credential")) };
        url.set_query(None);
        let signer = s3.credentials().get_credential().await?;
        let headers = BTreeMap::from([("content-length", size.to_string()), ("content-type", mime_type.to_owned())]);
        let request = SignedRequest { method: "PUT", url, region: &region, headers, lifetime };
        let credentials = Credentials {
            key_id: &signer.key_id,
            secret_key: &signer.secret_key,
            session_token: signer.token.as_deref(),
        };
        Ok(Some(request.sign(&credentials, now).into()))
    }

    /// Returns the size of the file that the client has put into the bucket; `None` if there is none.
    pub(super) async fn uploaded_size(&self, id: AttachmentId) -> StorageResult<Option<u64>> {
        match &self.location {
            StorageLocation::Directory { .. } => Ok(None),
            StorageLocation::Bucket { s3, .. } => found(s3.head(&self.name(id, "upload")).await.map(|meta| meta.size)),
        }
    }

    /// Copies the file that the client has put into the bucket to a name that the client cannot write.
    pub(super) async fn accept_upload(&self, id: AttachmentId) -> StorageResult<()> {
        self.open().await?.copy(&self.name(id, "upload"), &self.name(id, "content")).await
    }

    /// Deletes the file that the client has put into the bucket.
    pub(super) async fn delete_upload(&self, id: AttachmentId) -> StorageResult<()> {
        found(self.open().await?.delete(&self.name(id, "upload")).await).map(|_| ())
    }

    /// Stores a piece of an upload.
    pub(super) async fn put_piece(
        &self,
        id: AttachmentId,
        upload: UploadId,
        offset: u64,
        bytes: Vec<u8>,
    ) -> StorageResult<()> {
        self.open().await?.put(&self.piece(id, upload, offset), bytes.into()).await.map(|_| ())
    }

    /// Joins the pieces of an upload to the complete file.
    pub(super) async fn join_pieces(&self, id: AttachmentId, upload: UploadId, size: u64) -> StorageResult<()> {
        let store = self.open().await?;
        let mut writer = WriteMultipart::new(store.put_multipart(&self.name(id, "content")).await?);
        let mut offset = 0;
        while offset < size {
            let piece = match store.get(&self.piece(id, upload, offset)).await {
                Ok(piece) => piece.bytes().await,
                Err(error) => Err(error),
            };
            match piece {
                Ok(bytes) if !bytes.is_empty() => {
                    offset += bytes.len() as u64;
                    writer.wait_for_capacity(1).await?;
                    writer.put(bytes);
                }
                Ok(_) => {
                    writer.abort().await?;
                    return Err(Error::Generic { store: "pieces", source: "a piece is empty".into() });
                }
                Err(error) => {
                    writer.abort().await?;
                    return Err(error);
                }
            }
        }
        writer.finish().await.map(|_| ())
    }

    /// Deletes the pieces of all uploads.
    pub(super) async fn delete_pieces(&self, id: AttachmentId) -> StorageResult<()> {
        self.delete_below(&[&id.to_string(), "pieces"]).await
    }

    /// Reads at most `max_bytes` from `offset` on. Returns them with the size of the whole object.
    pub(super) async fn read(
        &self,
        id: AttachmentId,
        object: StoredObject,
        offset: u64,
        max_bytes: u64,
    ) -> StorageResult<(Bytes, u64)> {
        let (store, name) = (self.open().await?, self.name(id, object.name()));
        let size = store.head(&name).await?.size;
        let end = offset.saturating_add(max_bytes).min(size);
        if offset >= end {
            return Ok((Bytes::new(), size));
        }
        Ok((store.get_range(&name, offset..end).await?, size))
    }

    /// Reads a whole object, which must be small.
    pub(super) async fn read_all(&self, id: AttachmentId, object: StoredObject) -> StorageResult<Bytes> {
        self.open().await?.get(&self.name(id, object.name())).await?.bytes().await
    }

    /// Stores the preview of an image.
    pub(super) async fn put_preview(&self, id: AttachmentId, bytes: Vec<u8>) -> StorageResult<()> {
        self.open().await?.put(&self.name(id, StoredObject::Preview.name()), bytes.into()).await.map(|_| ())
    }

    /// Deletes the file.
    pub(super) async fn delete_content(&self, id: AttachmentId) -> StorageResult<()> {
        found(self.open().await?.delete(&self.name(id, StoredObject::Content.name())).await).map(|_| ())
    }

    /// Deletes all objects of an attachment.
    pub(super) async fn delete_all(&self, id: AttachmentId) -> StorageResult<()> {
        self.delete_below(&[&id.to_string()]).await
    }

    async fn delete_below(&self, names: &[&str]) -> StorageResult<()> {
        match &self.location {
            // With the files that a crash has left half written: the object store does not list those.
            StorageLocation::Directory { path, .. } => {
                let directory = names.iter().fold(path.clone(), |path, name| path.join(name));
                match tokio::fs::remove_dir_all(directory).await {
                    Err(error) if error.kind() != ErrorKind::NotFound => Err(broken_directory(error)),
                    _ => Ok(()),
                }
            }
            StorageLocation::Bucket { s3, .. } => {
                let prefix = names.iter().fold(self.root(), |prefix, name| prefix.join(*name));
                let found_names = s3.list(Some(&prefix)).map_ok(|meta| meta.location).boxed();
                let mut deleted = s3.delete_stream(found_names);
                while let Some(name) = deleted.next().await {
                    found(name)?;
                }
                Ok(())
            }
        }
    }

    async fn open(&self) -> StorageResult<Arc<dyn ObjectStore>> {
        match &self.location {
            StorageLocation::Bucket { s3, .. } => Ok(s3.clone()),
            StorageLocation::Directory { path, opened } => {
                let open = || async {
                    tokio::fs::create_dir_all(path).await.map_err(broken_directory)?;
                    let files = LocalFileSystem::new_with_prefix(path)?;
                    let files: Arc<dyn ObjectStore> = Arc::new(files.with_automatic_cleanup(true).with_fsync(true));
                    Ok(files)
                };
                opened.get_or_try_init(open).await.cloned()
            }
        }
    }

    fn root(&self) -> Path {
        match &self.location {
            StorageLocation::Directory { .. } => Path::default(),
            StorageLocation::Bucket { prefix, .. } => prefix.clone(),
        }
    }

    fn name(&self, id: AttachmentId, object: &str) -> Path {
        self.root().join(id.to_string()).join(object)
    }

    fn piece(&self, id: AttachmentId, upload: UploadId, offset: u64) -> Path {
        self.name(id, "pieces").join(upload.to_string()).join(offset.to_string())
    }
}

/// The objects of an attachment that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoredObject {
    /// The file.
    Content,
    /// The preview of an image.
    Preview,
}

impl StoredObject {
    fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Preview => "preview",
        }
    }
}

fn broken_directory(error: std::io::Error) -> Error {
    Error::Generic { store: "LocalFileSystem", source: Box::new(error) }
}

/// Turns the error for a missing object into `None`.
pub(super) fn found<T>(result: StorageResult<T>) -> StorageResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
