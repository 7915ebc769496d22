//! Creates threads, with the first message and its run if there is one.

use super::db::Store;
use super::error::{Entity, Limit, StoreError, StoreResult};
use super::idempotency::{IdempotencyKey, IdempotencySteps};
use super::query::RunQueryDsl;
use super::row_locks::RowLocks;
use super::rows::{IdempotencyKeyRow, RunRow, ThreadRow};
use super::run_start::{NewMessage, NewRun, RunStartSteps};
use super::thread_writes::ThreadWrites;
use super::unit::{change, steps, tx};
use super::usage::UsageSteps;
use diesel::prelude::*;
use threadline_schema::db::tables::{threads, users};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::threads::ThreadState;

/// A thread to create.
#[derive(Debug, Clone)]
pub struct NewThread {
    /// Id of the thread.
    pub id: ThreadId,
    /// The owner.
    pub user_id: UserId,
    /// How many threads the user may have that are not archived, this one included; `None` is any number.
    pub max_sessions: Option<u32>,
    /// Title, unless the first message has one.
    pub title: String,
    /// JSON object.
    pub metadata: String,
    /// Whether it is listed nowhere, and deleted some hours after its last use. It does not count towards the limit.
    pub temporary: bool,
    /// Time of creation.
    pub created_at: UtcTime,
    /// The first message, and the run that answers it.
    pub first_message: Option<(NewMessage, NewRun)>,
    /// The idempotency key of the request.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A thread that has been created.
#[derive(Debug, Clone)]
pub struct ThreadCreated {
    /// The thread.
    pub thread: ThreadRow,
    /// The run that answers its first message.
    pub run: Option<RunRow>,
    /// Whether an earlier request with the same idempotency key has created it.
    pub replayed: bool,
}

steps! {
    trait CreateSteps {
        /// Inserts a thread, and counts it unless it is temporary. Returns `false`, and does nothing, if its user does
        /// not exist or has `max` threads.
        fn insert_thread(c, thread: &ThreadRow, max: i64) -> bool {
            if !thread.temporary {
                return c.insert_counted(thread, max).await;
            }
            let user: Option<UserId> = users::table.find(thread.user_id).select(users::id).first(c).await.optional()?;
            if user.is_some() {
                diesel::insert_into(threads::table).values(thread).execute(c).await?;
            }
            Ok(user.is_some())
        }

        /// Explains why a thread was not counted.
        fn why_not_counted(c, user_id: UserId) -> StoreError {
            let user: Option<UserId> = users::table.find(user_id).select(users::id).first(c).await.optional()?;
            Ok(match user {
                Some(_) => StoreError::LimitReached(Limit::Threads),
                None => StoreError::NotFound(Entity::User),
            })
        }
    }
}

impl Store {
    /// Creates a thread, with the first message and its run if there is one, or nothing.
    ///
    /// # Errors
    /// - [`StoreError::LimitReached`] if the user has `max_sessions` threads, or too little budget left
    /// - [`StoreError::NotFound`] if there is no such user
    /// - [`Conflict::KeyReused`](super::Conflict::KeyReused) if another request has used the idempotency key
    /// - [`Conflict::AttachmentUsed`](super::Conflict::AttachmentUsed) if an attachment of the message is not free
    pub async fn thread_create(&self, new: NewThread) -> StoreResult<ThreadCreated> {
        if new.first_message.is_none() && new.idempotency_key.is_none() {
            return change!(self, |c| {
                let thread = new.row();
                if !c.insert_thread(&thread, new.max()).await? {
                    return Err(c.why_not_counted(new.user_id).await?);
                }
                Ok(ThreadCreated { thread, run: None, replayed: false })
            });
        }
        tx!(self, |c| {
            if let Some(row) = new.idempotency_key_row()
                && let Some((thread, run)) = c.claim_key(row).await?
            {
                return Ok(ThreadCreated { thread, run, replayed: true });
            }
            if let Some((message, _)) = &new.first_message {
                // Attachments are locked before their user, as everywhere.
                c.lock_attachments(&message.attachments).await?;
            }
            let thread = new.row();
            if !c.insert_thread(&thread, new.max()).await? {
                return Err(c.why_not_counted(new.user_id).await?);
            }
            let Some((message, run)) = new.first_message else {
                return Ok(ThreadCreated { thread, run: None, replayed: false });
            };
            let row = run.at(&thread, 0);
            let reservation = run.reservation;
            let row = c.insert_run(row).await?;
            c.insert_message(&thread, &row, message).await?;
            c.reserve_budget(&row, reservation).await?;
            Ok(ThreadCreated { thread, run: Some(row), replayed: false })
        })
    }
}

impl NewThread {
    fn max(&self) -> i64 {
        self.max_sessions.map_or(i64::MAX, i64::from)
    }

    fn idempotency_key_row(&self) -> Option<IdempotencyKeyRow> {
        let run_id = self.first_message.as_ref().map(|(_, run)| run.id);
        let key = self.idempotency_key.clone()?;
        Some(key.row(self.user_id, self.id, run_id, self.created_at))
    }

    fn row(&self) -> ThreadRow {
        let message = self.first_message.as_ref().map(|(message, _)| message);
        ThreadRow {
            id: self.id,
            user_id: self.user_id,
            title: message.and_then(|message| message.title.as_ref()).unwrap_or(&self.title).clone(),
            title_is_set: false,
            status: ThreadState::Active,
            status_reason: None,
            archived: self.temporary,
            metadata: self.metadata.clone(),
            message_count: message.map_or(0, |message| message.item.messages()),
            next_position: i64::from(message.is_some()),
            created_at: self.created_at,
            updated_at: self.created_at,
            temporary: self.temporary,
        }
    }
}
