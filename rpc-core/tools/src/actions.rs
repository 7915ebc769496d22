//! Calls that users make through the actions of a widget.

use crate::result::ToolResult;
use crate::tool::Tool;
use crate::toolbox::Toolbox;
use serde_json::{Value, json};
use std::sync::Arc;
use threadline_model::{ToolCall, ToolSpec};
use threadline_schema::chatkit::{Action, WidgetItem};
use threadline_schema::tool_result::WidgetView;
use uuid::Uuid;

/// Maximum length of an action's name in an error, in characters.
const NAME_CHARS: usize = 100;

/// Maximum size of a payload, in bytes of JSON: it is stored with the call, and models read it in each later prompt.
const MAX_PAYLOAD_BYTES: usize = 32 * 1024;

/// Returns the shortened name of a member that the schema of a tool does not declare; `None` without one, or if the
/// schema allows other members.
fn undeclared(spec: &ToolSpec, payload: &Value) -> Option<String> {
    let schema: Value = serde_json::from_str(spec.parameters.get()).ok()?;
    let is_open = |name: &str| schema.get(name).is_some_and(|value| *value != Value::Bool(false));
    let has_parts = ["$ref", "allOf", "anyOf", "oneOf"].iter().any(|name| schema.get(*name).is_some());
    if has_parts
        || schema.get("properties").is_none()
        || is_open("additionalProperties")
        || is_open("patternProperties")
    {
        return None;
    }
    let declared = schema.get("properties").and_then(Value::as_object);
    let is_declared = |name: &str| declared.is_some_and(|declared| declared.contains_key(name));
    let mut names = payload.as_object()?.keys();
    names.find(|name| !is_declared(name)).map(|name| name.chars().take(NAME_CHARS).collect())
}

/// Why an action cannot be executed. The text is for the client that sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// No tool has this action.
    #[error("There is no action {name:?} here; there are: {known}.")]
    NotFound {
        /// The action.
        name: String,
        /// The actions that exist, separated by commas.
        known: String,
    },
    /// The payload is not an object.
    #[error("The payload of {0:?} must be an object.")]
    PayloadNotObject(String),
    /// The payload is too large.
    #[error("The payload of {name:?} has {bytes} bytes; at most {MAX_PAYLOAD_BYTES} are allowed.")]
    PayloadTooLarge {
        /// The action.
        name: String,
        /// Bytes of JSON.
        bytes: usize,
    },
    /// The tool does not accept the payload.
    #[error("The payload of {name:?} does not fit: {reason}.")]
    InvalidPayload {
        /// The action.
        name: String,
        /// What is wrong with the payload.
        reason: String,
    },
}

/// What the ids of calls begin with that a user has made by an action.
const ACTION_CALL: &str = "action_";

/// Returns whether a tool call with this id was made by an action of a user.
pub fn is_action_call(id: &str) -> bool {
    id.starts_with(ACTION_CALL)
}

impl Toolbox {
    /// Returns the tools that users may call: those of this toolbox that have an action, and `more`, which do not
    /// depend on the agent.
    #[must_use]
    pub fn for_actions(&self, more: Vec<Arc<dyn Tool>>) -> Self {
        let tools = more.into_iter().chain(self.tools().iter().cloned());
        Self::new(tools.filter(|tool| tool.action_name().is_some()), false, &[])
    }

    /// Translates an action into a call.
    ///
    /// # Errors
    /// If no tool has this action, or its tool does not accept the payload.
    pub fn call_for_action(&self, action: &Action) -> Result<ToolCall, ActionError> {
        let name: String = action.kind.chars().take(NAME_CHARS).collect();
        let Some(tool) = self.tools().iter().find(|tool| tool.action_name() == Some(&action.kind)) else {
            let known = self.tools().iter().filter_map(|tool| tool.action_name()).collect::<Vec<_>>().join(", ");
            return Err(ActionError::NotFound { name, known });
        };
        let arguments = match &action.payload {
            None | Some(Value::Null) => json!({}),
            Some(payload @ Value::Object(_)) => payload.clone(),
            Some(_) => return Err(ActionError::PayloadNotObject(name)),
        };
        let bytes = arguments.to_string().len();
        if bytes > MAX_PAYLOAD_BYTES {
            return Err(ActionError::PayloadTooLarge { name, bytes });
        }
        if let Some(member) = undeclared(&tool.spec(), &arguments) {
            let reason = format!("it has no member {member:?}");
            return Err(ActionError::InvalidPayload { name, reason });
        }
        tool.check_arguments(&arguments).map_err(|reason| ActionError::InvalidPayload { name, reason })?;
        let id = format!("{ACTION_CALL}{}", Uuid::new_v4().simple());
        Ok(ToolCall { id, name: tool.name().to_owned(), arguments: arguments.to_string(), echo: None })
    }

    /// Updates the widget whose action made this call, to show the result. A widget in the result replaces it.
    pub fn update_widget(&self, call: &ToolCall, result: &ToolResult, item: &mut WidgetItem) {
        if let Some(WidgetView { widget, copy_text, .. }) = &result.widget {
            item.widget.clone_from(widget);
            item.copy_text.clone_from(copy_text);
        } else if let Some(tool) = self.find(&call.name)
            && let Ok(content) = serde_json::from_str(&result.content)
        {
            tool.update_widget(&content, &mut item.widget);
        }
    }
}
