//! Where the bytes are: a directory, or a bucket that speaks S3.
//!
//! Names are made of ids alone, so nothing a client says becomes part of a path:
//!
//! | object | holds |
//! | --- | --- |
//! | `ID/content` | the file, once it is whole |
//! | `ID/preview` | the small version of an image |
//! | `ID/upload` | what a client put into the bucket itself, until it is looked at |
//! | `ID/pieces/UPLOAD/OFFSET` | a piece of an upload that came through the gateway |
//! | `check` | nothing; it comes and goes when a directory is looked at |

use crate::config::AttachmentsLocation;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt, RetryConfig, WriteMultipart};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// How long a bucket may take to connect, and to answer one request.
const CONNECTING: Duration = Duration::from_secs(5);
const ANSWERING: Duration = Duration::from_secs(60);
/// How long a request is tried again.
const TRYING: Duration = Duration::from_secs(15);

/// Result of a storage operation.
pub(super) type Stored<T> = Result<T, Error>;

/// The storage.
pub(crate) struct Storage {
    place: Place,
}

enum Place {
    /// Made when it is first needed: a service nobody sends files to needs no directory.
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
    /// `directory` or `s3`.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.place {
            Place::Directory { .. } => "directory",
            Place::Bucket { .. } => "s3",
        }
    }

    /// Whether files could be kept: by writing where that costs nothing, else by reading.
    pub(crate) async fn check(&self) -> Stored<()> {
        match &self.place {
            // It is made with the first file.
            Place::Directory { path, .. } if !path.exists() => Ok(()),
            Place::Directory { .. } => {
                let (store, name) = (self.open().await?, self.root().join("check"));
                store.put(&name, Bytes::new().into()).await?;
                store.delete(&name).await
            }
            Place::Bucket { s3, prefix } => s3.list(Some(prefix)).try_next().await.map(|_| ()),
        }
    }

    /// The storage that is configured. Nothing is read or written yet.
    ///
    /// # Errors
    /// When the bucket's settings contradict each other.
    pub(crate) fn new(location: &AttachmentsLocation) -> Stored<Self> {
        let place = match location {
            AttachmentsLocation::Directory(path) => Place::Directory { path: path.clone(), opened: OnceCell::new() },
            AttachmentsLocation::Bucket { name, prefix } => {
                let client = ClientOptions::new().with_connect_timeout(CONNECTING).with_timeout(ANSWERING);
                let retry = RetryConfig { retry_timeout: TRYING, max_retries: 3, ..RetryConfig::default() };
                let s3 = AmazonS3Builder::from_env().with_bucket_name(name);
                // `from_env` has read whether plain HTTP is allowed; options of our own replace what it read.
                let allow_http = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|text| text.eq_ignore_ascii_case("true"));
                let s3 = s3.with_client_options(client.with_allow_http(allow_http)).with_retry(retry).build()?;
                Place::Bucket { s3: Arc::new(s3), prefix: Path::parse(prefix)? }
            }
        };
        Ok(Self { place })
    }

    /// A URL under which the file can be put into the bucket; `None` where there is no bucket. The signature covers its
    /// type; its length is looked at when the file is used.
    pub(super) async fn upload_url(&self, id: Uuid, mime_type: &str, lifetime: Duration) -> Stored<Option<String>> {
        let Place::Bucket { s3, .. } = &self.place else { return Ok(None) };
        let mime_type = HeaderValue::from_str(mime_type)
            .map_err(|error| Error::Generic { store: "S3", source: Box::new(error) })?;
        let options = SignedUrlOptions::new().with_signed_header(CONTENT_TYPE, mime_type);
        let url = s3.signed_url_opts(Method::PUT, &self.name(id, "upload"), lifetime, &options).await?;
        Ok(Some(url.into()))
    }

    /// Bytes of what a client has put into the bucket; `None` while there is nothing.
    pub(super) async fn uploaded(&self, id: Uuid) -> Stored<Option<u64>> {
        match &self.place {
            Place::Directory { .. } => Ok(None),
            Place::Bucket { s3, .. } => found(s3.head(&self.name(id, "upload")).await.map(|meta| meta.size)),
        }
    }

    /// Takes what a client has put into the bucket to where the client cannot change it any more.
    pub(super) async fn accept(&self, id: Uuid) -> Stored<()> {
        self.open().await?.copy(&self.name(id, "upload"), &self.name(id, "content")).await
    }

    /// Drops what a client has put into the bucket.
    pub(super) async fn drop_upload(&self, id: Uuid) -> Stored<()> {
        found(self.open().await?.delete(&self.name(id, "upload")).await).map(|_| ())
    }

    /// Stores a piece of an upload.
    pub(super) async fn put_piece(&self, id: Uuid, upload: Uuid, offset: u64, bytes: Vec<u8>) -> Stored<()> {
        self.open().await?.put(&self.piece(id, upload, offset), bytes.into()).await.map(|_| ())
    }

    /// Puts the pieces of an upload together.
    pub(super) async fn join_pieces(&self, id: Uuid, upload: Uuid, size: u64) -> Stored<()> {
        let store = self.open().await?;
        let mut whole = WriteMultipart::new(store.put_multipart(&self.name(id, "content")).await?);
        let mut offset = 0;
        while offset < size {
            let piece = match store.get(&self.piece(id, upload, offset)).await {
                Ok(piece) => piece.bytes().await,
                Err(error) => Err(error),
            };
            match piece {
                Ok(bytes) if !bytes.is_empty() => {
                    offset += bytes.len() as u64;
                    whole.wait_for_capacity(1).await?;
                    whole.put(bytes);
                }
                Ok(_) => {
                    whole.abort().await?;
                    return Err(Error::Generic { store: "pieces", source: "a piece is empty".into() });
                }
                Err(error) => {
                    whole.abort().await?;
                    return Err(error);
                }
            }
        }
        whole.finish().await.map(|_| ())
    }

    /// Drops the pieces of uploads.
    pub(super) async fn drop_pieces(&self, id: Uuid) -> Stored<()> {
        self.drop_below(&self.name(id, "pieces")).await
    }

    /// Bytes of the file from `offset` on, at most `most`.
    pub(super) async fn read(&self, id: Uuid, object: Object, offset: u64, most: u64) -> Stored<(Bytes, u64)> {
        let (store, name) = (self.open().await?, self.name(id, object.name()));
        let size = store.head(&name).await?.size;
        let end = offset.saturating_add(most).min(size);
        if offset >= end {
            return Ok((Bytes::new(), size));
        }
        Ok((store.get_range(&name, offset..end).await?, size))
    }

    /// Reads the whole of an object, which is known to be small.
    pub(super) async fn read_all(&self, id: Uuid, object: Object) -> Stored<Bytes> {
        self.open().await?.get(&self.name(id, object.name())).await?.bytes().await
    }

    /// Stores the small version of an image.
    pub(super) async fn put_preview(&self, id: Uuid, bytes: Vec<u8>) -> Stored<()> {
        self.open().await?.put(&self.name(id, Object::Preview.name()), bytes.into()).await.map(|_| ())
    }

    /// Drops the file.
    pub(super) async fn drop_content(&self, id: Uuid) -> Stored<()> {
        found(self.open().await?.delete(&self.name(id, Object::Content.name())).await).map(|_| ())
    }

    /// Drops all there is of an attachment.
    pub(super) async fn drop_all(&self, id: Uuid) -> Stored<()> {
        self.drop_below(&self.root().join(id.to_string())).await
    }

    async fn drop_below(&self, prefix: &Path) -> Stored<()> {
        let store = self.open().await?;
        let names = store.list(Some(prefix)).map_ok(|meta| meta.location).boxed();
        let mut dropped = store.delete_stream(names);
        while let Some(name) = dropped.next().await {
            found(name)?;
        }
        Ok(())
    }

    async fn open(&self) -> Stored<Arc<dyn ObjectStore>> {
        match &self.place {
            Place::Bucket { s3, .. } => Ok(s3.clone()),
            Place::Directory { path, opened } => {
                let open = || async {
                    let broken = |error| Error::Generic { store: "LocalFileSystem", source: Box::new(error) };
                    tokio::fs::create_dir_all(path).await.map_err(broken)?;
                    let files = LocalFileSystem::new_with_prefix(path)?;
                    let files: Arc<dyn ObjectStore> = Arc::new(files.with_automatic_cleanup(true).with_fsync(true));
                    Ok(files)
                };
                opened.get_or_try_init(open).await.cloned()
            }
        }
    }

    fn root(&self) -> Path {
        match &self.place {
            Place::Directory { .. } => Path::default(),
            Place::Bucket { prefix, .. } => prefix.clone(),
        }
    }

    fn name(&self, id: Uuid, object: &str) -> Path {
        self.root().join(id.to_string()).join(object)
    }

    fn piece(&self, id: Uuid, upload: Uuid, offset: u64) -> Path {
        self.name(id, "pieces").join(upload.to_string()).join(offset.to_string())
    }
}

/// What can be read of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    /// The file.
    Content,
    /// The small version of an image.
    Preview,
}

impl Object {
    fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Preview => "preview",
        }
    }
}

/// What is not there is no failure, but nothing.
fn found<T>(result: Stored<T>) -> Stored<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
