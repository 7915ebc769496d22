//! Validates tasks and stores them.

use crate::error::Error;
use crate::page;
use crate::store::rows::TaskRow;
use crate::store::{Clock, Store, TaskChanges, TaskPage};
use crate::wire;
use std::sync::Arc;
use threadline_schema::db::text::TextList;
use threadline_schema::ids::{TaskId, UserId};
use threadline_schema::page::Page;
use threadline_schema::tasks::{Task, TasksCreateParams, TasksListParams, TasksUpdateParams};

/// Maximum length of a title, in characters.
const MAX_TITLE_CHARS: usize = 200;
/// Maximum length of a description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 2_000;
/// Maximum number of tags of a task.
const MAX_TAGS: usize = 20;
/// Maximum length of a tag, in characters.
const MAX_TAG_CHARS: usize = 50;

/// The to-do lists of all users. Each operation takes the user that it acts for.
#[derive(Clone)]
pub(crate) struct TodoList {
    store: Store,
    clock: Arc<Clock>,
}

impl TodoList {
    pub(crate) fn new(store: &Store, clock: &Arc<Clock>) -> Self {
        Self { store: store.clone(), clock: clock.clone() }
    }

    pub(crate) async fn create(&self, user_id: UserId, params: TasksCreateParams) -> Result<Task, Error> {
        let now = self.clock.now();
        let row = TaskRow {
            id: self.clock.new_id(),
            user_id,
            title: check_title(params.title)?,
            description: params.description.map(check_description).transpose()?,
            priority: params.priority.unwrap_or_default(),
            tags: check_tags(params.tags.unwrap_or_default())?,
            completed: false,
            created_at: now,
            updated_at: now,
            completed_at: None,
        };
        Ok(wire::task(self.store.task_create(row).await?))
    }

    pub(crate) async fn list(&self, user_id: UserId, params: TasksListParams) -> Result<Page<Task>, Error> {
        let query = TaskPage {
            limit: page::limit(params.limit, page::MAX)?,
            filter: params.status.unwrap_or_default(),
            after: page::id_cursor(params.after.as_deref())?,
        };
        let (rows, has_more) = self.store.tasks_page(user_id, query).await?;
        let after = rows.last().filter(|_| has_more).map(|row| row.id.to_string());
        Ok(Page { data: rows.into_iter().map(wire::task).collect(), has_more, after })
    }

    pub(crate) async fn get(&self, user_id: UserId, task_id: TaskId) -> Result<Task, Error> {
        Ok(wire::task(self.store.task_get(user_id, task_id).await?))
    }

    pub(crate) async fn update(&self, user_id: UserId, params: TasksUpdateParams) -> Result<Task, Error> {
        let changes = TaskChanges {
            title: params.title.map(check_title).transpose()?,
            description: params.description.map(|new| new.map(check_description).transpose()).transpose()?,
            priority: params.priority,
            tags: params.tags.map(check_tags).transpose()?,
            completed: params.completed,
        };
        let row = self.store.task_update(user_id, params.task_id, changes, self.clock.now()).await;
        Ok(wire::task(row?))
    }

    pub(crate) async fn complete(&self, user_id: UserId, task_id: TaskId) -> Result<Task, Error> {
        Ok(wire::task(self.store.task_complete(user_id, task_id, self.clock.now()).await?))
    }

    pub(crate) async fn delete(&self, user_id: UserId, task_id: TaskId) -> Result<(), Error> {
        Ok(self.store.task_delete(user_id, task_id).await?)
    }
}

fn check_title(title: String) -> Result<String, Error> {
    let title = title.trim().to_owned();
    if title.is_empty() {
        return Err(Error::invalid("A task needs a title."));
    }
    page::text("title", title, MAX_TITLE_CHARS)
}

fn check_description(text: String) -> Result<String, Error> {
    page::text("description", text, MAX_DESCRIPTION_CHARS)
}

fn check_tags(tags: Vec<String>) -> Result<TextList, Error> {
    if tags.len() > MAX_TAGS {
        return Err(Error::invalid(format!("A task has at most {MAX_TAGS} tags; these are {}.", tags.len())));
    }
    tags.into_iter().map(|tag| page::text("tags", tag, MAX_TAG_CHARS)).collect::<Result<_, _>>().map(TextList)
}
