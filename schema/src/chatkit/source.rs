//! Sources: what an answer is based on.

use super::{Extra, IconName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

/// A reference in a text.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum Annotation {
    /// To a source.
    #[serde(rename = "annotation")]
    Reference {
        /// The source.
        source: Source,
        /// Where in the text, in characters.
        index: Option<u64>,
        /// Members not known here.
        #[serde(flatten)]
        extra: Extra,
    },
}

/// What an answer is based on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Source {
    /// A page of the web.
    Url(UrlSource),
    /// A file.
    File(FileSource),
    /// A thing of the integration's.
    Entity(EntitySource),
}

/// A page of the web.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UrlSource {
    /// Its title.
    pub title: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// When it was written, in words.
    pub timestamp: Option<String>,
    /// Group it is listed in.
    pub group: Option<String>,
    /// Where it is.
    pub url: String,
    /// Who published it.
    pub attribution: Option<String>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A file.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileSource {
    /// Its title.
    pub title: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// When it was written, in words.
    pub timestamp: Option<String>,
    /// Group it is listed in.
    pub group: Option<String>,
    /// Name of the file.
    pub filename: String,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A thing of the integration's.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EntitySource {
    /// Its title.
    pub title: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// When it was written, in words.
    pub timestamp: Option<String>,
    /// Group it is listed in.
    pub group: Option<String>,
    /// Its id at the integration.
    pub id: String,
    /// Icon beside it.
    pub icon: Option<IconName>,
    /// What its card says beside the icon.
    pub label: Option<String>,
    /// What stands in the text; the icon when absent.
    pub inline_label: Option<String>,
    /// Whether it reacts to the pointer.
    #[serde(default)]
    pub interactive: bool,
    /// What the front end gets with it.
    #[serde(default)]
    pub data: Map<String, Value>,
    /// Deprecated by the protocol, which ignores it.
    pub preview: Option<EntityPreview>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// How an entity was previewed in earlier versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntityPreview {
    /// When it is asked for.
    Lazy,
}
