//! Result -> `data` and `meta`.
//!
//! A shape is a type; a row names it, and the compiler checks that it fits the method's result. Whatever a shape does
//! not change passes through as the JSON it came as.

mod chatkit;
mod health;
mod message;
mod session;
mod transcript;

pub(crate) use chatkit::ThreadView;
pub use chatkit::{ChatKitThread, ChatKitThreads};
pub use health::{AnyHealth, StrictHealth};
pub(crate) use message::{ItemView, Message, RecordView, ToolCall};
pub use session::{CreatedSession, DeletedSession, Session, SessionThread, Sessions, SessionsMeta};
pub use transcript::Transcript;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use threadline_schema::page::Page;
use uuid::Uuid;

/// A shape of reply for methods that answer with a `T`.
pub trait Reply<T> {
    /// What surrounds the data.
    const FORM: Form = Form::Envelope;

    /// Schema of `data`; of the whole body where the form has no envelope.
    fn data(generator: &mut SchemaGenerator) -> Schema;

    /// Schema of `meta`, if there is any.
    fn meta(_generator: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    /// Writes the value of `data`, and after it `,"meta":` with its value if there is any. `named` is the value of the
    /// last variable of the path.
    ///
    /// # Errors
    /// When the result does not look like a `T`.
    fn write(result: &RawValue, named: &str, out: &mut Vec<u8>) -> serde_json::Result<()>;
}

/// What surrounds the data of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{"success":true,"data":...}`.
    Envelope,
    /// The data is the body.
    Bare,
    /// The form of `/health`: the data is the body, and its `status` decides the status of the answer.
    Health {
        /// Whether a part that works in part still counts as well.
        tolerant: bool,
    },
}

/// [`Reply`] as data, for a row.
#[derive(Debug, Clone, Copy)]
pub struct ReplyInfo {
    /// See [`Reply::FORM`].
    pub form: Form,
    /// See [`Reply::data`].
    pub data: fn(&mut SchemaGenerator) -> Schema,
    /// See [`Reply::meta`].
    pub meta: fn(&mut SchemaGenerator) -> Option<Schema>,
    /// See [`Reply::write`].
    pub write: fn(&RawValue, &str, &mut Vec<u8>) -> serde_json::Result<()>,
}

impl ReplyInfo {
    /// The facts of `R` for results of type `T`.
    pub const fn of<R: Reply<T>, T>() -> Self {
        Self { form: R::FORM, data: R::data, meta: R::meta, write: R::write }
    }

    /// The whole body of a successful reply.
    ///
    /// # Errors
    /// When the result does not look as the method promises.
    pub fn body(&self, result: &RawValue, named: &str) -> serde_json::Result<Vec<u8>> {
        const HEAD: &[u8] = br#"{"success":true,"data":"#;
        let mut out = Vec::with_capacity(HEAD.len() + result.get().len() + 64);
        match self.form {
            Form::Envelope => {
                out.extend_from_slice(HEAD);
                (self.write)(result, named, &mut out)?;
                out.push(b'}');
            }
            Form::Bare | Form::Health { .. } => (self.write)(result, named, &mut out)?,
        }
        Ok(out)
    }
}

/// The result as it is.
#[derive(Debug, Clone, Copy)]
pub struct Whole;

impl<T: JsonSchema> Reply<T> for Whole {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }

    fn write(result: &RawValue, _named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.extend_from_slice(result.get().as_bytes());
        Ok(())
    }
}

/// The rows of a page as an array, and in `meta` how to go on.
#[derive(Debug, Clone, Copy)]
pub struct Rows;

impl<T: JsonSchema> Reply<Page<T>> for Rows {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Vec<T>>()
    }

    fn meta(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<PageMeta<'static>>())
    }

    fn write(result: &RawValue, _named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let page: PageView<'_> = serde_json::from_str(result.get())?;
        out.extend_from_slice(page.data.get().as_bytes());
        write_meta(out, &PageMeta { has_more: page.has_more, after: page.after })
    }
}

/// What was deleted.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Deleted {
    /// Id of what is gone.
    pub id: Uuid,
    /// Always true.
    pub deleted: bool,
}

impl<T> Reply<T> for Deleted {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn write(_result: &RawValue, named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, &Self { id: parse_id(named)?, deleted: true })
    }
}

/// How to go on after a page.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "PageMeta")]
pub struct PageMeta<'a> {
    /// Whether more rows follow.
    pub has_more: bool,
    /// Where the next page begins: pass it as `after`. Null on the last page.
    #[schemars(with = "Option<String>")]
    pub after: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PageView<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    has_more: bool,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
}

fn write_meta(out: &mut Vec<u8>, meta: &impl Serialize) -> serde_json::Result<()> {
    out.extend_from_slice(br#","meta":"#);
    serde_json::to_writer(out, meta)
}

fn parse_id(text: &str) -> serde_json::Result<Uuid> {
    text.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use threadline_schema::tasks::Task;

    fn body<R: Reply<T>, T>(result: &str, named: &str) -> String {
        let result = RawValue::from_string(result.to_owned()).unwrap();
        String::from_utf8(ReplyInfo::of::<R, T>().body(&result, named).unwrap()).unwrap()
    }

    #[test]
    fn a_whole_result_passes_byte_for_byte() {
        let result = r#"{ "b" : 1.50, "a" : "ü" }"#;
        assert_eq!(body::<Whole, Task>(result, ""), format!(r#"{{"success":true,"data":{result}}}"#));
    }

    #[test]
    fn a_page_becomes_an_array_and_meta() {
        let more = r#"{"data":[{"x" :1}],"has_more":true,"after":"c\"1"}"#;
        assert_eq!(
            body::<Rows, Page<Task>>(more, ""),
            r#"{"success":true,"data":[{"x" :1}],"meta":{"has_more":true,"after":"c\"1"}}"#
        );
        let last = r#"{"data":[],"has_more":false}"#;
        assert_eq!(
            body::<Rows, Page<Task>>(last, ""),
            r#"{"success":true,"data":[],"meta":{"has_more":false,"after":null}}"#
        );
    }

    #[test]
    fn a_result_of_another_shape_is_an_error_not_a_reply() {
        let result = RawValue::from_string(r#"{"rows":[]}"#.to_owned()).unwrap();
        assert!(ReplyInfo::of::<Rows, Page<Task>>().body(&result, "").is_err());
    }

    #[test]
    fn what_was_deleted_is_told_by_the_path() {
        let id = Uuid::now_v7();
        let told: serde_json::Value = serde_json::from_str(&body::<Deleted, ()>("{}", &id.to_string())).unwrap();
        assert_eq!(told, json!({"success": true, "data": {"id": id, "deleted": true}}));
    }
}
