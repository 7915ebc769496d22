//! Sources of an answer.

use super::{Extra, IconName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

/// An annotation of a text.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum Annotation {
    /// A reference to a source.
    #[serde(rename = "annotation")]
    Reference {
        /// The source.
        source: Source,
        /// Position in the text, in characters.
        index: Option<u64>,
        /// Members that this version does not know.
        #[serde(flatten)]
        extra: Extra,
    },
}

/// A source of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Source {
    /// A web page.
    Url(UrlSource),
    /// A file.
    File(FileSource),
    /// An entity of an integration.
    Entity(EntitySource),
}

/// A web page.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UrlSource {
    /// Title.
    pub title: String,
    /// Description.
    pub description: Option<String>,
    /// Date, as text.
    pub timestamp: Option<String>,
    /// Group in the list of sources.
    pub group: Option<String>,
    /// URL.
    pub url: String,
    /// Publisher.
    pub attribution: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A file.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileSource {
    /// Title.
    pub title: String,
    /// Description.
    pub description: Option<String>,
    /// Date, as text.
    pub timestamp: Option<String>,
    /// Group in the list of sources.
    pub group: Option<String>,
    /// Name of the file.
    pub filename: String,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An entity of an integration.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EntitySource {
    /// Title.
    pub title: String,
    /// Description.
    pub description: Option<String>,
    /// Date, as text.
    pub timestamp: Option<String>,
    /// Group in the list of sources.
    pub group: Option<String>,
    /// Id at the integration.
    pub id: String,
    /// Icon.
    pub icon: Option<IconName>,
    /// Label on the card, next to the icon.
    pub label: Option<String>,
    /// Label in the text; without it, the icon is shown.
    pub inline_label: Option<String>,
    /// Whether the user can click it.
    #[serde(default)]
    pub interactive: bool,
    /// Data for the front end.
    #[serde(default)]
    pub data: Map<String, Value>,
    /// Deprecated. The protocol ignores it.
    pub preview: Option<EntityPreview>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Preview of an entity, in earlier versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntityPreview {
    /// On request.
    Lazy,
}
