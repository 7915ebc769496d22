//! The JSON of a response, made from the result of a method: its `data` and `meta`.
//!
//! A row names a type that implements [`ResponseData`], and the compiler checks that it fits the result of the method.
//! Parts of a result that do not change are copied as the JSON text that they are.

mod chatkit;
mod health;
mod items;
mod message;
mod page;
mod session;
mod transcript;

pub(crate) use chatkit::ThreadView;
pub use chatkit::{ChatKitThread, ChatKitThreads};
pub use health::{LenientHealth, StrictHealth};
pub use items::{Items, ItemsMeta};
pub(crate) use message::{ItemView, Message, ToolCall, ToolCallView};
pub use page::{PageMeta, PageRows};
pub use session::{CreatedSession, DeletedSession, Session, SessionThread, Sessions, SessionsMeta};
pub use transcript::Transcript;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::value::RawValue;
use std::str::FromStr;
use uuid::Uuid;

/// The `data` and `meta` of responses, for methods whose result is a `T`.
pub trait ResponseData<T> {
    /// What encloses the data.
    const ENVELOPE: Envelope = Envelope::Standard;

    /// Returns the schema of `data`, or of the whole body where there is no envelope.
    fn data(generator: &mut SchemaGenerator) -> Schema;

    /// Returns the schema of `meta`; `None` if there is no `meta`.
    fn meta(_generator: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    /// Writes the value of `data`. If there is a `meta`, writes `,"meta":` and its value after it. `path_id` is the
    /// value of the last variable of the path.
    ///
    /// # Errors
    /// When the result does not have the shape of a `T`.
    fn write(result: &RawValue, path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()>;
}

/// What encloses the data of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// `{"success":true,"data":...}`.
    Standard,
    /// None: the data is the body.
    Bare,
    /// None, as for `/health`. The `status` in the data decides the HTTP status.
    Health {
        /// Whether `degraded` is 200 instead of 503.
        degraded_is_ok: bool,
    },
}

/// [`ResponseData`] as a value, for a row.
#[derive(Debug, Clone, Copy)]
pub struct ResponseFormat {
    /// See [`ResponseData::ENVELOPE`].
    pub envelope: Envelope,
    /// See [`ResponseData::data`].
    pub data: fn(&mut SchemaGenerator) -> Schema,
    /// See [`ResponseData::meta`].
    pub meta: fn(&mut SchemaGenerator) -> Option<Schema>,
    /// See [`ResponseData::write`].
    pub write: fn(&RawValue, &str, &mut Vec<u8>) -> serde_json::Result<()>,
}

impl ResponseFormat {
    /// Describes `D` for results of type `T`.
    pub const fn of<D: ResponseData<T>, T>() -> Self {
        Self { envelope: D::ENVELOPE, data: D::data, meta: D::meta, write: D::write }
    }

    /// Writes the whole body of a successful response.
    ///
    /// # Errors
    /// When the result does not have the shape that the method promises.
    pub fn body(&self, result: &RawValue, path_id: &str) -> serde_json::Result<Vec<u8>> {
        const HEAD: &[u8] = br#"{"success":true,"data":"#;
        let mut out = Vec::with_capacity(HEAD.len() + result.get().len() + 64);
        match self.envelope {
            Envelope::Standard => {
                out.extend_from_slice(HEAD);
                (self.write)(result, path_id, &mut out)?;
                out.push(b'}');
            }
            Envelope::Bare | Envelope::Health { .. } => (self.write)(result, path_id, &mut out)?,
        }
        Ok(out)
    }
}

/// The result without any change.
#[derive(Debug, Clone, Copy)]
pub struct Unchanged;

impl<T: JsonSchema> ResponseData<T> for Unchanged {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.extend_from_slice(result.get().as_bytes());
        Ok(())
    }
}

/// Something that was deleted.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Deleted {
    /// Its id.
    pub id: Uuid,
    /// Always true.
    pub deleted: bool,
}

impl<T> ResponseData<T> for Deleted {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn write(_result: &RawValue, path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, &Self { id: parse_id(path_id)?, deleted: true })
    }
}

fn write_meta(out: &mut Vec<u8>, meta: &impl Serialize) -> serde_json::Result<()> {
    out.extend_from_slice(br#","meta":"#);
    serde_json::to_writer(out, meta)
}

fn parse_id<T: FromStr<Err = uuid::Error>>(text: &str) -> serde_json::Result<T> {
    text.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use threadline_schema::page::Page;
    use threadline_schema::tasks::Task;

    fn body<D: ResponseData<T>, T>(result: &str, path_id: &str) -> String {
        let result = RawValue::from_string(result.to_owned()).unwrap();
        String::from_utf8(ResponseFormat::of::<D, T>().body(&result, path_id).unwrap()).unwrap()
    }

    #[test]
    fn an_unchanged_result_is_copied_byte_for_byte() {
        let result = r#"{ "b" : 1.50, "a" : "ü" }"#;
        assert_eq!(body::<Unchanged, Task>(result, ""), format!(r#"{{"success":true,"data":{result}}}"#));
    }

    #[test]
    fn a_page_becomes_an_array_and_meta() {
        let more = r#"{"data":[{"x" :1}],"has_more":true,"after":"c\"1"}"#;
        assert_eq!(
            body::<PageRows, Page<Task>>(more, ""),
            r#"{"success":true,"data":[{"x" :1}],"meta":{"has_more":true,"after":"c\"1"}}"#
        );
        let last = r#"{"data":[],"has_more":false}"#;
        assert_eq!(
            body::<PageRows, Page<Task>>(last, ""),
            r#"{"success":true,"data":[],"meta":{"has_more":false,"after":null}}"#
        );
    }

    #[test]
    fn a_result_of_another_shape_is_an_error() {
        let result = RawValue::from_string(r#"{"rows":[]}"#.to_owned()).unwrap();
        assert!(ResponseFormat::of::<PageRows, Page<Task>>().body(&result, "").is_err());
    }

    #[test]
    fn a_deletion_returns_the_id_of_the_path() {
        let id = Uuid::now_v7();
        let body: serde_json::Value = serde_json::from_str(&body::<Deleted, ()>("{}", &id.to_string())).unwrap();
        assert_eq!(body, json!({"success": true, "data": {"id": id, "deleted": true}}));
    }
}
