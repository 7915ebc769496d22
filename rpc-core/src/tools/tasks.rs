//! The to-do list as tools.

use super::{Shown, Tool, ToolContext, ToolError, widgets};
use crate::error::Error;
use crate::model::ToolSpec;
use crate::store::Store;
use crate::todo;
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::chatkit::widget::WidgetRoot;
use threadline_schema::error::Failure;
use threadline_schema::page::MAX_LIMIT;
use threadline_schema::tasks::{Priority, Task, TaskFilter, TasksCreateParams, TasksListParams, TasksUpdateParams};
use uuid::Uuid;

/// Names of every tool of this file.
pub(super) const NAMES: &[&str] = &["add_task", "list_tasks", "complete_task", "delete_task", "update_task"];

/// Every tool of this file.
pub(super) fn all() -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(TaskTool::new(
            "add_task",
            "Add a task to the user's to-do list.",
            |arguments: &AddTask| (format!("Adding \"{}\"", arguments.title), format!("Added \"{}\"", arguments.title)),
            |store, user_id, arguments: AddTask| add(store, user_id, arguments).boxed(),
        )),
        Arc::new(
            TaskTool::new(
                "list_tasks",
                "List the user's tasks, newest first, with their ids.",
                |_: &ListTasks| ("Looking at the tasks".to_owned(), "Looked at the tasks".to_owned()),
                |store, user_id, arguments: ListTasks| list(store, user_id, arguments).boxed(),
            )
            .that_looks()
            .shown_as(widgets::list),
        ),
        Arc::new(
            TaskTool::new(
                "complete_task",
                "Mark a task as done. Get its id from list_tasks.",
                |_: &OneTask| ("Completing a task".to_owned(), "Completed a task".to_owned()),
                |store, user_id, arguments: OneTask| complete(store, user_id, arguments).boxed(),
            )
            .by_action(widgets::COMPLETE_TASK, widgets::complete),
        ),
        Arc::new(TaskTool::new(
            "delete_task",
            "Delete a task for good. Get its id from list_tasks.",
            |_: &OneTask| ("Deleting a task".to_owned(), "Deleted a task".to_owned()),
            |store, user_id, arguments: OneTask| delete(store, user_id, arguments).boxed(),
        )),
        Arc::new(TaskTool::new(
            "update_task",
            "Change the title, description or priority of a task. Get its id from list_tasks.",
            |_: &UpdateTask| ("Changing a task".to_owned(), "Changed a task".to_owned()),
            |store, user_id, arguments: UpdateTask| update(store, user_id, arguments).boxed(),
        )),
    ]
}

/// Arguments of `add_task`.
#[derive(Deserialize, JsonSchema)]
struct AddTask {
    /// What is to be done, in a few words.
    title: String,
    /// More about it.
    #[serde(default)]
    description: Option<String>,
    /// How urgent it is.
    #[serde(default)]
    priority: Option<Priority>,
    /// Words to find it by.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// Arguments of `list_tasks`.
#[derive(Deserialize, JsonSchema)]
struct ListTasks {
    /// Which tasks; all when absent.
    #[serde(default)]
    status: Option<TaskFilter>,
}

/// Arguments that name a task.
#[derive(Deserialize, JsonSchema)]
struct OneTask {
    /// Id of the task.
    task_id: Uuid,
}

/// Arguments of `update_task`.
#[derive(Deserialize, JsonSchema)]
struct UpdateTask {
    /// Id of the task.
    task_id: Uuid,
    /// A new title.
    #[serde(default)]
    title: Option<String>,
    /// A new description.
    #[serde(default)]
    description: Option<String>,
    /// A new priority.
    #[serde(default)]
    priority: Option<Priority>,
}

async fn add(store: &Store, user_id: Uuid, arguments: AddTask) -> Result<Value, Error> {
    let AddTask { title, description, priority, tags } = arguments;
    let task = todo::create(store, user_id, TasksCreateParams { title, description, priority, tags }).await?;
    Ok(json!({"task": brief(&task)}))
}

async fn list(store: &Store, user_id: Uuid, arguments: ListTasks) -> Result<Value, Error> {
    let params = TasksListParams { status: arguments.status, limit: Some(MAX_LIMIT), after: None };
    let page = todo::list(store, user_id, params).await?;
    let tasks: Vec<Value> = page.data.iter().map(brief).collect();
    Ok(json!({"tasks": tasks, "has_more": page.has_more}))
}

async fn complete(store: &Store, user_id: Uuid, arguments: OneTask) -> Result<Value, Error> {
    Ok(json!({"task": brief(&todo::complete(store, user_id, arguments.task_id).await?)}))
}

async fn delete(store: &Store, user_id: Uuid, arguments: OneTask) -> Result<Value, Error> {
    let task = todo::get(store, user_id, arguments.task_id).await?;
    todo::delete(store, user_id, arguments.task_id).await?;
    Ok(json!({"deleted": true, "task": brief(&task)}))
}

async fn update(store: &Store, user_id: Uuid, arguments: UpdateTask) -> Result<Value, Error> {
    let UpdateTask { task_id, title, description, priority } = arguments;
    let description = description.map(Some);
    let params = TasksUpdateParams { task_id, title, description, priority, tags: None, completed: None };
    Ok(json!({"task": brief(&todo::update(store, user_id, params).await?)}))
}

/// What a model needs of a task: its id and its words. Owner and times would only cost tokens.
fn brief(task: &Task) -> Value {
    let Task { id, title, description, priority, tags, completed, .. } = task;
    json!({
        "id": id, "title": title, "description": description, "priority": priority, "tags": tags,
        "completed": completed,
    })
}

type Titles<A> = fn(&A) -> (String, String);
type Redraw = fn(&Value, &mut WidgetRoot);
type Run<A> = for<'a> fn(&'a Store, Uuid, A) -> BoxFuture<'a, Result<Value, Error>>;

/// A tool with typed arguments.
struct TaskTool<A> {
    name: &'static str,
    description: &'static str,
    /// What a person reads while it works, and after.
    titles: Titles<A>,
    run: Run<A>,
    acts: bool,
    show: fn(&Value) -> Option<Shown>,
    /// Name of the action that calls it, and how the widget is drawn after that.
    action: Option<(&'static str, Redraw)>,
}

impl<A> TaskTool<A> {
    fn new(name: &'static str, description: &'static str, titles: Titles<A>, run: Run<A>) -> Self {
        Self { name, description, titles, run, acts: true, show: |_| None, action: None }
    }

    /// The same tool, which changes nothing.
    fn that_looks(self) -> Self {
        Self { acts: false, ..self }
    }

    /// The same tool, whose result is shown as a widget.
    fn shown_as(self, show: fn(&Value) -> Option<Shown>) -> Self {
        Self { show, ..self }
    }

    /// The same tool, which users may call from widgets.
    fn by_action(self, name: &'static str, redraw: Redraw) -> Self {
        Self { action: Some((name, redraw)), ..self }
    }
}

impl<A: DeserializeOwned + JsonSchema + Send + 'static> Tool for TaskTool<A> {
    fn name(&self) -> &str {
        self.name
    }

    fn spec(&self) -> ToolSpec {
        super::spec(self.name, self.description, &super::schema_of::<A>())
    }

    fn title(&self, arguments: &Value, done: bool) -> String {
        match A::deserialize(arguments) {
            Ok(arguments) => {
                let (working, ended) = (self.titles)(&arguments);
                if done { ended } else { working }
            }
            Err(_) => super::plain_title(self.name),
        }
    }

    fn acts(&self) -> bool {
        self.acts
    }

    fn action(&self) -> Option<&str> {
        self.action.map(|(name, _)| name)
    }

    fn check(&self, arguments: &Value) -> Result<(), String> {
        A::deserialize(arguments).map(drop).map_err(|error| error.to_string())
    }

    fn show(&self, result: &mut Value) -> Option<Shown> {
        (self.show)(result)
    }

    fn redraw(&self, result: &Value, widget: &mut WidgetRoot) {
        if let Some((_, redraw)) = self.action {
            redraw(result, widget);
        }
    }

    fn run<'a>(&'a self, context: ToolContext<'a>, arguments: Value) -> BoxFuture<'a, Result<Value, ToolError>> {
        async move {
            let arguments =
                A::deserialize(&arguments).map_err(|error| ToolError::Failed(format!("Bad arguments: {error}.")))?;
            (self.run)(context.store, context.user_id, arguments).await.map_err(|error| {
                let (public, log) = error.into_parts();
                if let Some(log) = log {
                    tracing::error!(tool = self.name, error = %log, "a tool failed");
                }
                // The database did not say how it went: what was asked of it may be done all the same.
                if self.acts && public.code == ErrorCode::ServiceUnavailable {
                    return ToolError::Unknown;
                }
                ToolError::Refused(Failure { code: public.code, message: public.message })
            })
        }
        .boxed()
    }
}
