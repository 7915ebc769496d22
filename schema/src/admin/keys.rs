//! Creating and revoking service keys.

use super::AdminKey;
use crate::ids::ServiceKeyId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Params of `admin.create_key`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminCreateKeyParams {
    /// Its name, in lists and in the audit log: 1 to 100 characters, on one line.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The methods that it may call: `threads.create`, `threads.*`, or `*`, which is all but those of operators.
    #[schemars(length(min = 1, max = 100))]
    pub methods: Vec<String>,
    /// The users that it may act for: an id, `ISSUER|SUBJECT`, `ISSUER|*`, or `*`.
    #[schemars(length(min = 1, max = 1000))]
    pub users: Vec<String>,
    /// Calls per minute, of all users together. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// The budget class of what it starts. Default: that of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub budget_class: Option<String>,
    /// Days until it expires, 1 to 3650. Default: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub expires_days: Option<u32>,
}

/// A service key that was just created.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct AdminNewKey {
    /// The text of the key. It is stored nowhere, and returned only here.
    pub secret: String,
    /// The key.
    pub key: AdminKey,
}

/// Params of `admin.revoke_key`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminKeyRef {
    /// The key.
    pub key_id: ServiceKeyId,
}

impl std::fmt::Debug for AdminNewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminNewKey").field("key", &self.key).finish_non_exhaustive()
    }
}
