//! Threads in REST's words: sessions.

use super::{PageMeta, Reply, parse_id, write_meta};
use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use threadline_schema::page::Raw;
use threadline_schema::threads::{Done, Thread, ThreadCreated, ThreadPage};
use uuid::Uuid;

/// A session as lists show it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Id of the session.
    pub id: Raw<Uuid>,
    /// Whose it is.
    pub user_id: Raw<Uuid>,
    /// Its title.
    pub title: Raw<String>,
    /// When it began.
    pub created_at: Raw<DateTime<Utc>>,
    /// When something was last said or changed.
    pub updated_at: Raw<DateTime<Utc>>,
    /// Messages in it.
    pub message_count: Raw<i64>,
}

impl Reply<Thread> for Session {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn write(result: &RawValue, _named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, &serde_json::from_str::<Self>(result.get())?)
    }
}

/// A list of sessions.
#[derive(Debug, Clone, Copy)]
pub struct Sessions;

impl Reply<ThreadPage> for Sessions {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Vec<Session>>()
    }

    fn meta(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<SessionsMeta<'static>>())
    }

    fn write(result: &RawValue, _named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let view: SessionsView<'_> = serde_json::from_str(result.get())?;
        serde_json::to_writer(&mut *out, &view.data)?;
        let page = PageMeta { has_more: view.has_more, after: view.after };
        write_meta(out, &SessionsMeta { total: view.total, page })
    }
}

/// A session that has just begun.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedSession {
    /// Id of the session.
    pub id: Raw<Uuid>,
    /// Whose it is.
    pub user_id: Raw<Uuid>,
    /// When it began.
    pub created_at: Raw<DateTime<Utc>>,
}

impl Reply<ThreadCreated> for CreatedSession {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn write(result: &RawValue, _named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let created: CreatedView = serde_json::from_str(result.get())?;
        serde_json::to_writer(out, &created.thread)
    }
}

/// The one thread of a session.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionThread {
    /// Id of the thread: the session's.
    pub id: Raw<Uuid>,
    /// Id of the session.
    pub session_id: Raw<Uuid>,
    /// When it began.
    pub created_at: Raw<DateTime<Utc>>,
}

impl Reply<Thread> for SessionThread {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn write(result: &RawValue, _named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let thread: ThreadView = serde_json::from_str(result.get())?;
        let shown = Self { session_id: thread.id.clone(), id: thread.id, created_at: thread.created_at };
        serde_json::to_writer(out, &shown)
    }
}

/// A session that is gone, with its items, runs and events.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DeletedSession {
    /// Id of the session.
    pub id: Uuid,
    /// The same.
    pub session_id: Uuid,
    /// Always true.
    pub deleted: bool,
}

impl Reply<Done> for DeletedSession {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn write(_result: &RawValue, named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let id = parse_id(named)?;
        serde_json::to_writer(out, &Self { id, session_id: id, deleted: true })
    }
}

/// How many sessions there are, and how to go on.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "SessionsMeta")]
pub struct SessionsMeta<'a> {
    /// Sessions of the user in all.
    pub total: i64,
    /// How to go on.
    #[serde(flatten)]
    #[schemars(flatten)]
    pub page: PageMeta<'a>,
}

#[derive(Deserialize)]
struct SessionsView<'a> {
    data: Vec<Session>,
    has_more: bool,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    total: i64,
}

#[derive(Deserialize)]
struct CreatedView {
    thread: CreatedSession,
}

#[derive(Deserialize)]
struct ThreadView {
    id: Raw<Uuid>,
    created_at: Raw<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::ReplyInfo;
    use serde_json::{Value, json};

    const ID: &str = "0199e0f0-0000-7000-8000-000000000001";
    const USER: &str = "0199e0f0-0000-7000-8000-000000000002";

    fn thread() -> Value {
        json!({
            "id": ID, "title": "Say \"hi\"", "created_at": "2026-01-01T00:00:00.000001Z", "status": {"type": "active"},
            "metadata": {}, "items": {"data": [], "has_more": false}, "user_id": USER,
            "updated_at": "2026-01-02T00:00:00Z", "message_count": 3
        })
    }

    fn body<R: Reply<T>, T>(result: &Value) -> Value {
        let result = serde_json::value::to_raw_value(result).unwrap();
        serde_json::from_slice(&ReplyInfo::of::<R, T>().body(&result, ID).unwrap()).unwrap()
    }

    #[test]
    fn a_created_session_shows_three_members() {
        let told = body::<CreatedSession, ThreadCreated>(&json!({"thread": thread()}));
        let data = json!({"id": ID, "user_id": USER, "created_at": "2026-01-01T00:00:00.000001Z"});
        assert_eq!(told, json!({"success": true, "data": data}));
    }

    #[test]
    fn the_thread_of_a_session_has_its_id() {
        let told = body::<SessionThread, Thread>(&thread());
        let data = json!({"id": ID, "session_id": ID, "created_at": "2026-01-01T00:00:00.000001Z"});
        assert_eq!(told, json!({"success": true, "data": data}));
    }

    #[test]
    fn a_list_shows_rows_and_the_total() {
        let page = json!({"data": [thread()], "has_more": true, "after": "x", "total": 7});
        let row = json!({
            "id": ID, "user_id": USER, "title": "Say \"hi\"", "created_at": "2026-01-01T00:00:00.000001Z",
            "updated_at": "2026-01-02T00:00:00Z", "message_count": 3
        });
        let meta = json!({"total": 7, "has_more": true, "after": "x"});
        assert_eq!(body::<Sessions, ThreadPage>(&page), json!({"success": true, "data": [row], "meta": meta}));
        assert_eq!(body::<Session, Thread>(&thread())["data"], row);
    }

    #[test]
    fn a_deleted_session_is_named_twice() {
        let told = body::<DeletedSession, Done>(&json!({}));
        assert_eq!(told, json!({"success": true, "data": {"id": ID, "session_id": ID, "deleted": true}}));
    }
}
