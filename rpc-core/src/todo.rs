//! The to-do list: what the methods and the tools do alike.

use crate::error::Error;
use crate::page;
use crate::store::Store;
use crate::store::rows::TaskRow;
use crate::store::{TaskChanges, TaskPage};
use crate::wire;
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::page::Page;
use threadline_schema::tasks::{Task, TasksCreateParams, TasksListParams, TasksUpdateParams};
use uuid::Uuid;

/// Characters of a title, at most.
const TITLE_CHARS: usize = 200;
/// Characters of a description, at most.
const DESCRIPTION_CHARS: usize = 2_000;
/// Tags of a task, at most.
const TAGS: usize = 20;
/// Characters of a tag, at most.
const TAG_CHARS: usize = 50;

pub(crate) async fn create(store: &Store, user_id: Uuid, params: TasksCreateParams) -> Result<Task, Error> {
    let now = UtcTime::now();
    let new = TaskRow {
        id: Uuid::now_v7().into(),
        user_id: user_id.into(),
        title: title(params.title)?,
        description: params.description.map(description).transpose()?,
        priority: params.priority.unwrap_or_default(),
        tags: tags(params.tags.unwrap_or_default())?,
        completed: false,
        created_at: now,
        updated_at: now,
        completed_at: None,
    };
    Ok(wire::task(store.task_create(new).await.map_err(Error::of_task)?))
}

pub(crate) async fn list(store: &Store, user_id: Uuid, params: TasksListParams) -> Result<Page<Task>, Error> {
    let query = TaskPage {
        limit: page::limit(params.limit, page::MAX)?,
        filter: params.status.unwrap_or_default(),
        after: page::id_cursor(params.after.as_deref())?,
    };
    let (rows, has_more) = store.tasks_page(user_id.into(), query).await.map_err(Error::of_task)?;
    let after = rows.last().filter(|_| has_more).map(|row| row.id.0.to_string());
    Ok(Page { data: rows.into_iter().map(wire::task).collect(), has_more, after })
}

pub(crate) async fn get(store: &Store, user_id: Uuid, task_id: Uuid) -> Result<Task, Error> {
    Ok(wire::task(store.task_get(user_id.into(), task_id.into()).await.map_err(Error::of_task)?))
}

pub(crate) async fn update(store: &Store, user_id: Uuid, params: TasksUpdateParams) -> Result<Task, Error> {
    let changes = TaskChanges {
        title: params.title.map(title).transpose()?,
        description: params.description.map(|new| new.map(description).transpose()).transpose()?,
        priority: params.priority,
        tags: params.tags.map(tags).transpose()?,
        completed: params.completed,
    };
    let row = store.task_update(user_id.into(), params.task_id.into(), changes).await.map_err(Error::of_task)?;
    Ok(wire::task(row))
}

pub(crate) async fn complete(store: &Store, user_id: Uuid, task_id: Uuid) -> Result<Task, Error> {
    Ok(wire::task(store.task_complete(user_id.into(), task_id.into()).await.map_err(Error::of_task)?))
}

pub(crate) async fn delete(store: &Store, user_id: Uuid, task_id: Uuid) -> Result<(), Error> {
    store.task_delete(user_id.into(), task_id.into()).await.map_err(Error::of_task)
}

fn title(title: String) -> Result<String, Error> {
    let title = title.trim().to_owned();
    if title.is_empty() {
        return Err(Error::invalid("A task needs a title."));
    }
    page::text("title", title, TITLE_CHARS)
}

fn description(text: String) -> Result<String, Error> {
    page::text("description", text, DESCRIPTION_CHARS)
}

fn tags(tags: Vec<String>) -> Result<TextList, Error> {
    if tags.len() > TAGS {
        return Err(Error::invalid(format!("A task has at most {TAGS} tags; these are {}.", tags.len())));
    }
    tags.into_iter().map(|tag| page::text("tags", tag, TAG_CHARS)).collect::<Result<_, _>>().map(TextList)
}
