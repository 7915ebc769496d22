//! The tools that are part of the service.
//!
//! A group of tools lives in the folder of the data that it works on. To add a group, write it like `todo/tools.rs`,
//! with [`TypedTool`](crate::typed_tool::TypedTool); add what it works on to [`BuiltInDeps`], and its tools and their
//! names to the functions below.

use crate::todo::{self, TodoList};
use std::sync::Arc;
use threadline_tools::{Tool, ask_user};

/// What built-in tools work on.
pub(crate) struct BuiltInDeps {
    pub(crate) todo: TodoList,
}

/// Creates all built-in tools. `ask_user` is not among them: no call of it is executed.
pub(crate) fn create_all(deps: &BuiltInDeps) -> Vec<Arc<dyn Tool>> {
    (todo::TOOLS.create)(&deps.todo)
}

/// Returns the names of all built-in tools, including `ask_user`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    todo::TOOLS.names.iter().copied().chain([ask_user::NAME])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatabaseConfig;
    use crate::store::{Clock, Store};
    use std::time::Duration;
    use uuid::Uuid;

    #[tokio::test]
    async fn the_names_are_those_of_the_tools() {
        let path = std::env::temp_dir().join(format!("threadline-built-in-{}.db", Uuid::new_v4().simple()));
        let config = DatabaseConfig {
            pool_size: 1,
            pool_timeout: Duration::from_secs(5),
            auto_migrate: true,
            sqlite_full_sync: false,
            ..DatabaseConfig::at(format!("sqlite://{}", path.display()))
        };
        let store = Store::open(&config).await.unwrap();
        let clock = Arc::new(Clock::read(&store).await.unwrap());
        let deps = BuiltInDeps { todo: TodoList::new(&store, &clock) };
        let tools = create_all(&deps);
        let created: Vec<_> = tools.iter().map(|tool| tool.name()).chain([ask_user::NAME]).collect();
        assert_eq!(created, names().collect::<Vec<_>>());
        std::fs::remove_file(&path).unwrap();
    }
}
