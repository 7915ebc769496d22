//! The tools that are part of the service.
//!
//! A group of tools lives in the folder of the data that it works on. To add one, write it like `todo/tools.rs`, with
//! [`TypedTool`], and add it to [`GROUPS`].

mod typed;

pub(crate) use typed::{Titles, TypedTool};

use crate::store::Store;
use crate::todo;
use std::sync::Arc;
use threadline_tools::{Tool, ask_user};

/// All groups.
const GROUPS: &[ToolGroup] = &[todo::TOOLS];

/// Tools that belong together.
pub(crate) struct ToolGroup {
    /// Names of the tools. The agents file is checked against them, before there is a store.
    pub(crate) names: &'static [&'static str],
    /// Creates the tools.
    pub(crate) create: fn(&Store) -> Vec<Arc<dyn Tool>>,
}

/// Creates all built-in tools. `ask_user` is not among them: no call of it is executed.
pub(crate) fn create_all(store: &Store) -> Vec<Arc<dyn Tool>> {
    GROUPS.iter().flat_map(|group| (group.create)(store)).collect()
}

/// Returns the names of all built-in tools, including `ask_user`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|group| group.names).copied().chain([ask_user::NAME])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatabaseConfig;
    use std::time::Duration;
    use uuid::Uuid;

    #[tokio::test]
    async fn each_group_declares_the_names_of_its_tools() {
        let path = std::env::temp_dir().join(format!("threadline-built-in-{}.db", Uuid::new_v4().simple()));
        let config = DatabaseConfig {
            url: format!("sqlite://{}", path.display()).into(),
            pool_size: 1,
            pool_timeout: Duration::from_secs(5),
            auto_migrate: true,
            sqlite_full_sync: false,
        };
        let store = Store::open(&config).await.unwrap();
        for group in GROUPS {
            let tools = (group.create)(&store);
            assert_eq!(tools.iter().map(|tool| tool.name()).collect::<Vec<_>>(), group.names);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
