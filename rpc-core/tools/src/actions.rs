//! Calls that users make through the actions of a widget.

use crate::result::ToolResult;
use crate::tool::Tool;
use crate::toolbox::Toolbox;
use serde_json::{Value, json};
use std::sync::Arc;
use threadline_model::ToolCall;
use threadline_schema::chatkit::{Action, WidgetItem};
use threadline_schema::tool_result::WidgetView;
use uuid::Uuid;

/// Maximum length of an action's name in an error, in characters.
const NAME_CHARS: usize = 100;

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
