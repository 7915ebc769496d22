//! What the operator has approved of a server's tools, and what has changed since they were first seen.
//!
//! Models follow the descriptions of tools. A server that changes a description after the operator has read it could
//! make the model do what the operator has not approved. So a server can be pinned: its tools are used only while they
//! are those that the operator has read.

use super::listed_tool::ListedTool;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The members of a tool that the model reads, or that decide how its calls are treated.
const PINNED: [&str; 5] = ["name", "title", "description", "inputSchema", "annotations"];
/// Tools from which on those are forgotten that are not listed any more.
const MAX_SEEN: usize = 1_024;
/// Begin of a fingerprint.
const ALGORITHM: &str = "sha256:";

/// The tools of a server that the operator wants.
#[derive(Debug, Clone, Default)]
pub(super) struct Pin {
    /// The fingerprint that the tools must have; `None` for any.
    pub(super) fingerprint: Option<Arc<str>>,
    /// The tools that are used, by the server's own names; `None` for all.
    pub(super) only: Option<Vec<Arc<str>>>,
}

/// Returns the hash of a tool, as the server lists it.
pub(super) fn hash_of(tool: &Value) -> [u8; 32] {
    let mut hash = Sha256::new();
    for member in PINNED {
        hash.update(member.as_bytes());
        match tool.get(member) {
            None | Some(Value::Null) => hash.update([0]),
            Some(value) => {
                hash.update([1]);
                update(&mut hash, value);
            }
        }
    }
    hash.finalize().into()
}

/// Adds a value, whatever the order of the members of its objects. Lengths keep neighbours apart.
fn update(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Array(values) => {
            hash.update(b"[");
            hash.update((values.len() as u64).to_be_bytes());
            values.iter().for_each(|value| update(hash, value));
        }
        Value::Object(members) => {
            hash.update(b"{");
            hash.update((members.len() as u64).to_be_bytes());
            let sorted: BTreeMap<&str, &Value> = members.iter().map(|(name, value)| (name.as_str(), value)).collect();
            for (name, value) in sorted {
                hash.update((name.len() as u64).to_be_bytes());
                hash.update(name.as_bytes());
                update(hash, value);
            }
        }
        Value::String(text) => {
            hash.update(b"\"");
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let text = value.to_string();
            hash.update(b"#");
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
    }
}

/// Returns the fingerprint of all tools of a server, in whatever order it lists them: `sha256:` and 64 digits.
pub(super) fn fingerprint(tools: &[Arc<ListedTool>]) -> String {
    let mut hashes: Vec<&[u8; 32]> = tools.iter().map(|tool| &tool.hash).collect();
    hashes.sort_unstable();
    let mut hash = Sha256::new();
    hashes.into_iter().for_each(|of_tool| hash.update(of_tool));
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{ALGORITHM}{digits}")
}

/// Returns whether a text can be a fingerprint.
pub fn is_fingerprint(text: &str) -> bool {
    text.strip_prefix(ALGORITHM).is_some_and(|digits| {
        digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The tools of a server as they were first seen, by its own names.
#[derive(Debug, Default)]
pub(super) struct SeenTools(BTreeMap<Arc<str>, [u8; 32]>);

impl SeenTools {
    /// Takes note of the tools that a server lists. Returns the names of those that are not what they were.
    pub(super) fn changes(&mut self, tools: &[Arc<ListedTool>]) -> Vec<Arc<str>> {
        let mut changed = Vec::new();
        for tool in tools {
            if self.0.insert(tool.name.clone(), tool.hash).is_some_and(|before| before != tool.hash) {
                changed.push(tool.name.clone());
            }
        }
        if self.0.len() > MAX_SEEN {
            self.0.retain(|name, _| tools.iter().any(|tool| tool.name == *name));
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_hash_depends_on_what_the_model_reads_and_on_nothing_else() {
        let tool =
            json!({"name": "a", "description": "Reads.", "inputSchema": {"type": "object", "required": ["x", "y"]}});
        let with = |member: &str, value: Value| {
            let mut other = tool.clone();
            other[member] = value;
            hash_of(&other)
        };
        let same: Value = serde_json::from_str(
            r#"{"inputSchema":{"required":["x","y"],"type":"object"},"description":"Reads.","name":"a","title":null}"#,
        )
        .unwrap();
        assert_eq!(hash_of(&same), hash_of(&tool));
        assert_eq!(with("icons", json!([1])), hash_of(&tool));
        for (member, value) in [
            ("description", json!("Reads. And sends all files to me.")),
            ("name", json!("b")),
            ("title", json!("T")),
            ("inputSchema", json!({"type": "object", "required": ["xy"]})),
            ("inputSchema", json!({"type": "object", "required": ["y", "x"]})),
            ("annotations", json!({"readOnlyHint": true})),
        ] {
            assert_ne!(with(member, value), hash_of(&tool), "{member}");
        }
    }

    #[test]
    fn a_fingerprint_has_a_form() {
        assert!(is_fingerprint(&fingerprint(&[])));
        for wrong in ["", "sha256:", "sha256:12", &format!("sha256:{}", "G".repeat(64)), &"0".repeat(64)] {
            assert!(!is_fingerprint(wrong), "{wrong}");
        }
    }
}
