//! What tools answered, as far as it can be made out.

use serde_json::Value;

/// A task in a tool's answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) completed: bool,
    pub(super) priority: Option<String>,
}

/// A call and what it answered.
pub(super) struct Outcome {
    pub(super) tool: String,
    pub(super) arguments: Value,
    pub(super) result: Value,
}

impl Outcome {
    /// Why the call failed, if it did.
    pub(super) fn error(&self) -> Option<&str> {
        let error = self.result.get("error").filter(|error| !error.is_null())?;
        Some(error.as_str().or_else(|| error.get("message")?.as_str()).unwrap_or("it failed"))
    }

    /// The tasks in a list.
    pub(super) fn tasks(&self) -> Vec<Known> {
        let list = ["tasks", "items", "data"].iter().find_map(|name| self.result.get(*name)).unwrap_or(&self.result);
        list.as_array().into_iter().flatten().filter_map(known).collect()
    }

    /// What the user answered: a line for each question that was not skipped.
    pub(super) fn answers(&self) -> Vec<String> {
        let answers = self.result.get("answers").and_then(Value::as_array);
        let line = |answer: &Value| {
            let given = answer.get("answers")?.as_array()?.iter().filter_map(Value::as_str).collect::<Vec<_>>();
            Some(format!("- {} {}", answer.get("question")?.as_str()?, given.join(", ")))
        };
        answers.into_iter().flatten().filter_map(line).collect()
    }

    /// The title of the one task the call was about.
    pub(super) fn title(&self) -> Option<&str> {
        let result = self.result.get("task").unwrap_or(&self.result);
        [result, &self.arguments].into_iter().find_map(|value| value.get("title")?.as_str())
    }

    /// The id the call named.
    pub(super) fn task_id(&self) -> Option<&str> {
        self.arguments.get("task_id")?.as_str()
    }
}

fn known(value: &Value) -> Option<Known> {
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    Some(Known {
        id: value.get("id").or_else(|| value.get("task_id")).and_then(id)?,
        title: text("title")?,
        completed: value
            .get("completed")
            .and_then(Value::as_bool)
            .unwrap_or(text("status").as_deref() == Some("completed")),
        priority: text("priority"),
    })
}

fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}
