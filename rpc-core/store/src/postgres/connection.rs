//! A connection to PostgreSQL for diesel.
//!
//! diesel-async prepares every statement by name, also with its cache switched off, and keeps none of the server's
//! error codes. Behind a pooler in transaction mode a name is another session's, so there statements go unnamed here,
//! each with its values in one message and one round trip. And the codes decide which connections are used again.

use super::pool_state::{OpenConnection, PoolState};
use super::row::PgRow;
use super::sqlstate::{Verdict, is_undone, to_diesel, verdict};
use super::statement::PgStatement;
use super::{STATEMENT_TIMEOUT, TRANSACTION_PAUSE};
use diesel::connection::{CacheSize, DynInstrumentation, Instrumentation, InstrumentationEvent, StrQueryHelper};
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::{ConnectionError, ConnectionResult, QueryResult};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection, TransactionManager,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row, Statement};

/// Statements that a connection keeps prepared. The store has fewer; those of changing text are not kept.
const STATEMENTS: usize = 400;
/// A younger connection is used again although its server cannot write: else each write of a time without a primary
/// would cost a connection.
const MIN_AGE: Duration = Duration::from_millis(500);
/// Older connections are replaced: the name of the server may lead elsewhere by now, and sessions grow.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// So that connections that were made together are not replaced together.
const AGE_SPREAD: Duration = Duration::from_secs(5 * 60);
/// Connections that were idle for longer are replaced. Firewalls and poolers forget such, some without a word.
const MAX_IDLE: Duration = Duration::from_secs(5 * 60);

/// Begins a transaction. The store takes row locks and reads what others have committed before, so it needs this level;
/// the operator of the server may have chosen another default.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// How often a statement outside a transaction is sent again after the server has undone it because of a concurrent
/// one.
const REPETITIONS: u32 = 8;
/// Longest pause before the first repetition. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// A connection to PostgreSQL.
pub(crate) struct PgConn {
    client: Client,
    /// Statements that are prepared by name.
    prepared: HashMap<String, (Vec<Type>, Statement)>,
    transaction: AnsiTransactionManager,
    instrumentation: DynInstrumentation,
    pool: Arc<PoolState>,
    _counted: OpenConnection,
    is_pooler: bool,
    generation: u64,
    created: Instant,
    max_age: Duration,
    last_used: Instant,
    /// A statement has been sent, and its answer has not been read to the end.
    is_waiting: bool,
    health: Health,
}

/// Whether a connection can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Good,
    /// Its server cannot write, or its pooler has lost its server.
    Doubtful,
    Broken,
}

/// What a statement came to.
struct Answer {
    rows: Vec<Row>,
    affected: usize,
}

impl PgConn {
    pub(super) fn new(client: Client, is_pooler: bool, pool: Arc<PoolState>) -> Self {
        let created = Instant::now();
        Self {
            client,
            prepared: HashMap::new(),
            transaction: AnsiTransactionManager::default(),
            instrumentation: DynInstrumentation::default_instrumentation(),
            is_pooler,
            generation: pool.generation(),
            _counted: OpenConnection::new(pool.clone()),
            pool,
            created,
            max_age: MAX_AGE + AGE_SPREAD.mul_f64(random()),
            last_used: created,
            is_waiting: false,
            health: Health::Good,
        }
    }

    /// Returns the client of tokio-postgres.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns whether a pooler answers in the place of the server.
    pub(crate) fn is_pooler(&self) -> bool {
        self.is_pooler
    }

    /// Returns whether statements are prepared by name.
    pub(crate) fn prepares(&self) -> bool {
        self.pool.prepares(self.is_pooler)
    }

    /// How long it was not used.
    pub(super) fn idle(&self) -> Duration {
        self.last_used.elapsed()
    }

    /// Returns why it is not to be used again.
    pub(super) fn unusable(&mut self) -> Option<&'static str> {
        let age = self.created.elapsed();
        let is_doubtful = self.health == Health::Doubtful || self.generation != self.pool.generation();
        if self.client.is_closed() || self.health == Health::Broken {
            Some("it is closed or has failed")
        } else if self.is_waiting {
            Some("an answer to it was not read")
        } else if AnsiTransactionManager::is_broken_transaction_manager(self) {
            Some("its transaction was left open")
        } else if is_doubtful && age >= MIN_AGE {
            Some("it, or another like it, leads to no primary")
        } else if age > self.max_age {
            Some("it is old")
        } else if self.idle() > MAX_IDLE {
            Some("it was idle for long")
        } else {
            None
        }
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn check(&mut self) -> Result<(), tokio_postgres::Error> {
        self.is_waiting = true;
        self.client.check_connection().await?;
        self.is_waiting = false;
        self.last_used = Instant::now();
        Ok(())
    }

    /// Others of the pool are as this one was found to be.
    pub(super) fn doubt_all(&self) {
        self.pool.doubt(self.generation);
    }

    async fn run(&mut self, statement: PgStatement) -> QueryResult<Answer> {
        let by_name = statement.is_fixed && self.prepares();
        let shown = StrQueryHelper::new(&statement.sql);
        self.instrumentation.on_connection_event(InstrumentationEvent::start_query(&shown));
        self.is_waiting = true;
        let mut answer = self.send(&statement, by_name).await;
        // The session of a pooler can have another default isolation level, at which a concurrent change is an error.
        for repetition in 0..REPETITIONS {
            match &answer {
                Err(error) if is_undone(error) && !self.is_in_transaction() => {
                    // Of different lengths, so that two statements do not disturb each other again.
                    tokio::time::sleep((FIRST_PAUSE * (1 << repetition)).mul_f64(random())).await;
                    answer = self.send(&statement, by_name).await;
                }
                _ => break,
            }
        }
        let answer = match answer {
            Err(error) if self.judge(&error, by_name) == Verdict::NotPrepared && !self.is_in_transaction() => {
                // It was not executed: the server did not know it.
                Self::run_unnamed(&self.client, &statement).await.inspect_err(|error| {
                    self.judge(error, false);
                })
            }
            other => other,
        };
        self.is_waiting = false;
        self.last_used = Instant::now();
        answer.map_err(|error| to_diesel(&error, by_name))
    }

    async fn send(&mut self, statement: &PgStatement, by_name: bool) -> Result<Answer, tokio_postgres::Error> {
        if by_name { self.run_prepared(statement).await } else { Self::run_unnamed(&self.client, statement).await }
    }

    async fn run_unnamed(client: &Client, statement: &PgStatement) -> Result<Answer, tokio_postgres::Error> {
        let values = statement.parameters.iter().map(|(value, r#type)| (value, r#type.clone()));
        Answer::read(client.query_typed_raw(&statement.sql, values).await?).await
    }

    async fn run_prepared(&mut self, statement: &PgStatement) -> Result<Answer, tokio_postgres::Error> {
        let types = statement.types();
        let prepared = match self.prepared.get(&statement.sql) {
            Some((known, prepared)) if *known == types => prepared.clone(),
            _ => {
                let prepared = self.client.prepare_typed(&statement.sql, &types).await?;
                if self.prepared.len() >= STATEMENTS {
                    self.prepared.clear();
                }
                self.prepared.insert(statement.sql.clone(), (types, prepared.clone()));
                prepared
            }
        };
        let values = statement.parameters.iter().map(|(value, _)| value);
        Answer::read(self.client.query_raw(&prepared, values).await?).await
    }

    /// Takes note of what an error says about this connection and others like it.
    fn judge(&mut self, error: &tokio_postgres::Error, by_name: bool) -> Verdict {
        let verdict = verdict(error, by_name);
        match verdict {
            Verdict::Keep => {}
            Verdict::Doubt => {
                self.health = self.health.max(Health::Doubtful);
                if self.created.elapsed() >= MIN_AGE {
                    self.doubt_all();
                }
            }
            Verdict::NotPrepared => {
                self.prepared.clear();
                self.health = self.health.max(Health::Doubtful);
                self.pool.found_names_lost();
            }
            Verdict::Discard => {
                self.health = Health::Broken;
                self.doubt_all();
            }
        }
        verdict
    }

    fn is_in_transaction(&mut self) -> bool {
        let status = AnsiTransactionManager::transaction_manager_status_mut(self);
        !matches!(status.transaction_depth(), Ok(None))
    }
}

impl Answer {
    async fn read(rows: tokio_postgres::RowStream) -> Result<Self, tokio_postgres::Error> {
        let mut stream = std::pin::pin!(rows);
        let mut rows = Vec::new();
        while let Some(row) = stream.as_mut().try_next().await? {
            rows.push(row);
        }
        let affected = stream.rows_affected().unwrap_or_default();
        Ok(Self { rows, affected: usize::try_from(affected).unwrap_or(usize::MAX) })
    }
}

impl PgConn {
    /// Begins a transaction that may write.
    pub(crate) async fn begin(&mut self) -> QueryResult<()> {
        if !self.is_pooler {
            return AnsiTransactionManager::begin_transaction_sql(self, BEGIN).await;
        }
        // The session is the pooler's, and so are its settings; those of a transaction are ours.
        let begin = format!(
            "{BEGIN}; SET LOCAL statement_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
            STATEMENT_TIMEOUT.as_millis(),
            TRANSACTION_PAUSE.as_millis()
        );
        AnsiTransactionManager::begin_transaction_sql(self, &begin).await
    }
}

/// Returns a random number from 0 to 1.
fn random() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}

impl SimpleAsyncConnection for PgConn {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.is_waiting = true;
        let done = self.client.batch_execute(query).await;
        self.is_waiting = false;
        self.last_used = Instant::now();
        done.map_err(|error| {
            self.judge(&error, false);
            to_diesel(&error, false)
        })
    }
}

impl AsyncConnectionCore for PgConn {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Self::Stream<'conn, 'query>>>;
    type Stream<'conn, 'query> = BoxStream<'static, QueryResult<PgRow>>;
    type Row<'conn, 'query> = PgRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let statement = PgStatement::new(&source.as_query());
        async move {
            let answer = self.run(statement?).await?;
            Ok(futures::stream::iter(answer.rows.into_iter().map(|row| Ok(PgRow(row)))).boxed())
        }
        .boxed()
    }

    fn execute_returning_count<'conn, 'query, T>(&'conn mut self, source: T) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let statement = PgStatement::new(&source);
        async move { Ok(self.run(statement?).await?.affected) }.boxed()
    }
}

impl AsyncConnection for PgConn {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(_: &str) -> ConnectionResult<Self> {
        // A URL alone says nothing about TLS and time limits.
        Err(ConnectionError::BadConnection("connections are made by the pool".to_owned()))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transaction
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut *self.instrumentation
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.instrumentation = instrumentation.into();
    }

    fn set_prepared_statement_cache_size(&mut self, _: CacheSize) {
        // The pool's setting decides.
    }
}
