//! What the processes on one database tell each other, so that none has to poll often.
//!
//! Best effort: a signal that is lost costs time, never an event. So nothing here fails or blocks, and while no server
//! carries signals they are dropped. Who waits for one looks at the database now and then all the same.
//!
//! Growth is told of those runs only that a process elsewhere follows. Followers say so when they begin and again and
//! again, and those who have not heard of it for a while keep silent.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

mod followers;
mod message;
mod outage;
mod outbox;
mod postgres;
mod redis;
mod redis_carrier;
#[cfg(feature = "simulation")]
pub mod simulation;
#[cfg(test)]
mod tests;

pub use self::message::Grown;
pub use self::redis::{Redis, RedisConfig, RedisUrlError};

use self::followers::{Followers, Mailbox};
use self::message::Said;
use self::outbox::Outbox;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::{Supervisor, TaskKind};
use threadline_store::config::DatabaseConfig;
use threadline_store::rows::EventRow;
use threadline_store::{Listener, StoreResult};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Commands that wait for a receiver that is behind; then it learns that it has missed some.
const COMMANDS_WAITING: usize = 1_024;
/// How often followers say that they still are.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
/// When a new follower is told to look for itself: events may have come before others knew of it.
const FIRST_LOOK: Duration = Duration::from_millis(200);

/// What another process said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A run has begun in a thread.
    Began {
        /// The thread.
        thread_id: Uuid,
        /// The run.
        run_id: Uuid,
    },
    /// A thread is another: its title, for instance, or an item of it.
    Changed {
        /// The thread.
        thread_id: Uuid,
        /// The item.
        item_id: Option<Uuid>,
    },
    /// A run's user asks for its end.
    Cancel {
        /// The run.
        run_id: Uuid,
    },
}

/// The way to the other processes on this database.
pub struct Signals {
    shared: Arc<Shared>,
    carrier: Option<AbortOnDropHandle<Option<()>>>,
}

/// What the carrier and those it works for share.
struct Shared {
    /// By which a process knows its own words.
    me: Uuid,
    outbox: Outbox,
    followers: Followers,
    commands: broadcast::Sender<Command>,
    access: broadcast::Sender<Uuid>,
}

/// Tells the other processes whose access has changed, and hears it from them.
pub struct AccessSignals {
    shared: Arc<Shared>,
}

/// What other processes say about access.
pub struct AccessFeed {
    received: broadcast::Receiver<Uuid>,
}

impl AccessSignals {
    /// Tells whose access has changed.
    pub fn changed(&self, subject_id: Uuid) {
        self.shared.outbox.say(Said::Access { subject_id });
    }

    /// Returns what other processes say from now on.
    pub fn subscribe(&self) -> AccessFeed {
        AccessFeed { received: self.shared.access.subscribe() }
    }
}

impl AccessFeed {
    /// Waits for the next word: whose access has changed; `None` if words were missed. Cancel safe.
    pub async fn next(&mut self) -> Option<Uuid> {
        match self.received.recv().await {
            Ok(subject_id) => Some(subject_id),
            Err(broadcast::error::RecvError::Lagged(_)) => None,
            // Nobody can say anything any more.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Signals {
    /// Begins to connect, and returns at once. Redis carries the signals where there is one, else LISTEN and NOTIFY.
    /// SQLite has one process, which has nobody to tell.
    ///
    /// # Errors
    /// When the database's URL cannot be used.
    pub fn open(database: &DatabaseConfig, redis: Option<&Redis>, supervisor: &Supervisor) -> StoreResult<Self> {
        let shared = Arc::new(Shared {
            me: Uuid::new_v4(),
            outbox: Outbox::default(),
            followers: Followers::default(),
            commands: broadcast::Sender::new(COMMANDS_WAITING),
            access: broadcast::Sender::new(COMMANDS_WAITING),
        });
        let carrier = Listener::of(database)?.map(|listener| {
            let (shared, redis) = (shared.clone(), redis.cloned());
            AbortOnDropHandle::new(supervisor.spawn_with_result(TaskKind::SignalCarrier, async move {
                let carry = async {
                    match redis {
                        Some(redis) => redis_carrier::carry(&shared, redis).await,
                        None => postgres::carry(&shared, listener).await,
                    }
                };
                tokio::join!(carry, shared.remind());
            }))
        });
        Ok(Self { shared, carrier })
    }

    /// Returns the part that is about access.
    pub fn access(&self) -> AccessSignals {
        AccessSignals { shared: self.shared.clone() }
    }

    /// Whether there can be anybody to tell. Where there cannot, nothing needs to be polled for either.
    pub fn has_carrier(&self) -> bool {
        self.carrier.is_some()
    }

    /// Whether another process follows a run: only then does [`grown`](Self::grown) tell anybody.
    pub fn is_followed(&self, run_id: Uuid) -> bool {
        self.shared.outbox.cares(run_id)
    }

    /// A run's log has grown, by the rows just committed. They travel along where Redis carries.
    pub fn grown(&self, run_id: Uuid, last_seq: u64, ended: bool, rows: &[EventRow]) {
        self.shared.outbox.grown(run_id, last_seq, ended, rows);
    }

    /// A run has begun in a thread.
    pub fn began(&self, thread_id: Uuid, run_id: Uuid) {
        self.shared.outbox.say(Said::Began { thread_id, run_id });
    }

    /// A thread is another, or an item of it.
    pub fn changed(&self, thread_id: Uuid, item_id: Option<Uuid>) {
        self.shared.outbox.say(Said::Changed { thread_id, item_id });
    }

    /// A run's user asks for its end, and its process is another.
    pub fn cancel(&self, run_id: Uuid) {
        self.shared.outbox.say(Said::Cancel { run_id });
    }

    /// Follows a run of another process, until the follower is dropped.
    pub fn follow(&self, run_id: Uuid) -> Follower {
        let (mailbox, first) = self.shared.followers.add(run_id);
        if first {
            self.shared.outbox.say(Said::Follow { run_id });
        }
        Follower { run_id, mailbox, shared: self.shared.clone(), first_look: Some(Instant::now() + FIRST_LOOK) }
    }

    /// What other processes say from now on. What this one says is not among it.
    pub fn commands(&self) -> broadcast::Receiver<Command> {
        self.shared.commands.subscribe()
    }
}

/// Somebody who wants to hear how a run grows.
pub struct Follower {
    run_id: Uuid,
    mailbox: Arc<Mailbox>,
    shared: Arc<Shared>,
    first_look: Option<Instant>,
}

impl Follower {
    /// Waits until the run has grown, or for a word that it may have: a [`Grown`] of zeros. What was said since the last
    /// call comes in one. May be dropped and called again.
    pub async fn next(&mut self) -> Grown {
        loop {
            if let Some(grown) = self.mailbox.take() {
                return grown;
            }
            match self.first_look {
                Some(at) => tokio::select! {
                    biased;
                    () = self.mailbox.filled() => {}
                    () = tokio::time::sleep_until(at) => {
                        self.first_look = None;
                        return Grown::default();
                    }
                },
                None => self.mailbox.filled().await,
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.followers.remove(self.run_id, &self.mailbox);
    }
}

impl Shared {
    /// A connection that both speaks and hears is there.
    fn connected(&self) {
        self.outbox.open();
        self.announce();
        self.followers.alert();
    }

    /// Says which runs this process follows.
    fn announce(&self) {
        for run_id in self.followers.runs() {
            self.outbox.say(Said::Follow { run_id });
        }
    }

    /// Keeps what was announced from being forgotten by others, and forgets what others have not repeated.
    async fn remind(&self) {
        loop {
            tokio::time::sleep(ANNOUNCE_EVERY).await;
            self.announce();
            self.outbox.tidy();
        }
    }

    /// Takes in what another process said.
    fn hear(&self, text: &str) {
        for said in message::unpack(self.me, text) {
            match said {
                // Nobody may be listening to commands, which is no error.
                Said::Began { thread_id, run_id } => drop(self.commands.send(Command::Began { thread_id, run_id })),
                Said::Changed { thread_id, item_id } => {
                    drop(self.commands.send(Command::Changed { thread_id, item_id }));
                }
                Said::Cancel { run_id } => drop(self.commands.send(Command::Cancel { run_id })),
                Said::Access { subject_id } => drop(self.access.send(subject_id)),
                Said::Follow { run_id } => self.outbox.followed(run_id),
                Said::Grown { run_id, last_seq, ended } => {
                    self.followers.tell(run_id, Grown { last_seq, ended, rows: Vec::new() });
                }
            }
        }
    }
}
