//! Validates the tools that a server lists.

use crate::tool::tool_spec;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use threadline_model::ToolSpec;

/// Maximum number of tools of one server; the rest is ignored.
const MAX_TOOLS: usize = 256;
/// Maximum length of a tool's name: the limit of OpenAI for names of functions.
const MAX_NAME_CHARS: usize = 64;
/// Maximum length of a description, in characters: every request to a model carries it.
const MAX_DESCRIPTION_CHARS: usize = 4_096;
/// Maximum size of a schema, for the same reason.
const MAX_SCHEMA_BYTES: usize = 64 * 1024;

/// A tool that a server offers.
pub(super) struct ListedTool {
    /// For the model. The name has the name of the server as a prefix.
    pub(super) spec: ToolSpec,
    /// The name that the server knows.
    pub(super) name: Arc<str>,
    /// The title for users, if the server gives one.
    pub(super) title: Option<String>,
    pub(super) has_side_effects: bool,
}

/// Returns the tools that agents can use, and logs those that they cannot.
pub(super) fn usable_tools(server: &str, tools: Vec<rmcp::model::Tool>) -> Vec<Arc<ListedTool>> {
    let mut names = HashSet::new();
    let mut usable = Vec::new();
    for tool in tools {
        let log_ignored =
            |reason: &str| tracing::warn!(server, tool = &*tool.name, reason, "tool of an MCP server is ignored");
        if usable.len() == MAX_TOOLS {
            log_ignored("the server has too many tools");
            break;
        }
        let Some(name) = prefixed_name(server, &tool.name) else {
            log_ignored("its name is empty, or too long with the name of the server");
            continue;
        };
        let schema = Value::Object((*tool.input_schema).clone());
        if schema.to_string().len() > MAX_SCHEMA_BYTES {
            log_ignored("its schema is too long");
            continue;
        }
        if !names.insert(name.clone()) {
            log_ignored("another tool has the same name");
            continue;
        }
        let description: String =
            tool.description.as_deref().unwrap_or_default().chars().take(MAX_DESCRIPTION_CHARS).collect();
        let annotations = tool.annotations.unwrap_or_default();
        usable.push(Arc::new(ListedTool {
            spec: tool_spec(&name, &description, &schema),
            name: tool.name.as_ref().into(),
            title: annotations.title.or(tool.title),
            // The protocol's default: a tool that is not declared read-only can have side effects.
            has_side_effects: annotations.read_only_hint != Some(true),
        }));
    }
    usable
}

/// Returns `server_tool` in the characters that models can write; `None` if there is no such name.
fn prefixed_name(server: &str, tool: &str) -> Option<String> {
    let replace = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let name: String = format!("{server}_{tool}").chars().map(replace).collect();
    (!tool.is_empty() && name.len() <= MAX_NAME_CHARS).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_writable_for_models_and_unique() {
        let tool = |name: &str, more: Value| {
            let mut tool = json!({"name": name, "inputSchema": {"type": "object"}});
            tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(tool).unwrap()
        };
        let tools = usable_tools(
            "files",
            vec![
                tool(
                    "read.file",
                    json!({"description": "Reads.", "annotations": {"readOnlyHint": true, "title": "Read"}}),
                ),
                tool("read/file", json!({})),
                tool("", json!({})),
                tool(&"x".repeat(59), json!({})),
                tool("heavy", json!({"inputSchema": {"type": "object", "description": "x".repeat(MAX_SCHEMA_BYTES)}})),
                tool("löschen", json!({"description": "d".repeat(5_000)})),
            ],
        );
        let names: Vec<_> =
            tools.iter().map(|tool| (tool.spec.name.as_str(), &*tool.name, tool.has_side_effects)).collect();
        assert_eq!(names, [("files_read_file", "read.file", false), ("files_l_schen", "löschen", true)]);
        assert_eq!(tools[0].title.as_deref(), Some("Read"));
        assert_eq!(tools[1].spec.description.len(), MAX_DESCRIPTION_CHARS);
    }
}
