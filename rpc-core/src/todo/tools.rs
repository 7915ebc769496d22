//! The to-do list as tools of the model.

use super::{TodoList, widget};
use crate::error::Error;
use crate::typed_tool::{Titles, ToolGroup, TypedTool};
use futures::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use threadline_schema::ids::{TaskId, UserId};
use threadline_schema::page::MAX_LIMIT;
use threadline_schema::tasks::{Priority, Task, TaskFilter, TasksCreateParams, TasksListParams, TasksUpdateParams};
use threadline_tools::Tool;

/// The tools of the to-do list.
pub(crate) const TOOLS: ToolGroup<TodoList> =
    ToolGroup { names: &["add_task", "list_tasks", "complete_task", "delete_task", "update_task"], create };

fn create(todo: &TodoList) -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(TypedTool::new(
            "add_task",
            "Add a task to the user's to-do list.",
            todo.clone(),
            |arguments: &AddTask| {
                Titles::new(format!("Adding \"{}\"", arguments.title), format!("Added \"{}\"", arguments.title))
            },
            |todo, context, arguments| add(todo, context.user_id, arguments).boxed(),
        )),
        Arc::new(
            TypedTool::new(
                "list_tasks",
                "List the user's tasks, newest first, with their ids.",
                todo.clone(),
                |_: &ListTasks| Titles::new("Looking at the tasks", "Looked at the tasks"),
                |todo, context, arguments| list(todo, context.user_id, arguments).boxed(),
            )
            .read_only()
            .with_widget(widget::task_list),
        ),
        Arc::new(
            TypedTool::new(
                "complete_task",
                "Mark a task as done. Get its id from list_tasks.",
                todo.clone(),
                |_: &OneTask| Titles::new("Completing a task", "Completed a task"),
                |todo, context, arguments| complete(todo, context.user_id, arguments).boxed(),
            )
            .with_action(widget::COMPLETE_TASK, widget::update_task),
        ),
        Arc::new(TypedTool::new(
            "delete_task",
            "Delete a task for good. Get its id from list_tasks.",
            todo.clone(),
            |_: &OneTask| Titles::new("Deleting a task", "Deleted a task"),
            |todo, context, arguments| delete(todo, context.user_id, arguments).boxed(),
        )),
        Arc::new(TypedTool::new(
            "update_task",
            "Change the title, description or priority of a task. Get its id from list_tasks.",
            todo.clone(),
            |_: &UpdateTask| Titles::new("Changing a task", "Changed a task"),
            |todo, context, arguments| update(todo, context.user_id, arguments).boxed(),
        )),
    ]
}

/// Arguments of `add_task`.
#[derive(Deserialize, JsonSchema)]
struct AddTask {
    /// Title: what to do, in a few words.
    title: String,
    /// Description.
    #[serde(default)]
    description: Option<String>,
    /// Priority.
    #[serde(default)]
    priority: Option<Priority>,
    /// Tags.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// Arguments of `list_tasks`.
#[derive(Deserialize, JsonSchema)]
struct ListTasks {
    /// Filter; all tasks if absent.
    #[serde(default)]
    status: Option<TaskFilter>,
}

/// Arguments of tools that act on one task.
#[derive(Deserialize, JsonSchema)]
struct OneTask {
    /// Id of the task.
    task_id: TaskId,
}

/// Arguments of `update_task`.
#[derive(Deserialize, JsonSchema)]
struct UpdateTask {
    /// Id of the task.
    task_id: TaskId,
    /// New title.
    #[serde(default)]
    title: Option<String>,
    /// New description.
    #[serde(default)]
    description: Option<String>,
    /// New priority.
    #[serde(default)]
    priority: Option<Priority>,
}

async fn add(todo: &TodoList, user_id: UserId, arguments: AddTask) -> Result<Value, Error> {
    let AddTask { title, description, priority, tags } = arguments;
    let task = todo.create(user_id, TasksCreateParams { title, description, priority, tags }).await?;
    Ok(json!({"task": summary(&task)}))
}

async fn list(todo: &TodoList, user_id: UserId, arguments: ListTasks) -> Result<Value, Error> {
    let params = TasksListParams { status: arguments.status, limit: Some(MAX_LIMIT), after: None };
    let page = todo.list(user_id, params).await?;
    let tasks: Vec<Value> = page.data.iter().map(summary).collect();
    Ok(json!({"tasks": tasks, "has_more": page.has_more}))
}

async fn complete(todo: &TodoList, user_id: UserId, arguments: OneTask) -> Result<Value, Error> {
    Ok(json!({"task": summary(&todo.complete(user_id, arguments.task_id).await?)}))
}

async fn delete(todo: &TodoList, user_id: UserId, arguments: OneTask) -> Result<Value, Error> {
    let task = todo.get(user_id, arguments.task_id).await?;
    todo.delete(user_id, arguments.task_id).await?;
    Ok(json!({"deleted": true, "task": summary(&task)}))
}

async fn update(todo: &TodoList, user_id: UserId, arguments: UpdateTask) -> Result<Value, Error> {
    let UpdateTask { task_id, title, description, priority } = arguments;
    let description = description.map(Some);
    let params = TasksUpdateParams { task_id, title, description, priority, tags: None, completed: None };
    Ok(json!({"task": summary(&todo.update(user_id, params).await?)}))
}

/// Returns what the model needs of a task. Owner and times would only cost tokens.
fn summary(task: &Task) -> Value {
    let Task { id, title, description, priority, tags, completed, .. } = task;
    json!({
        "id": id, "title": title, "description": description, "priority": priority, "tags": tags,
        "completed": completed,
    })
}
