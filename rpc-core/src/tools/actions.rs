//! What users may call by using a widget.

use super::{Done, Shown, Tool, Toolbox};
use crate::error::Error;
use crate::model::ToolCall;
use serde_json::{Value, json};
use std::sync::Arc;
use threadline_schema::chatkit::{Action, WidgetItem};
use uuid::Uuid;

/// Characters of an action's name that are repeated to whoever sent it.
const NAME_CHARS: usize = 100;

impl Toolbox {
    /// What a user may call who talks to an agent with these tools; `all` may be called whichever agent it is.
    pub(crate) fn for_actions(&self, all: Vec<Arc<dyn Tool>>) -> Self {
        let tools = all.into_iter().chain(self.tools.iter().cloned());
        Self::new(tools.filter(|tool| tool.action().is_some()), false, &[])
    }

    /// The call that an action asks for.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when there is no such action, with those there are, or when its payload does not fit.
    pub(crate) fn call_of(&self, action: &Action) -> Result<ToolCall, Error> {
        let kind: String = action.kind.chars().take(NAME_CHARS).collect();
        let Some(tool) = self.tools.iter().find(|tool| tool.action() == Some(&action.kind)) else {
            let names = self.tools.iter().filter_map(|tool| tool.action()).collect::<Vec<_>>().join(", ");
            return Err(Error::invalid(format!("There is no action {kind:?} here; there are: {names}.")));
        };
        let arguments = match &action.payload {
            None | Some(Value::Null) => json!({}),
            Some(payload @ Value::Object(_)) => payload.clone(),
            Some(_) => return Err(Error::invalid(format!("The payload of {kind:?} must be an object."))),
        };
        let problem = |problem| Error::invalid(format!("The payload of {kind:?} does not fit: {problem}."));
        tool.check(&arguments).map_err(problem)?;
        let id = format!("action_{}", Uuid::new_v4().simple());
        Ok(ToolCall { id, name: tool.name().to_owned(), arguments: arguments.to_string() })
    }

    /// Has a widget show what a call did that was made by using it: as the widget in the result, if there is one.
    pub(crate) fn draw(&self, call: &ToolCall, done: &Done, item: &mut WidgetItem) {
        if let Some(Shown { widget, copy_text, .. }) = &done.shown {
            item.widget.clone_from(widget);
            item.copy_text.clone_from(copy_text);
        } else if let Some(tool) = self.find(&call.name)
            && let Ok(result) = serde_json::from_str(&done.result)
        {
            tool.redraw(&result, &mut item.widget);
        }
    }
}
