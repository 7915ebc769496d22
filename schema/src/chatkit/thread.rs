//! Threads as the protocol has them.

use super::{Extra, ThreadItem};
use crate::page::Page;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;
use uuid::Uuid;

/// A conversation, without what this service adds to it: [`crate::threads::Thread`] has both.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ChatKitThread")]
pub struct Thread {
    /// Id of the thread.
    pub id: Uuid,
    /// Its title.
    pub title: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// Whether it takes messages.
    #[serde(default)]
    pub status: ThreadStatus,
    /// Domains that images in it may come from; any when absent.
    pub allowed_image_domains: Option<Vec<String>>,
    /// Whatever an integration keeps with the thread.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// A page of items.
    pub items: Page<ThreadItem>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether a thread takes messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ThreadStatus {
    /// It does.
    #[default]
    Active,
    /// Not at the moment.
    Locked {
        /// Why, for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Not any more.
    Closed {
        /// Why, for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}
