//! Tools that the user of a thread has approved for the rest of the thread.

use super::db::Store;
use super::error::StoreResult;
use super::query::RunQueryDsl;
use super::unit::{read, steps};
use diesel::prelude::*;
use std::collections::BTreeSet;
use threadline_schema::db::tables::tool_approvals;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::ThreadId;

steps! {
    trait ToolApprovalSteps {
        /// Remembers that the user has approved the calls of a tool in a thread.
        fn approve_tool(c, thread_id: ThreadId, tool: String, now: UtcTime) -> () {
            diesel::insert_into(tool_approvals::table)
                .values((
                    tool_approvals::thread_id.eq(thread_id),
                    tool_approvals::tool.eq(tool),
                    tool_approvals::created_at.eq(now),
                ))
                .on_conflict_do_nothing()
                .execute(c)
                .await?;
            Ok(())
        }
    }
}

impl Store {
    /// Returns the names of the tools whose calls the user of a thread has approved for the rest of the thread.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn approved_tools(&self, thread_id: ThreadId) -> StoreResult<BTreeSet<String>> {
        read!(self, |c| {
            let of_thread = tool_approvals::table.filter(tool_approvals::thread_id.eq(thread_id));
            let tools: Vec<String> = of_thread.select(tool_approvals::tool).load(c).await?;
            Ok(tools.into_iter().collect())
        })
    }
}
