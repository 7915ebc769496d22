//! To-do lists.

use super::db::Store;
use super::error::why_unchanged;
use super::error::{Entity, OrNotFound, StoreError, StoreResult};
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::TaskRow;
use super::truncate_page;
use super::unit::{change, read};
use diesel::dsl::case_when;
use diesel::prelude::*;
use threadline_schema::db::tables::tasks;
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{TaskId, UserId};
use threadline_schema::tasks::{Priority, TaskFilter};

/// A request for a page of a user's tasks, the newest first.
#[derive(Debug, Clone, Copy)]
pub struct TaskPage {
    /// Maximum number of rows.
    pub limit: u32,
    /// Which tasks to include.
    pub filter: TaskFilter,
    /// The last task of the page before. It may have been deleted since.
    pub after: Option<TaskId>,
}

/// Changes of a task. `None` keeps a field.
#[derive(Debug, Clone, Default, AsChangeset)]
#[diesel(table_name = tasks)]
pub struct TaskChanges {
    /// Title.
    pub title: Option<String>,
    /// Description; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// Priority.
    pub priority: Option<Priority>,
    /// Tags, instead of the present ones.
    pub tags: Option<TextList>,
    /// Whether it is completed.
    pub completed: Option<bool>,
}

impl Store {
    /// Adds a task.
    ///
    /// # Errors
    /// Only if the database fails or the user does not exist.
    pub async fn task_create(&self, task: TaskRow) -> StoreResult<TaskRow> {
        change!(self, |c| {
            diesel::insert_into(tasks::table).values(&task).execute(c).await?;
            Ok(task)
        })
    }

    /// Returns a page of the user's tasks, and whether more follow.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn tasks_page(&self, user_id: UserId, page: TaskPage) -> StoreResult<(Vec<TaskRow>, bool)> {
        read!(self, |c| {
            let mut query = tasks::table
                .filter(tasks::user_id.eq(user_id))
                // Ids are in the order of creation.
                .order(tasks::id.desc())
                .limit(i64::from(page.limit) + 1)
                .select(TaskRow::as_select())
                .into_boxed();
            query = match page.filter {
                TaskFilter::All => query,
                TaskFilter::Pending => query.filter(tasks::completed.eq(false)),
                TaskFilter::Completed => query.filter(tasks::completed.eq(true)),
            };
            if let Some(after) = page.after {
                query = query.filter(tasks::id.lt(after));
            }
            Ok(truncate_page(query.load::<TaskRow>(c).await?, page.limit))
        })
    }

    /// Returns a task.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn task_get(&self, user_id: UserId, id: TaskId) -> StoreResult<TaskRow> {
        read!(self, |c| {
            let task: TaskRow =
                tasks::table.find(id).select(TaskRow::as_select()).first(c).await.or_not_found(Entity::Task)?;
            if task.user_id == user_id { Ok(task) } else { Err(StoreError::Forbidden(Entity::Task)) }
        })
    }

    /// Changes a task. `now` becomes its time of change.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn task_update(
        &self,
        user_id: UserId,
        id: TaskId,
        changes: TaskChanges,
        now: UtcTime,
    ) -> StoreResult<TaskRow> {
        // A task that is completed already keeps its time of completion.
        let completed_at = changes.completed.map(|done| {
            tasks::completed_at
                .eq(case_when(tasks::completed.eq(done), tasks::completed_at).otherwise(done.then_some(now)))
        });
        change!(self, |c| {
            let task = diesel::update(tasks::table.find(id).filter(tasks::user_id.eq(user_id)))
                .set((changes, tasks::updated_at.eq(now), completed_at))
                .returning(TaskRow::as_returning())
                .fixed()
                .get_result(c)
                .await
                .optional()?;
            match task {
                Some(task) => Ok(task),
                None => {
                    let owner = tasks::table.find(id).select(tasks::user_id).first(c).await.optional()?;
                    Err(why_unchanged(Entity::Task, owner, user_id, StoreError::NotFound(Entity::Task)))
                }
            }
        })
    }

    /// Marks a task as done at `now`. One that is done already stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn task_complete(&self, user_id: UserId, id: TaskId, now: UtcTime) -> StoreResult<TaskRow> {
        change!(self, |c| {
            let task = diesel::update(tasks::table.find(id))
                .filter(tasks::user_id.eq(user_id).and(tasks::completed.eq(false)))
                .set((tasks::completed.eq(true), tasks::completed_at.eq(now), tasks::updated_at.eq(now)))
                .returning(TaskRow::as_returning())
                .fixed()
                .get_result(c)
                .await
                .optional()?;
            if let Some(task) = task {
                return Ok(task);
            }
            let task: TaskRow =
                tasks::table.find(id).select(TaskRow::as_select()).first(c).await.or_not_found(Entity::Task)?;
            if task.user_id == user_id { Ok(task) } else { Err(StoreError::Forbidden(Entity::Task)) }
        })
    }

    /// Deletes a task.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn task_delete(&self, user_id: UserId, id: TaskId) -> StoreResult<()> {
        change!(self, |c| {
            let deleted = diesel::delete(tasks::table.find(id).filter(tasks::user_id.eq(user_id))).execute(c).await?;
            if deleted == 1 {
                return Ok(());
            }
            let owner = tasks::table.find(id).select(tasks::user_id).first(c).await.optional()?;
            Err(why_unchanged(Entity::Task, owner, user_id, StoreError::NotFound(Entity::Task)))
        })
    }
}
