//! Lists the tools of a server, page by page.

use super::listed_tool::{ListedTool, ToolList};
use super::message::Answer;
use super::session::McpSession;
use rmcp::model::{ClientRequest, ErrorCode, ListToolsRequest, PaginatedRequestParams};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Maximum number of pages that are read.
const MAX_PAGES: usize = 64;
/// Time limit for all pages. It is below that of the start of a server, so that the pages until then are used.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The tools of a server.
pub(super) struct Listing {
    pub(super) tools: Vec<Arc<ListedTool>>,
    /// What was left out, and why, for the operator.
    pub(super) problems: Vec<String>,
}

/// Lists the tools of a server. What follows the first page is optional: if it fails or does not end, the tools until
/// then are used.
///
/// # Errors
/// If the first page cannot be read. The text is for the log.
pub(super) async fn list_tools(server: &str, session: &McpSession) -> Result<Listing, String> {
    let deadline = Instant::now() + TIMEOUT;
    let mut list = ToolList::new(server);
    let mut cursors = HashSet::new();
    let mut cursor = None;
    for page in 1..=MAX_PAGES {
        let next = match timeout_at(deadline, read_page(session, cursor.take(), &mut list)).await {
            Ok(Ok(next)) => next,
            Ok(Err(error)) if page == 1 => return Err(format!("its tools cannot be listed: {error}")),
            Err(_) if page == 1 => return Err(format!("its tools were not listed within {} s", TIMEOUT.as_secs())),
            Ok(Err(error)) => {
                list.note(format!("page {page} of its tools cannot be read: {error}"));
                None
            }
            Err(_) => {
                list.note(format!("page {page} of its tools did not come in time"));
                None
            }
        };
        let Some(next) = next else { break };
        if list.is_full() {
            list.note("it has too many tools; the rest is left out".to_owned());
        } else if page == MAX_PAGES {
            list.note(format!("it has more than {MAX_PAGES} pages of tools; the rest is left out"));
        } else if cursors.insert(next.clone()) {
            cursor = Some(next);
            continue;
        } else {
            list.note(format!("its pages of tools repeat themselves after page {page}"));
        }
        break;
    }
    Ok(list.finish())
}

/// Reads one page. Returns the cursor of the next one. An empty cursor is a cursor.
async fn read_page(
    session: &McpSession,
    cursor: Option<String>,
    list: &mut ToolList<'_>,
) -> Result<Option<String>, String> {
    let mut request = ListToolsRequest::with_param(PaginatedRequestParams::default().with_cursor(cursor));
    if request.params.as_ref().is_some_and(|params| params.cursor.is_none()) {
        request.params = None;
    }
    let answer = session.request(ClientRequest::ListToolsRequest(request)).await.map_err(|error| error.to_string())?;
    let mut page = match answer {
        Answer::Result(page) => page,
        // A server of prompts or resources alone.
        Answer::Refused(refusal) if refusal.code == i64::from(ErrorCode::METHOD_NOT_FOUND.0) => return Ok(None),
        Answer::Refused(refusal) => return Err(refusal.to_string()),
    };
    match page.get_mut("tools").map(Value::take) {
        Some(Value::Array(tools)) => {
            for tool in tools {
                list.add(tool);
            }
        }
        // No list, as some languages write an empty one, or the tools by their names.
        Some(Value::Object(tools)) => {
            list.note("`tools` is not a list".to_owned());
            for (name, mut tool) in tools {
                if let Some(members) = tool.as_object_mut() {
                    members.entry("name").or_insert_with(|| name.into());
                }
                list.add(tool);
            }
        }
        None | Some(Value::Null) => list.note("a page of its tools has no tools".to_owned()),
        Some(_) => list.note("`tools` is not a list; the page is left out".to_owned()),
    }
    match page.get_mut("nextCursor").map(Value::take) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(cursor)) => Ok(Some(cursor)),
        Some(_) => {
            list.note("the cursor of its next page is not a text; the rest is left out".to_owned());
            Ok(None)
        }
    }
}
