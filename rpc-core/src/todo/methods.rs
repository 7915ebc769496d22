//! `tasks.*`

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
    cx.core.todo.create(cx.user_id()?.into(), params).await
}

async fn list(cx: Cx, params: TasksListParams) -> Result<Page<Task>, Error> {
    cx.core.todo.list(cx.user_id()?.into(), params).await
}

async fn get(cx: Cx, params: TaskRef) -> Result<Task, Error> {
    cx.core.todo.get(cx.user_id()?.into(), params.task_id.into()).await
}

async fn update(cx: Cx, params: TasksUpdateParams) -> Result<Task, Error> {
    cx.core.todo.update(cx.user_id()?.into(), params).await
}

async fn complete(cx: Cx, params: TaskRef) -> Result<Task, Error> {
    cx.core.todo.complete(cx.user_id()?.into(), params.task_id.into()).await
}

async fn delete(cx: Cx, params: TaskRef) -> Result<Done, Error> {
    cx.core.todo.delete(cx.user_id()?.into(), params.task_id.into()).await?;
    Ok(Done {})
}
