//! `tasks.*`

use super::TodoList;
use crate::error::Error;
use crate::rpc::context::Cx;
use crate::rpc::registry::Registry;
use threadline_schema::page::Page;
use threadline_schema::tasks::{
    Task, TaskRef, TasksComplete, TasksCreate, TasksCreateParams, TasksDelete, TasksGet, TasksList, TasksListParams,
    TasksUpdate, TasksUpdateParams,
};
use threadline_schema::threads::Done;

pub(crate) fn register(registry: &mut Registry) {
    registry
        .method::<TasksCreate, _, _>(create)
        .method::<TasksList, _, _>(list)
        .method::<TasksGet, _, _>(get)
        .method::<TasksUpdate, _, _>(update)
        .method::<TasksComplete, _, _>(complete)
        .method::<TasksDelete, _, _>(delete);
}

async fn create(cx: Cx, params: TasksCreateParams) -> Result<Task, Error> {
    TodoList::new(&cx.core.store).create(cx.user_id()?, params).await
}

async fn list(cx: Cx, params: TasksListParams) -> Result<Page<Task>, Error> {
    TodoList::new(&cx.core.store).list(cx.user_id()?, params).await
}

async fn get(cx: Cx, params: TaskRef) -> Result<Task, Error> {
    TodoList::new(&cx.core.store).get(cx.user_id()?, params.task_id).await
}

async fn update(cx: Cx, params: TasksUpdateParams) -> Result<Task, Error> {
    TodoList::new(&cx.core.store).update(cx.user_id()?, params).await
}

async fn complete(cx: Cx, params: TaskRef) -> Result<Task, Error> {
    TodoList::new(&cx.core.store).complete(cx.user_id()?, params.task_id).await
}

async fn delete(cx: Cx, params: TaskRef) -> Result<Done, Error> {
    TodoList::new(&cx.core.store).delete(cx.user_id()?, params.task_id).await?;
    Ok(Done {})
}
