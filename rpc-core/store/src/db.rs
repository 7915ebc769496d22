//! [`Store`]: opens either database, and reports on its connections.

use super::connections::Connections;
use super::error::StoreResult;
use super::postgres::PgManager;
use super::sqlite::LiteManager;
use super::unit::read;
use super::{migrate, postgres, sqlite};
use crate::config::DatabaseConfig;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
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
    Lite {
        read: Connections<LiteManager>,
        write: Connections<LiteManager>,
        #[cfg(feature = "simulation")]
        simulation: Option<Arc<super::simulation::Simulation>>,
    },
}

impl Store {
    /// Connects, and applies the pending migrations. Without `auto_migrate` it checks instead that none is pending.
    ///
    /// # Errors
    /// [`StoreError::Config`](super::StoreError::Config) for a URL that cannot be used,
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable) when the database does not answer,
    /// [`StoreError::Schema`](super::StoreError::Schema) when its tables are not those of this binary.
    pub async fn open(config: &DatabaseConfig) -> StoreResult<Self> {
        let db = if config.is_postgres() {
            Db::Pg(postgres::connections(config)?)
        } else {
            let path = sqlite::file(config)?;
            Db::Lite {
                read: sqlite::connections(&path, sqlite::Role::Reader, config, sqlite::OpenOn::BlockingThread)?,
                write: sqlite::connections(&path, sqlite::Role::Writer, config, sqlite::OpenOn::BlockingThread)?,
                #[cfg(feature = "simulation")]
                simulation: None,
            }
        };
        if config.auto_migrate {
            migrate::up(config).await?;
        } else {
            migrate::check(config).await?;
        }
        Ok(Self { db: Arc::new(db) })
    }

    /// Returns the name of the database system: `sqlite` or `postgresql`.
    pub fn kind(&self) -> &'static str {
        match &*self.db {
            Db::Pg(_) => "postgresql",
            Db::Lite { .. } => "sqlite",
        }
    }

    /// Checks that the database answers a query.
    ///
    /// # Errors
    /// If the database does not answer, or its tables are missing.
    pub async fn ping(&self) -> StoreResult<()> {
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
            Db::Pg(connections) => count(connections.pool.status()),
            Db::Lite { read, write, .. } => {
                let (read, write) = (count(read.pool.status()), count(write.pool.status()));
                PoolStatus {
                    size: read.size + write.size,
                    in_use: read.in_use + write.in_use,
                    waiting: read.waiting + write.waiting,
                }
            }
        }
    }

    pub(super) fn db(&self) -> &Db {
        &self.db
    }

    /// Returns whether other processes can use the database at the same time.
    pub fn is_shared(&self) -> bool {
        match &*self.db {
            Db::Pg(_) => true,
            #[cfg(feature = "simulation")]
            Db::Lite { simulation, .. } => simulation.is_some(),
            #[cfg(not(feature = "simulation"))]
            Db::Lite { .. } => false,
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
            Db::Lite { simulation, .. } => simulation.as_ref(),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("kind", &self.kind()).field("pool", &self.pool_status()).finish()
    }
}
