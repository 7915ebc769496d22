//! Sessions: REST's name for threads.

use super::{PageMeta, ResponseData, parse_id, write_meta};
use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::threads::{Done, Thread, ThreadCreated, ThreadPage};

/// A session without its messages.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Session<'a> {
    /// Id of the session.
    #[serde(borrow)]
    #[schemars(with = "ThreadId")]
    pub id: &'a RawValue,
    /// The user who owns it.
    #[serde(borrow)]
    #[schemars(with = "UserId")]
    pub user_id: &'a RawValue,
    /// Its title.
    #[serde(borrow)]
    #[schemars(with = "String")]
    pub title: &'a RawValue,
    /// When it was created.
    #[serde(borrow)]
    #[schemars(with = "DateTime<Utc>")]
    pub created_at: &'a RawValue,
    /// When it last changed: a message, or its title or status.
    #[serde(borrow)]
    #[schemars(with = "DateTime<Utc>")]
    pub updated_at: &'a RawValue,
    /// Number of its messages.
    #[serde(borrow)]
    #[schemars(with = "i64")]
    pub message_count: &'a RawValue,
    /// Whether it is listed nowhere, and deleted some hours after its last use. Absent for other sessions.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bool>")]
    pub temporary: Option<&'a RawValue>,
}

impl ResponseData<Thread> for Session<'_> {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Session<'static>>()
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, &serde_json::from_str::<Session<'_>>(result.get())?)
    }
}

/// A list of sessions.
#[derive(Debug, Clone, Copy)]
pub struct Sessions;

impl ResponseData<ThreadPage> for Sessions {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Vec<Session<'static>>>()
    }

    fn meta(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<SessionsMeta<'static>>())
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let page: ThreadPageView<'_> = serde_json::from_str(result.get())?;
        serde_json::to_writer(&mut *out, &page.data)?;
        let position = PageMeta { has_more: page.has_more, after: page.after };
        write_meta(out, &SessionsMeta { total: page.total, page: position })
    }
}

/// A new session.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedSession<'a> {
    /// Id of the session.
    #[serde(borrow)]
    #[schemars(with = "ThreadId")]
    pub id: &'a RawValue,
    /// The user who owns it.
    #[serde(borrow)]
    #[schemars(with = "UserId")]
    pub user_id: &'a RawValue,
    /// When it was created.
    #[serde(borrow)]
    #[schemars(with = "DateTime<Utc>")]
    pub created_at: &'a RawValue,
    /// Whether it is listed nowhere, and deleted some hours after its last use. Absent for other sessions.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bool>")]
    pub temporary: Option<&'a RawValue>,
}

impl ResponseData<ThreadCreated> for CreatedSession<'_> {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let created: ThreadCreatedView<'_> = serde_json::from_str(result.get())?;
        serde_json::to_writer(out, &created.thread)
    }
}

/// The one thread of a session.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionThread<'a> {
    /// Id of the thread: the session's.
    #[schemars(with = "ThreadId")]
    pub id: &'a RawValue,
    /// Id of the session.
    #[schemars(with = "ThreadId")]
    pub session_id: &'a RawValue,
    /// When it was created.
    #[schemars(with = "DateTime<Utc>")]
    pub created_at: &'a RawValue,
}

impl ResponseData<Thread> for SessionThread<'_> {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let thread: ThreadView<'_> = serde_json::from_str(result.get())?;
        let session_thread = SessionThread { session_id: thread.id, id: thread.id, created_at: thread.created_at };
        serde_json::to_writer(out, &session_thread)
    }
}

/// A deleted session. Its items, runs and events are deleted too.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DeletedSession {
    /// Id of the session.
    pub id: ThreadId,
    /// The same id.
    pub session_id: ThreadId,
    /// Always true.
    pub deleted: bool,
}

impl ResponseData<Done> for DeletedSession {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn write(_result: &RawValue, path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let id = parse_id(path_id)?;
        serde_json::to_writer(out, &Self { id, session_id: id, deleted: true })
    }
}

/// The number of sessions, and the position of the page.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "SessionsMeta")]
pub struct SessionsMeta<'a> {
    /// Number of all sessions of the user.
    pub total: i64,
    /// Position of the page.
    #[serde(flatten)]
    #[schemars(flatten)]
    pub page: PageMeta<'a>,
}

#[derive(Deserialize)]
struct ThreadPageView<'a> {
    #[serde(borrow)]
    data: Vec<Session<'a>>,
    has_more: bool,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    total: i64,
}

#[derive(Deserialize)]
struct ThreadCreatedView<'a> {
    #[serde(borrow)]
    thread: CreatedSession<'a>,
}

#[derive(Deserialize)]
struct ThreadView<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    created_at: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response_data::ResponseFormat;
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

    fn body<D: ResponseData<T>, T>(result: &Value) -> Value {
        let result = serde_json::value::to_raw_value(result).unwrap();
        serde_json::from_slice(&ResponseFormat::of::<D, T>().body(&result, ID).unwrap()).unwrap()
    }

    #[test]
    fn a_created_session_has_three_members() {
        let body = body::<CreatedSession, ThreadCreated>(&json!({"thread": thread()}));
        let data = json!({"id": ID, "user_id": USER, "created_at": "2026-01-01T00:00:00.000001Z"});
        assert_eq!(body, json!({"success": true, "data": data}));
    }

    #[test]
    fn the_thread_of_a_session_has_the_id_of_the_session() {
        let body = body::<SessionThread, Thread>(&thread());
        let data = json!({"id": ID, "session_id": ID, "created_at": "2026-01-01T00:00:00.000001Z"});
        assert_eq!(body, json!({"success": true, "data": data}));
    }

    #[test]
    fn a_list_has_rows_and_the_total() {
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
    fn a_deleted_session_has_its_id_under_two_names() {
        let body = body::<DeletedSession, Done>(&json!({}));
        assert_eq!(body, json!({"success": true, "data": {"id": ID, "session_id": ID, "deleted": true}}));
    }
}
