//! Clients: they send messages, cancel, follow, disconnect and resume, each on any process.

use super::driver::PlannedDriver;
use super::fold::Fold;
use super::process::{Health, Process};
use super::scenario::World;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use threadline_engine::testing::text_message;
use threadline_engine::{EngineError, RunRequest};
use threadline_schema::call::RequestContext;
use threadline_schema::frame::Frame;
use threadline_schema::ids::{RunId, ThreadId};
use threadline_schema::runs::After;
use threadline_store::{IdempotencyKey, StoreError};
use tokio::time::{Instant, sleep, timeout};

/// What clients were told.
#[derive(Default)]
pub(crate) struct Record {
    /// Each event that any client has seen, by run and number.
    pub(crate) events: Mutex<BTreeMap<(RunId, u64), String>>,
    /// Messages that were acknowledged: thread, text and run.
    pub(crate) acknowledged: Mutex<Vec<(ThreadId, String, RunId)>>,
    /// What each follower knows at the end of its run.
    pub(crate) folds: Mutex<Vec<(RunId, Fold)>>,
    /// Threads of this scenario.
    pub(crate) threads: Mutex<Vec<ThreadId>>,
}

/// Talks in one thread.
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) thread_id: ThreadId,
    pub(crate) rng: Rng,
    pub(crate) sent: u32,
}

impl Client {
    pub(crate) async fn run(mut self, end: Instant) {
        self.world.record.threads.lock().unwrap().push(self.thread_id);
        let mut last_run = None;
        while Instant::now() < end {
            match self.rng.u32(0..100) {
                0..65 => {
                    if let Some(run_id) = self.send(end).await {
                        last_run = Some(run_id);
                        for _ in 0..self.rng.u32(1..=2) {
                            let follower = tokio::spawn(follow(self.world.clone(), run_id, self.rng.fork()));
                            self.world.followers.lock().unwrap().push(follower);
                        }
                    }
                }
                65..80 => {
                    if let Some(run_id) = last_run {
                        let process = self.world.any_process(&mut self.rng);
                        let cancel = process.engine.cancel(self.world.user_id, run_id);
                        let _ = timeout(Duration::from_secs(self.rng.u64(1..30)), cancel).await;
                    }
                }
                _ => {}
            }
            sleep(Duration::from_millis(self.rng.u64(0..2_500))).await;
        }
    }

    /// Sends a message until it is acknowledged or refused: again under the same key when the reply was lost.
    pub(crate) async fn send(&mut self, end: Instant) -> Option<RunId> {
        self.sent += 1;
        let text = format!("message {} of {}", self.sent, self.thread_id);
        loop {
            let process = self.world.any_process(&mut self.rng);
            let patience = Duration::from_secs(self.rng.u64(2..12));
            match timeout(patience, self.submit(process, &text)).await {
                Ok(Ok(run_id)) => {
                    self.world.record.acknowledged.lock().unwrap().push((self.thread_id, text, run_id));
                    self.world.totals.lock().unwrap().runs += 1;
                    return Some(run_id);
                }
                Ok(Err(EngineError::Store(StoreError::Busy))) => return None,
                _ if Instant::now() >= end => return None,
                _ => sleep(Duration::from_millis(self.rng.u64(0..1_000))).await,
            }
        }
    }

    async fn submit(&mut self, process: Arc<Process>, text: &str) -> Result<RunId, EngineError> {
        if !process.is_alive().await {
            return Err(EngineError::ShuttingDown);
        }
        let permit = process.engine.start_permit()?;
        let input = text_message(&process.clock, self.thread_id, text).unwrap();
        let key = Some(IdempotencyKey { key: text.to_owned(), fingerprint: text.to_owned() });
        let (rng, deps) = (self.rng.fork(), process.driver_deps(&self.world.executions));
        let request = RunRequest {
            permit,
            user_id: self.world.user_id,
            key,
            context: RequestContext { request_id: "simulation".into(), hints: None, trace: None },
            make_driver: Box::new(move |_| Box::new(PlannedDriver { deps, rng })),
        };
        let started = process.engine.start_with_message(request, self.thread_id, input).await?;
        // A frozen process sends no reply.
        if !process.is_alive().await {
            std::future::pending::<()>().await;
        }
        Ok(started.run.unwrap().id)
    }
}

/// Follows a run to its end, across disconnects and processes.
pub(crate) async fn follow(world: Arc<World>, run_id: RunId, mut rng: Rng) {
    let (mut fold, mut cursor) = (Fold::default(), 0);
    let disconnects = rng.u32(0..15);
    while fold.terminal.is_none() {
        let process = world.any_process(&mut rng);
        let after = (cursor > 0).then_some(After::Seq(cursor));
        let subscribe = process.engine.subscribe_run(world.user_id, run_id, after, Duration::from_secs(3_600));
        let Ok(Ok(mut feed)) = timeout(Duration::from_secs(8), subscribe).await else {
            sleep(Duration::from_millis(rng.u64(50..1_500))).await;
            continue;
        };
        world.totals.lock().unwrap().resumes += 1;
        loop {
            let Ok(Some(frame)) = timeout(Duration::from_secs(20), feed.next()).await else { break };
            match process.health() {
                Health::Running => {}
                Health::Frozen => {
                    // Nothing arrives from it. Some wait, some give up.
                    if rng.bool() || !process.is_alive().await {
                        break;
                    }
                }
                Health::Dead => break,
            }
            let (seq, event) = match frame {
                Frame::Run { seq, event, .. } if seq > cursor || event.kind().is_terminal() => (seq, event),
                // The error event of a feed that ends early.
                Frame::Run { .. } | Frame::Side(_) => break,
            };
            record(&world, run_id, seq, &event.json());
            cursor = seq;
            fold.apply(&event);
            if rng.u32(0..200) < disconnects {
                break;
            }
        }
    }
    world.record.folds.lock().unwrap().push((run_id, fold));
}

fn record(world: &World, run_id: RunId, seq: u64, event: &str) {
    let mut events = world.record.events.lock().unwrap();
    match events.get(&(run_id, seq)) {
        Some(known) => assert_eq!(known, event, "number {seq} of run {run_id} stands for two events"),
        None => {
            events.insert((run_id, seq), event.to_owned());
            world.totals.lock().unwrap().events += 1;
        }
    }
}
