//! To-do lists.

use super::db::Store;
use super::error::{Entity, OrNotFound, StoreError, StoreResult};
use super::rows::TaskRow;
use super::unit::{change, read};
use super::{cut, refusal};
use diesel::dsl::case_when;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::tasks;
use threadline_schema::db::text::TextList;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{TaskId, UserId};
use threadline_schema::tasks::{Priority, TaskFilter};

/// Which page of a user's tasks. The newest come first.
#[derive(Debug, Clone, Copy)]
pub struct TaskPage {
    /// Most rows.
    pub limit: u32,
    /// Which tasks.
    pub filter: TaskFilter,
    /// The last task seen. It may be gone by now: the page goes on where it was.
    pub after: Option<TaskId>,
}

/// What to change in a task; `None` leaves it as it is.
#[derive(Debug, Clone, Default, AsChangeset)]
#[diesel(table_name = tasks)]
pub struct TaskChanges {
    /// What is to be done.
    pub title: Option<String>,
    /// More about it; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// Words to find it by, in place of the old ones.
    pub tags: Option<TextList>,
    /// Whether it is done.
    pub completed: Option<bool>,
}

impl Store {
    /// Adds a task.
    ///
    /// # Errors
    /// Only when the database fails, or the user does not exist.
    pub async fn task_create(&self, task: TaskRow) -> StoreResult<TaskRow> {
        change!(self, |c| {
            diesel::insert_into(tasks::table).values(&task).execute(c).await?;
            Ok(task)
        })
    }

    /// A page of the user's tasks, and whether more follow.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn tasks_page(&self, user_id: UserId, page: TaskPage) -> StoreResult<(Vec<TaskRow>, bool)> {
        read!(self, |c| {
            let mut query = tasks::table
                .filter(tasks::user_id.eq(user_id))
                // Ids sort by the time they were made.
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
            Ok(cut(query.load::<TaskRow>(c).await?, page.limit))
        })
    }

    /// A task.
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
        // A task that is done already keeps the time when that was so.
        let completed_at = changes.completed.map(|done| {
            tasks::completed_at
                .eq(case_when(tasks::completed.eq(done), tasks::completed_at).otherwise(done.then_some(now)))
        });
        change!(self, |c| {
            let task = diesel::update(tasks::table.find(id).filter(tasks::user_id.eq(user_id)))
                .set((changes, tasks::updated_at.eq(now), completed_at))
                .returning(TaskRow::as_returning())
                .get_result(c)
                .await
                .optional()?;
            match task {
                Some(task) => Ok(task),
                None => Err(refusal!(c, tasks, Task, id, user_id).unwrap_or(StoreError::NotFound(Entity::Task))),
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
            Err(refusal!(c, tasks, Task, id, user_id).unwrap_or(StoreError::NotFound(Entity::Task)))
        })
    }
}
