//! `tasks.*`

use super::TodoList;
use crate::error::Error;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use crate::store::Store;
use std::sync::Arc;
use threadline_schema::page::Page;
use threadline_schema::tasks::{
    Task, TaskRef, TasksComplete, TasksCreate, TasksCreateParams, TasksDelete, TasksGet, TasksList, TasksListParams,
    TasksUpdate, TasksUpdateParams,
};
use threadline_schema::threads::Done;

/// Handlers of `tasks.*`.
pub(crate) struct TaskMethods {
    pub(crate) store: Store,
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
        TodoList::new(&self.store).create(call.user_id()?, params).await
    }

    async fn list(self: Arc<Self>, call: CallContext, params: TasksListParams) -> Result<Page<Task>, Error> {
        TodoList::new(&self.store).list(call.user_id()?, params).await
    }

    async fn get(self: Arc<Self>, call: CallContext, params: TaskRef) -> Result<Task, Error> {
        TodoList::new(&self.store).get(call.user_id()?, params.task_id).await
    }

    async fn update(self: Arc<Self>, call: CallContext, params: TasksUpdateParams) -> Result<Task, Error> {
        TodoList::new(&self.store).update(call.user_id()?, params).await
    }

    async fn complete(self: Arc<Self>, call: CallContext, params: TaskRef) -> Result<Task, Error> {
        TodoList::new(&self.store).complete(call.user_id()?, params.task_id).await
    }

    async fn delete(self: Arc<Self>, call: CallContext, params: TaskRef) -> Result<Done, Error> {
        TodoList::new(&self.store).delete(call.user_id()?, params.task_id).await?;
        Ok(Done {})
    }
}
