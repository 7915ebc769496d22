//! Pages of lists, and their cursors.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::marker::PhantomData;

/// Rows of a page without a `limit`. ChatKit's own server uses the same number.
pub const DEFAULT_LIMIT: u32 = 20;
/// Maximum number of rows of a page, unless a method sets another maximum.
pub const MAX_LIMIT: u32 = 100;

/// Order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Whether there is a next page.
    pub has_more: bool,
    /// Cursor of the next page: send it as `after`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { data: Vec::new(), has_more: false, after: None }
    }
}

/// The JSON of a `T`, passed on without parsing: stored items that are sent to clients.
///
/// In the API documents it is a `T`.
#[derive(Debug)]
pub struct Raw<T> {
    json: Box<RawValue>,
    of: PhantomData<fn() -> T>,
}

impl<T> Raw<T> {
    /// Wraps text that is known to be the JSON of a `T`.
    ///
    /// # Errors
    /// If the text is not JSON.
    pub fn from_json(json: String) -> serde_json::Result<Self> {
        Ok(Self { json: RawValue::from_string(json)?, of: PhantomData })
    }

    /// Returns the JSON text.
    pub fn json(&self) -> &str {
        self.json.get()
    }
}

impl<T: Serialize> Raw<T> {
    /// Serialises a value.
    ///
    /// # Errors
    /// If the value cannot be JSON.
    pub fn of(value: &T) -> serde_json::Result<Self> {
        Ok(Self { json: serde_json::value::to_raw_value(value)?, of: PhantomData })
    }
}

impl<T: for<'de> Deserialize<'de>> Raw<T> {
    /// Parses the text.
    ///
    /// # Errors
    /// If it is not a `T`.
    pub fn parse(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.json.get())
    }
}

impl<T> Clone for Raw<T> {
    fn clone(&self) -> Self {
        Self { json: self.json.clone(), of: PhantomData }
    }
}

impl<T> Serialize for Raw<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Raw<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { json: Box::deserialize(deserializer)?, of: PhantomData })
    }
}

impl<T: JsonSchema> JsonSchema for Raw<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}
