//! The to-do list as a widget.

use serde_json::{Value, json};
use threadline_schema::chatkit::widget::{
    Common, Icon, ListLimit, ListView, ListViewItem, Text, WidgetComponent, WidgetRoot,
};
use threadline_schema::chatkit::{ActionConfig, IconName};
use threadline_schema::ids::TaskId;
use threadline_tools::WidgetView;

/// Name of the action that completes a task.
pub(super) const COMPLETE_TASK: &str = "tasks.complete";

/// Shows the result of `list_tasks`, with one row per task. A click on an open task completes it.
pub(super) fn task_list(result: &Value) -> Option<WidgetView> {
    let tasks = result.get("tasks")?.as_array()?;
    let rows = tasks.iter().filter_map(|task| Some(WidgetComponent::ListViewItem(Box::new(row(task)?))));
    let children: Vec<_> = rows.collect();
    if children.is_empty() {
        return None;
    }
    let list = ListView { children, limit: Some(ListLimit::Auto), ..ListView::default() };
    Some(WidgetView { widget: WidgetRoot::ListView(Box::new(list)), copy_text: None, is_overview: true })
}

/// Replaces the row of a task by one that shows the result of `complete_task`.
pub(super) fn update_task(result: &Value, widget: &mut WidgetRoot) {
    let (WidgetRoot::ListView(list), Some(new)) = (widget, result.get("task").and_then(row)) else { return };
    let mut rows = list.children.iter_mut().filter_map(|child| match child {
        WidgetComponent::ListViewItem(row) => Some(row),
        _ => None,
    });
    if let Some(row) = rows.find(|row| row.common.key == new.common.key) {
        **row = new;
    }
}

fn row(task: &Value) -> Option<ListViewItem> {
    let id: TaskId = task.get("id")?.as_str()?.parse().ok()?;
    let (title, completed) = (task.get("title")?.as_str()?, task.get("completed")?.as_bool()?);
    let name = if completed { IconName::CheckCircleFilled } else { IconName::EmptyCircle };
    let icon = Icon { name, color: None, size: None, common: Common::default() };
    let text = Text { value: title.to_owned(), line_through: completed.then_some(true), ..Text::default() };
    Some(ListViewItem {
        children: vec![WidgetComponent::Icon(Box::new(icon)), WidgetComponent::Text(Box::new(text))],
        on_click_action: (!completed).then(|| ActionConfig::new(COMPLETE_TASK, json!({"task_id": id}))),
        common: Common { key: Some(id.to_string()), ..Common::default() },
        ..ListViewItem::default()
    })
}
