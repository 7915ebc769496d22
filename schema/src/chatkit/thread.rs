//! Threads of the protocol.

use super::{Extra, ThreadItem};
use crate::ids::ThreadId;
use crate::page::Page;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

/// A conversation, with the protocol's members only. [`crate::threads::Thread`] has those of this service too.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ChatKitThread")]
pub struct Thread {
    /// Id of the thread.
    pub id: ThreadId,
    /// Title.
    pub title: Option<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Whether the thread accepts messages.
    #[serde(default)]
    pub status: ThreadStatus,
    /// Domains from which the front end may load images; all if absent.
    pub allowed_image_domains: Option<Vec<String>>,
    /// Metadata of an integration.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// A page of items.
    pub items: Page<ThreadItem>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether a thread accepts messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ThreadStatus {
    /// It accepts messages.
    #[default]
    Active,
    /// It accepts no messages at the moment.
    Locked {
        /// Reason, for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It accepts no more messages.
    Closed {
        /// Reason, for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}
