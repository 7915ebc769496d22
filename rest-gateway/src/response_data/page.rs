//! Pages: the rows as an array in `data`, and the cursor of the next page in `meta`.

use super::{ResponseData, write_meta};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use threadline_schema::page::Page;

/// The rows of a page.
#[derive(Debug, Clone, Copy)]
pub struct PageRows;

impl<T: JsonSchema> ResponseData<Page<T>> for PageRows {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Vec<T>>()
    }

    fn meta(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<PageMeta<'static>>())
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let page: PageView<'_> = serde_json::from_str(result.get())?;
        out.extend_from_slice(page.data.get().as_bytes());
        write_meta(out, &PageMeta { has_more: page.has_more, after: page.after })
    }
}

/// Position of a page.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "PageMeta")]
pub struct PageMeta<'a> {
    /// Whether more rows follow.
    pub has_more: bool,
    /// Cursor of the next page: send it as `after`. Null on the last page.
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
