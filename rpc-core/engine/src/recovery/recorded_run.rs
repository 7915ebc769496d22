//! A run that was recorded: its events, and its items after each write. For tests that cut it off.

use crate::log::{NumberedEvent, RunLog};
use crate::output::{Citation, FinishedCall, RequestedCall, RunWriter};
use std::collections::VecDeque;
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::error::Failure;
use threadline_schema::ids::{ItemId, RunId, ThreadId};
use threadline_store::rows::{ItemRow, NewItem};

/// A run, its events, and its items after each write.
pub(super) struct Recorded {
    pub(super) thread_id: ThreadId,
    log: Arc<RunLog>,
    pub(super) writer: RunWriter,
    pub(super) rows: Vec<ItemRow>,
    /// The number of events at each write.
    pub(super) stored: Vec<(u64, Vec<ItemRow>)>,
}

impl Recorded {
    pub(super) fn new() -> Self {
        let thread_id = ThreadId::random();
        let log = Arc::new(RunLog::new(RunId::random()));
        let writer = RunWriter::for_tests(log.clone());
        Self { thread_id, log, writer, rows: Vec::new(), stored: vec![(0, Vec::new())] }
    }

    fn commit(&mut self) {
        self.stored.push((self.log.last_seq(), self.rows.clone()));
    }

    /// Stores the complete items and announces them.
    fn store(&mut self) {
        append(&mut self.rows, self.thread_id, self.writer.take_items());
        self.commit();
        self.writer.announce_stored();
    }

    pub(super) fn ask(&mut self, turn: u32, names: &[&str]) {
        let calls: Vec<_> = names.iter().map(|name| call(name)).collect();
        self.writer.begin_calls(turn, &calls, None);
        self.store();
        for (index, name) in names.iter().enumerate() {
            self.writer.start_call(index, &format!("Doing {name}"));
        }
    }

    fn end(&mut self, index: usize, result: &str) {
        let broken = || Failure { code: ErrorCode::UpstreamError, message: "It is broken.".to_owned() };
        let failure = result.contains("error").then(broken);
        let call = FinishedCall {
            result: result.to_owned(),
            shown: None,
            failure,
            is_outcome_unknown: false,
            widget: None,
            changes_data: true,
        };
        let (id, body) = self.writer.end_call(index, "Done", &call).unwrap();
        complete(&mut self.rows, vec![(id, body)]);
        self.commit();
        self.writer.result_stored(id);
    }

    pub(super) fn events(&self) -> Vec<NumberedEvent> {
        let mut events = VecDeque::new();
        self.log.read(0, usize::MAX, &mut events);
        events.into_iter().collect()
    }
}

fn call(name: &str) -> RequestedCall {
    RequestedCall {
        id: format!("call_{name}"),
        name: name.to_owned(),
        arguments: "{}".to_owned(),
        echo: None,
        is_idempotent: true,
    }
}

pub(super) fn append(rows: &mut Vec<ItemRow>, thread_id: ThreadId, new: Vec<NewItem>) {
    for NewItem { id, kind, hidden, body, created_at } in new {
        let position = i64::try_from(rows.len()).unwrap();
        rows.push(ItemRow { id, thread_id, run_id: None, position, kind, hidden, body, created_at });
    }
}

pub(super) fn complete(rows: &mut [ItemRow], results: Vec<(ItemId, String)>) {
    for (id, body) in results {
        rows.iter_mut().find(|row| row.id == id).unwrap().body = body;
    }
}

/// Turns with tool calls, and words before, between and after them.
pub(super) fn recorded() -> Recorded {
    let mut run = Recorded::new();
    for delta in ["Let", " me \"look\"", ".\n"] {
        run.writer.write_text(delta);
    }
    run.ask(0, &["add_task", "list_tasks"]);
    run.end(1, r#"{"tasks":[]}"#);
    run.end(0, r#"{"error":"It is broken."}"#);
    // A second answer without words shares the workflow.
    run.ask(1, &["add_task"]);
    run.end(0, r#"{"task":{}}"#);
    run.writer.write_text("And");
    run.writer.cite(page("and", Some(3)));
    run.writer.write_text(" again 🥛");
    run.writer.cite(page("milk", None));
    run.ask(2, &["delete_task", "add_task"]);
    run.end(1, r#"{"task":{}}"#);
    run.end(0, r#"{"task":{}}"#);
    run.writer.write_text("Done");
    run.writer.write_text(".");
    run.writer.close();
    run.store();
    run
}

fn page(title: &str, end: Option<u64>) -> Citation {
    Citation { url: format!("https://{title}.example/"), title: title.to_owned(), end }
}
