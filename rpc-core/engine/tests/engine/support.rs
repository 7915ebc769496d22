//! An engine on a database of its own, and scripted drivers.

use futures::FutureExt;
use futures::future::BoxFuture;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use threadline_engine::testing::text_message;
use threadline_engine::{
    DriverError, DriverSource, Engine, EngineConfig, NewThreadInput, RunContext, RunDriver, RunRequest, RunWriter,
    StartedRun, StoredRun, UsageMeter, UserMessageInput,
};
use threadline_runtime::Supervisor;
use threadline_schema::call::RequestContext;
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::runs::Usage;
use threadline_signals::Signals;
use threadline_store::config::DatabaseConfig;
use threadline_store::rows::{ItemRow, RunRow, ThreadRow};
use threadline_store::{Clock, Store, StoreResult};

/// An engine on a database of its own.
pub(crate) struct TestEngine {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) supervisor: Supervisor,
    pub(crate) user_id: UserId,
    pub(crate) path: PathBuf,
}

impl TestEngine {
    pub(crate) async fn start() -> Self {
        let path = std::env::temp_dir().join(format!("threadline-engine-{}.db", uuid::Uuid::new_v4()));
        let config = DatabaseConfig {
            pool_size: 4,
            pool_timeout: Duration::from_secs(5),
            auto_migrate: true,
            sqlite_full_sync: false,
            ..DatabaseConfig::at(format!("sqlite://{}", path.display()))
        };
        let store = Store::open(&config).await.unwrap();
        let clock = Arc::new(Clock::read(&store).await.unwrap());
        let supervisor = Supervisor::default();
        let signals = Signals::open(&config, None, &supervisor).unwrap();
        let engine_config = EngineConfig {
            run_timeout: Duration::from_secs(60),
            events_retention: Duration::from_secs(3600),
            journal_interval: Some(Duration::from_millis(20)),
            cancel_grace: Duration::from_secs(1),
            drivers: Arc::new(NoDrivers),
            on_unknown_outcome: Arc::new(|_| {}),
            renew_item: Arc::new(|_| {}),
        };
        let engine =
            Engine::start(engine_config, store.clone(), clock.clone(), signals, supervisor.clone()).await.unwrap();
        let email = format!("{}@example.com", uuid::Uuid::new_v4());
        let user_id = store.user_create(clock.new_id(), email, "hash".to_owned(), clock.now()).await.unwrap().id;
        Self { engine, store, clock, supervisor, user_id, path }
    }

    /// Creates a thread whose first message is answered by `driver`.
    pub(crate) async fn create_thread(&self, driver: impl RunDriver) -> StartedRun {
        let thread_id = self.clock.new_id::<ThreadId>();
        let input = NewThreadInput {
            thread_id,
            title: "New Chat".to_owned(),
            metadata: "{}".to_owned(),
            max_threads: None,
            temporary: false,
            message: Some(self.message(thread_id, "Hello")),
        };
        self.engine.create_thread(self.request(|_| Box::new(driver)), input).await.unwrap()
    }

    /// Sends a message to a thread.
    pub(crate) async fn send(
        &self,
        thread_id: ThreadId,
        make_driver: impl FnOnce(StoredRun<'_>) -> Box<dyn RunDriver> + Send + 'static,
    ) -> Result<StartedRun, threadline_engine::EngineError> {
        let message = self.message(thread_id, "Go on");
        self.engine.start_with_message(self.request(make_driver), thread_id, message).await
    }

    fn request(&self, make_driver: impl FnOnce(StoredRun<'_>) -> Box<dyn RunDriver> + Send + 'static) -> RunRequest {
        RunRequest {
            permit: self.engine.start_permit().unwrap(),
            user_id: self.user_id,
            key: None,
            context: RequestContext { request_id: "test".into(), hints: None, trace: None },
            make_driver: Box::new(make_driver),
        }
    }

    fn message(&self, thread_id: ThreadId, text: &str) -> UserMessageInput {
        let message = text_message(&self.clock, thread_id, text).unwrap();
        UserMessageInput { title: Some(text.to_owned()), ..message }
    }

    /// Waits until a message is accepted: the thread is not busy any more.
    pub(crate) async fn send_when_free(&self, thread_id: ThreadId, limit: Duration) -> StartedRun {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            match self.send(thread_id, |_| Box::new(Answer("Here I am."))).await {
                Ok(started) => return started,
                Err(error) if tokio::time::Instant::now() > deadline => panic!("the thread is still busy: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        self.supervisor.shut_down();
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.path.display()));
        }
    }
}

/// Goes on with no run.
struct NoDrivers;

impl DriverSource for NoDrivers {
    fn driver_to_continue<'a>(
        &'a self,
        _: &'a ThreadRow,
        _: &'a RunRow,
        _: &'a [ItemRow],
    ) -> BoxFuture<'a, StoreResult<Result<Box<dyn RunDriver>, &'static str>>> {
        futures::future::ready(Ok(Err("there is no other driver"))).boxed()
    }
}

/// Says one sentence.
pub(crate) struct Answer(pub(crate) &'static str);

impl RunDriver for Answer {
    fn agent(&self) -> &str {
        "test"
    }

    fn drive<'a>(&'a mut self, _: &'a RunContext, writer: &'a mut RunWriter) -> BoxFuture<'a, Result<(), DriverError>> {
        writer.write_text(self.0);
        futures::future::ready(Ok(())).boxed()
    }
}

/// Says one sentence, and panics when the run is about to be stored.
pub(crate) struct PanicAfterAnswer;

impl RunDriver for PanicAfterAnswer {
    fn agent(&self) -> &str {
        "test"
    }

    fn drive<'a>(&'a mut self, _: &'a RunContext, writer: &'a mut RunWriter) -> BoxFuture<'a, Result<(), DriverError>> {
        writer.write_text("This is all that is heard");
        // Long enough for the journal.
        tokio::time::sleep(Duration::from_millis(200)).map(|()| Ok(())).boxed()
    }

    fn finish(&mut self) -> Option<(Usage, UsageMeter)> {
        panic!("after the answer")
    }
}
