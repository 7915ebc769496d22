//! The tools that are part of the service.
//!
//! A group of tools lives in the folder of the data that it works on. To add a group, write it like `todo/tools.rs`,
//! with [`TypedTool`]; add it to [`GROUPS`], and what it works on to [`BuiltInDeps`].

mod typed;

pub(crate) use typed::{Titles, TypedTool};

use crate::todo::{self, TodoList};
use std::sync::Arc;
use threadline_tools::{Tool, ask_user};

/// All groups.
const GROUPS: &[ToolGroup] = &[todo::TOOLS];

/// What built-in tools work on.
pub(crate) struct BuiltInDeps {
    pub(crate) todo: TodoList,
}

/// Tools that belong together.
pub(crate) struct ToolGroup {
    /// Names of the tools. The agents file is checked against them, before there is a store.
    pub(crate) names: &'static [&'static str],
    /// Creates the tools.
    pub(crate) create: fn(&BuiltInDeps) -> Vec<Arc<dyn Tool>>,
}

/// Creates all built-in tools. `ask_user` is not among them: no call of it is executed.
pub(crate) fn create_all(deps: &BuiltInDeps) -> Vec<Arc<dyn Tool>> {
    GROUPS.iter().flat_map(|group| (group.create)(deps)).collect()
}

/// Returns the names of all built-in tools, including `ask_user`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|group| group.names).copied().chain([ask_user::NAME])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatabaseConfig;
    use crate::store::{Clock, Store};
    use std::time::Duration;
    use uuid::Uuid;

    #[tokio::test]
    async fn each_group_declares_the_names_of_its_tools() {
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
        for group in GROUPS {
            let tools = (group.create)(&deps);
            assert_eq!(tools.iter().map(|tool| tool.name()).collect::<Vec<_>>(), group.names);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
