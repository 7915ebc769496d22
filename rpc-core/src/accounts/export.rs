//! Everything that is stored about a user, as JSON Lines in pieces. A piece is read by itself, so that an archive of
//! any size takes little memory, and a download can continue where it was interrupted.
//!
//! | cursor | what follows |
//! | --- | --- |
//! | none | the account and its usage |
//! | `tasks:ID` | tasks after this one |
//! | `threads:ID` | the thread after this one |
//! | `items:THREAD:POSITION`, `runs:THREAD:POSITION`, `feedback:THREAD:ID` | more of a thread |
//! | `files:ID` | the attachment after this one |
//! | `bytes:ID:OFFSET` | more bytes of an attachment |
//! | `audit:ID` | entries of the audit log after this one |

use crate::attachments::Attachments;
use crate::error::Error;
use crate::store::{Clock, Store, StoreError};
use async_recursion::async_recursion as boxed;
use serde_json::{Value, json};
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::auth::ExportPiece;
use threadline_schema::ids::{AttachmentId, AuditId, Id, ItemId, TaskId, ThreadId, UserId};

/// Version of the format: the second line format would be 2.
const VERSION: u32 = 1;
/// Rows of one read.
const ROWS: u32 = 100;
/// Bytes of lines after which a piece ends. One line may be longer.
const PIECE_BYTES: usize = 256 * 1024;

/// Reads the archives of users.
#[derive(Clone)]
pub struct AccountExport {
    store: Store,
    clock: Arc<Clock>,
    attachments: Arc<Attachments>,
}

/// A position in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    Start,
    Tasks(Option<TaskId>),
    Threads(Option<ThreadId>),
    Items(ThreadId, i64),
    Runs(ThreadId, i64),
    Feedback(ThreadId, Option<ItemId>),
    Files(Option<AttachmentId>),
    Bytes(AttachmentId, u64),
    Audit(Option<AuditId>),
    End,
}

/// Lines that were read.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn push(&mut self, line: &Value) {
        self.0.push_str(&line.to_string());
        self.0.push('\n');
    }

    fn are_enough(&self) -> bool {
        self.0.len() >= PIECE_BYTES
    }
}

impl AccountExport {
    pub(crate) fn new(store: Store, clock: Arc<Clock>, attachments: Arc<Attachments>) -> Self {
        Self { store, clock, attachments }
    }

    /// Reads the piece at a cursor; without one, the first.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a cursor that none of the pieces gave, `SERVICE_UNAVAILABLE`.
    #[boxed]
    pub async fn piece(&self, user_id: UserId, cursor: Option<&str>) -> Result<ExportPiece, Error> {
        let mut cursor = match cursor {
            None => Cursor::Start,
            Some(text) => Cursor::parse(text).ok_or_else(|| {
                Error::invalid("`cursor` must be the `next` of the piece before; leave it out to begin.")
            })?,
        };
        let mut lines = Lines::default();
        while cursor != Cursor::End && !lines.are_enough() {
            cursor = self.read(user_id, cursor, &mut lines).await?;
        }
        if cursor == Cursor::End {
            lines.push(&json!({"type": "end"}));
        }
        Ok(ExportPiece { lines: lines.0, next: cursor.text() })
    }

    /// Reads some lines, and returns the cursor after them.
    async fn read(&self, user_id: UserId, cursor: Cursor, lines: &mut Lines) -> Result<Cursor, Error> {
        let store = &self.store;
        match cursor {
            Cursor::Start => {
                self.read_account(user_id, lines).await?;
                Ok(Cursor::Tasks(None))
            }
            Cursor::Tasks(after) => {
                let rows = store.export_tasks(user_id, after, ROWS).await?;
                for row in &rows {
                    lines.push(&json!({
                        "type": "task", "id": row.id, "title": row.title, "description": row.description,
                        "priority": row.priority.name(), "tags": row.tags.0, "completed": row.completed,
                        "created_at": row.created_at.utc(), "updated_at": row.updated_at.utc(),
                        "completed_at": row.completed_at.map(|at| at.utc()),
                    }));
                }
                Ok(match rows.last() {
                    Some(row) => Cursor::Tasks(Some(row.id)),
                    None => Cursor::Threads(None),
                })
            }
            Cursor::Threads(after) => match store.export_threads(user_id, after, 1).await?.pop() {
                Some(row) => {
                    let approved_tools = store.approved_tools(row.id).await?;
                    lines.push(&json!({
                        "type": "thread", "id": row.id, "title": row.title, "status": row.status.name(),
                        "status_reason": row.status_reason, "archived": row.archived,
                        "temporary": row.temporary, "approved_tools": approved_tools,
                        "metadata": parsed(&row.metadata), "created_at": row.created_at.utc(),
                        "updated_at": row.updated_at.utc(),
                    }));
                    if let Some(summary) = store.thread_summary(row.id).await? {
                        lines.push(&json!({
                            "type": "summary", "thread_id": row.id, "text": summary.text,
                            "updated_at": summary.updated_at.utc(),
                        }));
                    }
                    Ok(Cursor::Items(row.id, -1))
                }
                None => Ok(Cursor::Files(None)),
            },
            // Whose a thread is, is checked once per piece: a cursor may be made up.
            Cursor::Items(thread_id, after) => {
                if !self.has_thread(user_id, thread_id).await? {
                    return Ok(Cursor::Threads(Some(thread_id)));
                }
                let rows = store.export_items(thread_id, after, ROWS).await?;
                for row in &rows {
                    lines.push(&json!({
                        "type": "item", "id": row.id, "thread_id": row.thread_id, "run_id": row.run_id,
                        "position": row.position, "kind": row.kind.name(), "hidden": row.hidden,
                        "body": parsed(&row.body), "created_at": row.created_at.utc(),
                    }));
                }
                Ok(match rows.last() {
                    Some(row) => Cursor::Items(thread_id, row.position),
                    None => Cursor::Runs(thread_id, -1),
                })
            }
            Cursor::Runs(thread_id, after) => {
                if !self.has_thread(user_id, thread_id).await? {
                    return Ok(Cursor::Threads(Some(thread_id)));
                }
                let rows = store.export_runs(thread_id, after, ROWS).await?;
                for row in &rows {
                    lines.push(&json!({
                        "type": "run", "id": row.id, "thread_id": row.thread_id, "status": row.status.name(),
                        "error_code": row.error_code, "error_message": row.error_message,
                        "finish_reason": row.finish_reason.map(|reason| reason.name()),
                        "prompt_tokens": row.prompt_tokens, "completion_tokens": row.completion_tokens,
                        "cost_micros": row.cost_micros, "created_at": row.created_at.utc(),
                        "finished_at": row.finished_at.map(|at| at.utc()),
                    }));
                }
                Ok(match rows.last() {
                    Some(row) => Cursor::Runs(thread_id, row.position),
                    None => Cursor::Feedback(thread_id, None),
                })
            }
            Cursor::Feedback(thread_id, after) => {
                let rows = store.export_feedback(user_id, thread_id, after, ROWS).await?;
                for row in &rows {
                    lines.push(&json!({
                        "type": "feedback", "thread_id": row.thread_id, "item_id": row.item_id,
                        "kind": row.kind.name(), "created_at": row.created_at.utc(),
                    }));
                }
                Ok(match rows.last() {
                    Some(row) => Cursor::Feedback(thread_id, Some(row.item_id)),
                    None => Cursor::Threads(Some(thread_id)),
                })
            }
            Cursor::Files(after) => match store.export_attachments(user_id, after, 1).await?.pop() {
                Some(row) => {
                    lines.push(&json!({
                        "type": "attachment", "id": row.id, "thread_id": row.thread_id, "name": row.name,
                        "mime_type": row.mime_type, "size": row.size, "uploaded": row.ready,
                        "created_at": row.created_at.utc(),
                    }));
                    Ok(if row.ready { Cursor::Bytes(row.id, 0) } else { Cursor::Files(Some(row.id)) })
                }
                None => Ok(Cursor::Audit(None)),
            },
            Cursor::Bytes(id, offset) => self.read_bytes(user_id, id, offset, lines).await,
            Cursor::Audit(after) => {
                let rows = store.export_audit(user_id, after, ROWS).await?;
                for row in &rows {
                    lines.push(&json!({
                        "type": "audit", "at": row.at.utc(), "actor": row.actor, "action": row.action,
                        "outcome": row.outcome, "address": row.address,
                    }));
                }
                Ok(match rows.last() {
                    Some(row) => Cursor::Audit(Some(row.id)),
                    None => Cursor::End,
                })
            }
            Cursor::End => Ok(Cursor::End),
        }
    }

    async fn read_account(&self, user_id: UserId, lines: &mut Lines) -> Result<(), Error> {
        let user = self.store.user_by_id(user_id).await?.ok_or_else(Error::unauthorized)?;
        let identity = self.store.foreign_identity_of(user_id).await?;
        let roles = self.store.user_roles_given(user_id).await?;
        lines.push(&json!({"type": "export", "version": VERSION, "exported_at": self.clock.now().utc()}));
        lines.push(&json!({
            "type": "account", "id": user.id, "email": user.own_email(), "created_at": user.created_at.utc(),
            "disabled_at": user.disabled_at.map(|at| at.utc()), "budget_class": user.budget_class,
            "roles": roles.iter().map(|row| json!({"role": row.role, "granted_at": row.granted_at.utc()})).collect::<Vec<_>>(),
            "identity": identity.map(|identity| json!({
                "issuer": identity.issuer, "subject": identity.subject, "email": identity.email,
                "roles": identity.roles.0, "budget_class": identity.budget_class,
                "created_at": identity.created_at.utc(),
            })),
        }));
        for day in self.store.export_usage(user_id).await? {
            lines.push(&json!({
                "type": "usage", "days_since_1970": day.day, "runs": day.runs, "prompt_tokens": day.prompt_tokens,
                "completion_tokens": day.completion_tokens, "cost_micros": day.cost_micros,
                "unpriced_runs": day.unpriced_runs,
            }));
        }
        Ok(())
    }

    /// Returns whether a thread is still there.
    ///
    /// # Errors
    /// `FORBIDDEN` if it belongs to another user.
    async fn has_thread(&self, user_id: UserId, thread_id: ThreadId) -> Result<bool, Error> {
        match self.store.thread_get(user_id, thread_id).await {
            // It was deleted meanwhile.
            Err(StoreError::NotFound(_)) => Ok(false),
            found => Ok(found.map(|_| true)?),
        }
    }

    async fn read_bytes(
        &self,
        user_id: UserId,
        id: AttachmentId,
        offset: u64,
        lines: &mut Lines,
    ) -> Result<Cursor, Error> {
        let (data, size) = match self.attachments.read_content(user_id, id, offset).await {
            Ok(Some(read)) => read,
            Ok(None) => {
                tracing::warn!(attachment_id = %id, "the storage has lost an attachment that an archive should have");
                lines.push(&json!({"type": "attachment_missing", "id": id, "offset": offset}));
                return Ok(Cursor::Files(Some(id)));
            }
            // It was deleted meanwhile.
            Err(error) if error.public().code == ErrorCode::AttachmentNotFound => return Ok(Cursor::Files(Some(id))),
            Err(error) => return Err(error),
        };
        lines.push(&json!({"type": "attachment_bytes", "id": id, "offset": offset, "data": data.base64}));
        let next = offset + data.bytes;
        Ok(if next < size && data.bytes > 0 { Cursor::Bytes(id, next) } else { Cursor::Files(Some(id)) })
    }
}

/// Returns stored JSON as JSON, and everything else as text.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn some_id<I: Id>(text: Option<&str>) -> Option<I> {
    text?.parse().ok()
}

/// Reads an id that may be absent: at the start of a list.
fn maybe_id<I: Id>(text: Option<&str>) -> Option<Option<I>> {
    match text {
        Some("") | None => Some(None),
        text => some_id(text).map(Some),
    }
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let kind = parts.next()?;
        let (first, second) = (parts.next(), parts.next());
        let number = || second?.parse::<i64>().ok();
        if parts.next().is_some() {
            return None;
        }
        Some(match kind {
            "tasks" => Self::Tasks(maybe_id(first)?),
            "threads" => Self::Threads(maybe_id(first)?),
            "items" => Self::Items(some_id(first)?, number()?),
            "runs" => Self::Runs(some_id(first)?, number()?),
            "feedback" => Self::Feedback(some_id(first)?, maybe_id(second)?),
            "files" => Self::Files(maybe_id(first)?),
            "bytes" => Self::Bytes(some_id(first)?, u64::try_from(number()?).ok()?),
            "audit" => Self::Audit(maybe_id(first)?),
            _ => return None,
        })
    }

    /// Returns the cursor as text; `None` at the end.
    fn text(self) -> Option<String> {
        fn maybe(id: Option<impl ToString>) -> String {
            id.map(|id| id.to_string()).unwrap_or_default()
        }
        Some(match self {
            Self::End | Self::Start => return None,
            Self::Tasks(after) => format!("tasks:{}", maybe(after)),
            Self::Threads(after) => format!("threads:{}", maybe(after)),
            Self::Items(thread, position) => format!("items:{thread}:{position}"),
            Self::Runs(thread, position) => format!("runs:{thread}:{position}"),
            Self::Feedback(thread, after) => format!("feedback:{thread}:{}", maybe(after)),
            Self::Files(after) => format!("files:{}", maybe(after)),
            Self::Bytes(id, offset) => format!("bytes:{id}:{offset}"),
            Self::Audit(after) => format!("audit:{}", maybe(after)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let (task, thread, item, file, audit) =
            (TaskId::random(), ThreadId::random(), ItemId::random(), AttachmentId::random(), AuditId::random());
        for cursor in [
            Cursor::Tasks(None),
            Cursor::Tasks(Some(task)),
            Cursor::Threads(Some(thread)),
            Cursor::Items(thread, -1),
            Cursor::Runs(thread, 7),
            Cursor::Feedback(thread, None),
            Cursor::Feedback(thread, Some(item)),
            Cursor::Files(None),
            Cursor::Bytes(file, u64::from(u32::MAX)),
            Cursor::Audit(Some(audit)),
        ] {
            assert_eq!(Cursor::parse(&cursor.text().unwrap()), Some(cursor));
        }
        for wrong in
            ["", "x", "items", "items:1:2", "bytes::1", &format!("bytes:{file}:-1"), &format!("items:{thread}:1:2")]
        {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }
}
