//! `tasks.*`

use super::TodoList;
use crate::error::Error;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use std::sync::Arc;
use threadline_schema::page::Page;
use threadline_schema::tasks::{
    Task, TaskRef, TasksComplete, TasksCreate, TasksCreateParams, TasksDelete, TasksGet, TasksList, TasksListParams,
    TasksUpdate, TasksUpdateParams,
};
use threadline_schema::threads::Done;

/// Handlers of `tasks.*`.
pub(crate) struct TaskMethods {
    pub(crate) todo: TodoList,
}

impl TaskMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(TasksCreate, Self::create)
            .command(TasksList, Self::list)
            .command(TasksGet, Self::get)
            .command(TasksUpdate, Self::update)
            .command(TasksComplete, Self::complete)
            .command(TasksDelete, Self::delete);
    }

    async fn create(self: Arc<Self>, call: CallContext, params: TasksCreateParams) -> Result<Task, Error> {
        self.todo.create(call.user_id()?, params).await
    }

    async fn list(self: Arc<Self>, call: CallContext, params: TasksListParams) -> Result<Page<Task>, Error> {
        self.todo.list(call.user_id()?, params).await
    }

    async fn get(self: Arc<Self>, call: CallContext, params: TaskRef) -> Result<Task, Error> {
        self.todo.get(call.user_id()?, params.task_id).await
    }

    async fn update(self: Arc<Self>, call: CallContext, params: TasksUpdateParams) -> Result<Task, Error> {
        self.todo.update(call.user_id()?, params).await
    }

    async fn complete(self: Arc<Self>, call: CallContext, params: TaskRef) -> Result<Task, Error> {
        self.todo.complete(call.user_id()?, params.task_id).await
    }

    async fn delete(self: Arc<Self>, call: CallContext, params: TaskRef) -> Result<Done, Error> {
        self.todo.delete(call.user_id()?, params.task_id).await?;
        Ok(Done {})
    }
}
