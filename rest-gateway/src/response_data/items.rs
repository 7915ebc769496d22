//! Pages of items: as other pages, with the summary in `meta` if it was asked for.

use super::{ResponseData, write_meta};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use threadline_schema::chatkit::ThreadItem;
use threadline_schema::items::{ItemsPage, Summary};

/// The items of a page.
#[derive(Debug, Clone, Copy)]
pub struct Items;

impl ResponseData<ItemsPage> for Items {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Vec<ThreadItem>>()
    }

    fn meta(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<ItemsMeta<'static>>())
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let ItemsView { data, has_more, after, summary } = serde_json::from_str(result.get())?;
        out.extend_from_slice(data.get().as_bytes());
        write_meta(out, &ItemsMeta { has_more, after, summary })
    }
}

/// Position of a page of items, and the summary.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "ItemsMeta")]
pub struct ItemsMeta<'a> {
    /// Whether more rows follow.
    pub has_more: bool,
    /// Cursor of the next page: send it as `after`. Null on the last page.
    #[schemars(with = "Option<String>")]
    pub after: Option<&'a RawValue>,
    /// What models read in place of the oldest items. Only if `include_summary` is true, and a summary has been
    /// written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Summary>")]
    pub summary: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ItemsView<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    has_more: bool,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    #[serde(borrow, default)]
    summary: Option<&'a RawValue>,
}
