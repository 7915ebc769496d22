//! The to-do list as a widget.

use super::{COMPLETE_TASK, Shown};
use serde_json::Value;
use threadline_schema::chatkit::widget::{
    Common, Icon, ListLimit, ListView, ListViewItem, Text, WidgetComponent, WidgetRoot,
};
use threadline_schema::chatkit::{ActionConfig, IconName};
use uuid::Uuid;

/// The result of `list_tasks` as a list with a row for each task; those that are open can be completed there.
pub(in crate::tools) fn list(result: &Value) -> Option<Shown> {
    let tasks = result.get("tasks")?.as_array()?;
    let rows = tasks.iter().filter_map(|task| Some(WidgetComponent::ListViewItem(Box::new(row(task)?))));
    let children: Vec<_> = rows.collect();
    if children.is_empty() {
        return None;
    }
    let list = ListView { children, limit: Some(ListLimit::Auto), ..ListView::default() };
    Some(Shown { widget: WidgetRoot::ListView(Box::new(list)), copy_text: None, is_overview: true })
}

/// Shows in such a list what `complete_task` says of a task, if the task is in it.
pub(in crate::tools) fn complete(result: &Value, widget: &mut WidgetRoot) {
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
    let id: Uuid = task.get("id")?.as_str()?.parse().ok()?;
    let (title, completed) = (task.get("title")?.as_str()?, task.get("completed")?.as_bool()?);
    let name = if completed { IconName::CheckCircleFilled } else { IconName::EmptyCircle };
    let icon = Icon { name, color: None, size: None, common: Common::default() };
    let text = Text { value: title.to_owned(), line_through: completed.then_some(true), ..Text::default() };
    Some(ListViewItem {
        children: vec![WidgetComponent::Icon(Box::new(icon)), WidgetComponent::Text(Box::new(text))],
        on_click_action: (!completed).then(|| ActionConfig::new(COMPLETE_TASK, serde_json::json!({"task_id": id}))),
        common: Common { key: Some(id.to_string()), ..Common::default() },
        ..ListViewItem::default()
    })
}
