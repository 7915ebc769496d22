//! [`Store`]: opens either database, and reports on its connections.

use super::connections::Connections;
use super::error::StoreResult;
use super::postgres::PgManager;
use super::query::RunQueryDsl;
use super::sqlite::{LiteManager, OpenFile, Writer};
use super::unit::read;
use super::{migrate, postgres, sqlite};
use crate::config::DatabaseConfig;
use diesel::prelude::*;
use std::sync::Arc;
use threadline_schema::db::tables::users;
use threadline_schema::ids::UserId;

/// The database. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    db: Arc<Db>,
}

/// Use of the connections. On SQLite, the writer and the readers are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Open connections.
    pub size: usize,
    /// Connections in use.
    pub in_use: usize,
    /// Units of work that wait for a connection.
    pub waiting: usize,
}

pub(super) enum Db {
    Pg(Connections<PgManager>),
    Lite(Arc<Lite>),
}

impl Db {
    /// Returns the name of the system in traces.
    pub(super) fn system(&self) -> &'static str {
        match self {
            Self::Pg(_) => "postgresql",
            Self::Lite(_) => "sqlite",
        }
    }
}

/// An SQLite file.
pub(super) struct Lite {
    pub(super) readers: Connections<LiteManager>,
    pub(super) writer: Writer,
    /// `None` before the tables are those of this binary.
    pub(super) file: Option<OpenFile>,
    #[cfg(feature = "simulation")]
    pub(super) simulation: Option<Arc<super::simulation::Simulation>>,
}

impl Lite {
    /// Opens no connection yet.
    pub(super) fn new(path: &str, config: &DatabaseConfig, open_on: sqlite::OpenOn) -> StoreResult<Self> {
        Ok(Self {
            readers: sqlite::readers(path, config, open_on)?,
            writer: Writer::new(path, sqlite::Settings::of(config), open_on),
            file: None,
            #[cfg(feature = "simulation")]
            simulation: None,
        })
    }
}

impl Store {
    /// Connects, and applies the pending migrations. Without `auto_migrate` it checks instead that none is pending.
    ///
    /// # Errors
    /// [`StoreError::Config`](super::StoreError::Config) for a URL that cannot be used,
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable) when the database does not answer,
    /// [`StoreError::Schema`](super::StoreError::Schema) when its tables are not those of this binary.
    pub async fn open(config: &DatabaseConfig) -> StoreResult<Self> {
        let prepare_schema = async {
            if config.auto_migrate { migrate::up(config).await.map(drop) } else { migrate::check(config).await }
        };
        let db = if config.is_postgres() {
            let connections = postgres::connections(config)?;
            prepare_schema.await?;
            if config.direct_url.is_some() {
                // The schema was examined past the pooler.
                postgres::check(config).await?;
            }
            Db::Pg(connections)
        } else {
            let path = sqlite::file(config)?;
            let mut lite = Lite::new(&path, config, sqlite::OpenOn::BlockingThread)?;
            prepare_schema.await?;
            lite.file = Some(OpenFile::at(path).await?);
            Db::Lite(Arc::new(lite))
        };
        Ok(Self { db: Arc::new(db) })
    }

    /// Returns the name of the database system: `sqlite` or `postgresql`.
    pub fn kind(&self) -> &'static str {
        match &*self.db {
            Db::Pg(_) => "postgresql",
            Db::Lite(_) => "sqlite",
        }
    }

    /// Checks that the database answers a query, and that the file of SQLite is still the one that was opened.
    ///
    /// # Errors
    /// If the database does not answer, its tables are missing, or its file was moved, replaced or deleted.
    pub async fn ping(&self) -> StoreResult<()> {
        if let Db::Lite(lite) = &*self.db
            && let Some(file) = &lite.file
        {
            file.check().await?;
        }
        read!(self, |c| {
            users::table.select(users::id).first::<UserId>(c).await.optional()?;
            Ok(())
        })
    }

    /// Returns how many connections are open, in use and waited for.
    pub fn pool_status(&self) -> PoolStatus {
        let count = |status: deadpool::managed::Status| PoolStatus {
            size: status.size,
            in_use: status.size.saturating_sub(status.available),
            waiting: status.waiting,
        };
        match &*self.db {
            Db::Pg(connections) => count(connections.status()),
            Db::Lite(lite) => {
                let (readers, writer) = (count(lite.readers.status()), lite.writer.status());
                PoolStatus {
                    size: readers.size + usize::from(writer.is_open),
                    in_use: readers.in_use + usize::from(writer.is_writing),
                    waiting: readers.waiting + writer.waiting,
                }
            }
        }
    }

    /// Empties SQLite's write-ahead log, which has pages as they were before a deletion. Returns whether it did: not
    /// while another connection reads an older state. PostgreSQL has no file of this kind.
    ///
    /// # Errors
    /// If the database cannot be read or written.
    pub async fn empty_log(&self) -> StoreResult<bool> {
        match &*self.db {
            Db::Pg(_) => Ok(true),
            Db::Lite(lite) => sqlite::empty_log(&lite.readers.pool).await,
        }
    }

    pub(super) fn db(&self) -> &Db {
        &self.db
    }

    pub(super) fn is_postgres(&self) -> bool {
        matches!(&*self.db, Db::Pg(_))
    }

    /// Returns whether other processes can use the database at the same time.
    pub fn is_shared(&self) -> bool {
        match &*self.db {
            Db::Pg(_) => true,
            #[cfg(feature = "simulation")]
            Db::Lite(lite) => lite.simulation.is_some(),
            #[cfg(not(feature = "simulation"))]
            Db::Lite(_) => false,
        }
    }

    #[cfg(feature = "simulation")]
    pub(super) fn from_db(db: Db) -> Self {
        Self { db: Arc::new(db) }
    }

    #[cfg(feature = "simulation")]
    pub(super) fn simulation(&self) -> Option<&Arc<super::simulation::Simulation>> {
        match &*self.db {
            Db::Pg(_) => None,
            Db::Lite(lite) => lite.simulation.as_ref(),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("kind", &self.kind()).field("pool", &self.pool_status()).finish()
    }
}
