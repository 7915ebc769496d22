//! What a server says it offers -> what agents are given.

use crate::model::ToolSpec;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// Tools of one server; more are left out.
const MAX_TOOLS: usize = 256;
/// Characters of a tool's name: what OpenAI takes as the name of a function.
const NAME_CHARS: usize = 64;
/// Characters of a description. It goes into every request to a model.
const DESCRIPTION_CHARS: usize = 4_096;
/// Bytes of a schema, for the same reason.
const SCHEMA_BYTES: usize = 64 * 1024;

/// A tool of a server.
pub(super) struct Listed {
    /// What the model is told; its name has the server's before it.
    pub(super) spec: ToolSpec,
    /// Its name at the server.
    pub(super) name: Arc<str>,
    /// Words for people, if the server has some.
    pub(super) title: Option<String>,
    pub(super) acts: bool,
}

/// The tools that can be offered. What cannot be is left out, and said in the log.
pub(super) fn listed(server: &str, tools: Vec<rmcp::model::Tool>) -> Vec<Arc<Listed>> {
    let mut names = HashSet::new();
    let mut all = Vec::new();
    for tool in tools {
        let left_out =
            |why: &str| tracing::warn!(server, tool = &*tool.name, why, "a tool of an MCP server is left out");
        if all.len() == MAX_TOOLS {
            left_out("there are too many");
            break;
        }
        let Some(name) = name_of(server, &tool.name) else {
            left_out("its name, behind the server's, is empty or too long");
            continue;
        };
        let schema = Value::Object((*tool.input_schema).clone());
        if schema.to_string().len() > SCHEMA_BYTES {
            left_out("its schema is too long");
            continue;
        }
        if !names.insert(name.clone()) {
            left_out("another tool has its name");
            continue;
        }
        let description: String =
            tool.description.as_deref().unwrap_or_default().chars().take(DESCRIPTION_CHARS).collect();
        let annotations = tool.annotations.unwrap_or_default();
        all.push(Arc::new(Listed {
            spec: crate::tools::spec(&name, &description, &schema),
            name: tool.name.as_ref().into(),
            title: annotations.title.or(tool.title),
            // What does not say that it only looks may act.
            acts: annotations.read_only_hint != Some(true),
        }));
    }
    all
}

/// `server_tool`, as models can write it; `None` where there is no such name.
fn name_of(server: &str, tool: &str) -> Option<String> {
    let right = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let name: String = format!("{server}_{tool}").chars().map(right).collect();
    (!tool.is_empty() && name.len() <= NAME_CHARS).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_ones_a_model_can_write_and_each_is_there_once() {
        let tool = |name: &str, more: Value| {
            let mut tool = json!({"name": name, "inputSchema": {"type": "object"}});
            tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(tool).unwrap()
        };
        let tools = listed(
            "files",
            vec![
                tool(
                    "read.file",
                    json!({"description": "Reads.", "annotations": {"readOnlyHint": true, "title": "Read"}}),
                ),
                tool("read/file", json!({})),
                tool("", json!({})),
                tool(&"x".repeat(59), json!({})),
                tool("heavy", json!({"inputSchema": {"type": "object", "description": "x".repeat(SCHEMA_BYTES)}})),
                tool("löschen", json!({"description": "d".repeat(5_000)})),
            ],
        );
        let names: Vec<_> = tools.iter().map(|tool| (tool.spec.name.as_str(), &*tool.name, tool.acts)).collect();
        assert_eq!(names, [("files_read_file", "read.file", false), ("files_l_schen", "löschen", true)]);
        assert_eq!(tools[0].title.as_deref(), Some("Read"));
        assert_eq!(tools[1].spec.description.len(), DESCRIPTION_CHARS);
    }
}
