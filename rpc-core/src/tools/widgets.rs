//! Widgets that results of tools are shown as, and what using them does.

use crate::error::Error;
use serde_json::Value;
use threadline_schema::chatkit::widget::{
    Common, Icon, ListLimit, ListView, ListViewItem, Text, WidgetComponent, WidgetRoot,
};
use threadline_schema::chatkit::{Action, ActionConfig, IconName};
use uuid::Uuid;

/// Name of the action that completes a task.
const COMPLETE: &str = "tasks.complete";

/// What a user does by using a widget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserAction {
    /// Completes a task.
    CompleteTask(Uuid),
}

impl UserAction {
    /// Reads an action as a client sends it.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when there is no such action, or its payload does not fit.
    pub(crate) fn of(action: &Action) -> Result<Self, Error> {
        if action.kind != COMPLETE {
            let kind: String = action.kind.chars().take(100).collect();
            return Err(Error::invalid(format!("There is no action {kind:?}; the widgets here have {COMPLETE:?}.")));
        }
        let id = action.payload.as_ref().and_then(|payload| payload.get("task_id")?.as_str()?.parse().ok());
        id.map(Self::CompleteTask)
            .ok_or_else(|| Error::invalid(format!("The payload of {COMPLETE:?} must be {{\"task_id\": <id>}}.")))
    }

    /// The tool that does it, and its arguments.
    pub(crate) fn tool(self) -> (&'static str, Value) {
        match self {
            Self::CompleteTask(id) => ("complete_task", serde_json::json!({"task_id": id})),
        }
    }

    /// Shows in a widget that it has been done. `false` when the widget does not show what was acted on.
    pub(crate) fn show_done(self, widget: &mut WidgetRoot) -> bool {
        let Self::CompleteTask(id) = self;
        let WidgetRoot::ListView(list) = widget else { return false };
        let key = Some(id.to_string());
        let row = list.children.iter_mut().find_map(|child| match child {
            WidgetComponent::ListViewItem(row) if row.common.key == key => Some(row),
            _ => None,
        });
        let Some(row) = row else { return false };
        let title = row.children.iter().find_map(|child| match child {
            WidgetComponent::Text(text) => Some(text.value.clone()),
            _ => None,
        });
        **row = task_row(id, &title.unwrap_or_default(), true);
        true
    }
}

/// The result of `list_tasks` as a list with a row for each task; those that are open can be completed there.
pub(super) fn task_list(result: &Value) -> Option<WidgetRoot> {
    let tasks = result.get("tasks")?.as_array()?;
    let rows = tasks.iter().filter_map(|task| {
        let id = task.get("id")?.as_str()?.parse().ok()?;
        let row = task_row(id, task.get("title")?.as_str()?, task.get("completed")?.as_bool()?);
        Some(WidgetComponent::ListViewItem(Box::new(row)))
    });
    let children: Vec<_> = rows.collect();
    if children.is_empty() {
        return None;
    }
    let list = ListView { children, limit: Some(ListLimit::Auto), ..ListView::default() };
    Some(WidgetRoot::ListView(Box::new(list)))
}

fn task_row(id: Uuid, title: &str, completed: bool) -> ListViewItem {
    let name = if completed { IconName::CheckCircleFilled } else { IconName::EmptyCircle };
    let icon = Icon { name, color: None, size: None, common: Common::default() };
    let text = Text { value: title.to_owned(), line_through: completed.then_some(true), ..Text::default() };
    ListViewItem {
        children: vec![WidgetComponent::Icon(Box::new(icon)), WidgetComponent::Text(Box::new(text))],
        on_click_action: (!completed).then(|| ActionConfig::new(COMPLETE, serde_json::json!({"task_id": id}))),
        common: Common { key: Some(id.to_string()), ..Common::default() },
        ..ListViewItem::default()
    }
}
