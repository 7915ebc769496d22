//! Validates the tools that a server lists. One that cannot be used is left out, and the others stay.

use super::listing::Listing;
use super::pin::hash_of;
use crate::arguments::ArgumentSchema;
use crate::tool::tool_spec;
use serde_json::Value;
use std::collections::HashMap;
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
/// Maximum number of problems that are kept; the rest is counted.
const MAX_PROBLEMS: usize = 20;
/// Maximum length of a server's text in a problem, in characters.
const QUOTED_CHARS: usize = 80;

/// A tool that a server offers.
pub(super) struct ListedTool {
    /// For the model. The name has the name of the server as a prefix.
    pub(super) spec: ToolSpec,
    /// Checks the arguments.
    pub(super) arguments: ArgumentSchema,
    /// The name that the server knows.
    pub(super) name: Arc<str>,
    /// The title for users, if the server gives one.
    pub(super) title: Option<String>,
    pub(super) has_side_effects: bool,
    /// Whether the server says that calls of it may be made twice.
    pub(super) is_said_idempotent: bool,
    /// Of what the server says about it.
    pub(super) hash: [u8; 32],
}

/// Collects the tools of a server that can be used.
pub(super) struct ToolList<'a> {
    server: &'a str,
    tools: Vec<Arc<ListedTool>>,
    /// Each tool as it was listed, by the name for models.
    sources: HashMap<String, Value>,
    problems: Vec<String>,
    /// Problems that are not kept.
    more_problems: usize,
}

impl<'a> ToolList<'a> {
    pub(super) fn new(server: &'a str) -> Self {
        Self { server, tools: Vec::new(), sources: HashMap::new(), problems: Vec::new(), more_problems: 0 }
    }

    /// Whether no more tools are used.
    pub(super) fn is_full(&self) -> bool {
        self.tools.len() >= MAX_TOOLS
    }

    /// Notes a problem for the operator.
    pub(super) fn note(&mut self, problem: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more_problems += 1;
        }
    }

    /// Adds a tool as the server lists it.
    pub(super) fn add(&mut self, tool: Value) {
        if let Err(problem) = self.try_add(&tool) {
            let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
            let name: String = name.chars().take(QUOTED_CHARS).collect();
            self.note(format!("tool {name:?} is left out: {problem}"));
        }
    }

    fn try_add(&mut self, tool: &Value) -> Result<(), String> {
        let Some(members) = tool.as_object() else { return Err("it is not an object".to_owned()) };
        let Some(name) = members.get("name").and_then(Value::as_str).filter(|name| !name.trim().is_empty()) else {
            return Err("it has no name".to_owned());
        };
        let Some(for_models) = prefixed_name(self.server, name) else {
            return Err("its name is too long with the name of the server".to_owned());
        };
        if let Some(earlier) = self.sources.get(&for_models) {
            // The same page twice is not new.
            return if earlier == tool { Ok(()) } else { Err("another tool has the same name".to_owned()) };
        }
        if members.get("execution").and_then(|execution| execution.get("taskSupport")) == Some(&"required".into()) {
            return Err("it can only be called as a task, which is not supported".to_owned());
        }
        let schema = members.get("inputSchema").filter(|schema| !schema.is_null());
        let arguments = ArgumentSchema::lenient(schema.unwrap_or(&Value::Null))?;
        if arguments.schema().to_string().len() > MAX_SCHEMA_BYTES {
            return Err("its schema is too long".to_owned());
        }
        if self.is_full() {
            return Err("the server has too many tools".to_owned());
        }
        if let Some(problem) = arguments.problem() {
            let problem: String = problem.chars().take(QUOTED_CHARS).collect();
            self.note(format!("arguments of tool {name:?} are not checked here: its schema is invalid: {problem}"));
        }
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(ToOwned::to_owned);
        let description = text(members.get("description")).unwrap_or_default();
        let description: String = description.chars().take(MAX_DESCRIPTION_CHARS).collect();
        let annotations = members.get("annotations");
        let annotation = |name: &str| annotations.and_then(|annotations| annotations.get(name));
        self.tools.push(Arc::new(ListedTool {
            spec: tool_spec(&for_models, &description, arguments.schema()),
            arguments,
            name: name.into(),
            title: text(annotation("title")).or_else(|| text(members.get("title"))),
            // The protocol's default: a tool that is not declared read-only can have side effects.
            has_side_effects: annotation("readOnlyHint") != Some(&Value::Bool(true)),
            is_said_idempotent: ["readOnlyHint", "idempotentHint"]
                .iter()
                .any(|hint| annotation(hint) == Some(&Value::Bool(true))),
            hash: hash_of(tool),
        }));
        self.sources.insert(for_models, tool.clone());
        Ok(())
    }

    pub(super) fn finish(mut self) -> Listing {
        if self.more_problems > 0 {
            self.problems.push(format!("and {} more problems", self.more_problems));
        }
        Listing { tools: self.tools, problems: self.problems }
    }
}

/// Returns `server_tool` in the characters that models can write; `None` if it is too long.
fn prefixed_name(server: &str, tool: &str) -> Option<String> {
    let replace = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let name: String = format!("{server}_{tool}").chars().map(replace).collect();
    (name.len() <= MAX_NAME_CHARS).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(tools: Vec<Value>) -> Listing {
        let mut list = ToolList::new("files");
        tools.into_iter().for_each(|tool| list.add(tool));
        list.finish()
    }

    fn tool(name: &str, more: Value) -> Value {
        let mut tool = json!({"name": name, "inputSchema": {"type": "object"}});
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tool
    }

    #[test]
    fn names_are_writable_for_models_and_unique() {
        let Listing { tools, problems } = list(vec![
            tool("read.file", json!({"description": "Reads.", "annotations": {"readOnlyHint": true, "title": "Read"}})),
            tool("read/file", json!({})),
            tool("", json!({})),
            tool(&"x".repeat(59), json!({})),
            tool("heavy", json!({"inputSchema": {"type": "object", "description": "x".repeat(MAX_SCHEMA_BYTES)}})),
            tool("löschen", json!({"description": "d".repeat(5_000)})),
        ]);
        let names: Vec<_> =
            tools.iter().map(|tool| (tool.spec.name.as_str(), &*tool.name, tool.has_side_effects)).collect();
        assert_eq!(names, [("files_read_file", "read.file", false), ("files_l_schen", "löschen", true)]);
        assert_eq!(tools.iter().map(|tool| tool.is_said_idempotent).collect::<Vec<_>>(), [true, false]);
        assert_eq!(tools[0].title.as_deref(), Some("Read"));
        assert_eq!(tools[1].spec.description.len(), MAX_DESCRIPTION_CHARS);
        assert_eq!(problems.len(), 4, "{problems:?}");
    }

    #[test]
    fn a_malformed_tool_is_left_out_and_said_and_the_others_stay() {
        let same = tool("same", json!({}));
        let Listing { tools, problems } = list(vec![
            json!({"name": "bare"}),
            tool("null", json!({"inputSchema": null, "annotations": 7, "icons": "x", "title": 7, "description": {}})),
            json!("text"),
            json!({"inputSchema": {"type": "object"}}),
            json!({"name": 7, "inputSchema": {"type": "object"}}),
            tool("list", json!({"inputSchema": [1]})),
            tool("words", json!({"inputSchema": {"type": "string"}})),
            tool("never", json!({"inputSchema": false})),
            tool("task", json!({"execution": {"taskSupport": "required"}})),
            same.clone(),
            same,
            tool("broken", json!({"inputSchema": {"type": "object", "properties": {"a": {"type": "strin"}}}})),
            tool("good", json!({})),
        ]);
        let names: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
        assert_eq!(names, ["bare", "null", "same", "broken", "good"]);
        assert_eq!(tools[0].spec.parameters.get(), r#"{"properties":{},"type":"object"}"#);
        assert_eq!(problems.len(), 8, "{problems:?}");
        assert!(problems.iter().any(|problem| problem.contains("\"words\"")), "{problems:?}");
    }

    #[test]
    fn tools_and_problems_are_bounded() {
        let many = (0..300).map(|number| tool(&format!("t{number}"), json!({})));
        let Listing { tools, problems } = list(many.collect());
        assert_eq!((tools.len(), problems.len()), (MAX_TOOLS, MAX_PROBLEMS + 1));
        assert_eq!(problems.last().unwrap(), "and 24 more problems");
    }
}
