//! The output of a run, cut off at every event and at every moment of its items.

use super::*;
use crate::model::{Citation, ToolCall};
use crate::runs::{Output, RunLog};
use crate::tools::{CallOutcome, ToolResult};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::chatkit::{
    Annotation, AssistantContent, AssistantMessage, CustomTask, ItemUpdate, ThreadStreamEvent,
};
use threadline_schema::error::Failure;
use threadline_schema::event::{text_delta, type_of};

/// A run, its events, and its items after each time that something was stored.
struct Recorded {
    thread_id: Uuid,
    log: Arc<RunLog>,
    output: Output,
    rows: Vec<ItemRow>,
    /// How many events there were when this was stored.
    stored: Vec<(u64, Vec<ItemRow>)>,
}

impl Recorded {
    fn new() -> Self {
        let thread_id = Uuid::now_v7();
        let log = Arc::new(RunLog::new(Uuid::now_v7()));
        let output = Output::new(log.clone(), thread_id);
        Self { thread_id, log, output, rows: Vec::new(), stored: vec![(0, Vec::new())] }
    }

    fn commit(&mut self) {
        self.stored.push((self.log.last_seq(), self.rows.clone()));
    }

    /// Stores what is whole, and says so.
    fn store(&mut self) {
        append(&mut self.rows, self.thread_id, self.output.take_finished());
        self.commit();
        self.output.announce();
    }

    fn ask(&mut self, round: u32, names: &[&str]) {
        let calls: Vec<_> = names.iter().map(|name| call(name)).collect();
        self.output.calls_asked(round, &calls, None);
        self.store();
        for (index, name) in names.iter().enumerate() {
            self.output.call_began(index, &format!("Doing {name}"));
        }
    }

    fn end(&mut self, index: usize, result: &str) {
        let broken = || Failure { code: ErrorCode::UpstreamError, message: "It is broken.".to_owned() };
        let failure = result.contains("error").then(broken);
        let done = ToolResult {
            content: result.to_owned(),
            failure,
            outcome: CallOutcome::Ok,
            widget: None,
            may_have_changed_data: true,
        };
        let (id, body) = self.output.call_ended(index, "Done", &done).unwrap();
        complete(&mut self.rows, vec![(id, body)]);
        self.commit();
        self.output.call_stored(id);
    }

    fn events(&self) -> Vec<Arc<str>> {
        let mut events = VecDeque::new();
        self.log.read(0, usize::MAX, &mut events);
        events.into_iter().map(|(_, event)| event).collect()
    }
}

fn call(name: &str) -> ToolCall {
    ToolCall { id: format!("call_{name}"), name: name.to_owned(), arguments: "{}".to_owned() }
}

fn append(rows: &mut Vec<ItemRow>, thread_id: Uuid, new: Vec<NewItem>) {
    for NewItem { id, kind, hidden, body, created_at } in new {
        let position = i64::try_from(rows.len()).unwrap();
        rows.push(ItemRow { id, thread_id: thread_id.into(), run_id: None, position, kind, hidden, body, created_at });
    }
}

fn complete(rows: &mut [ItemRow], results: Vec<(ItemId, String)>) {
    for (id, body) in results {
        rows.iter_mut().find(|row| row.id == id).unwrap().body = body;
    }
}

/// Two rounds of tools with words before, between and after; everything a run can be in the middle of.
fn recorded() -> Recorded {
    let mut run = Recorded::new();
    for delta in ["Let", " me \"look\"", ".\n"] {
        run.output.text(delta);
    }
    run.ask(0, &["add_task", "list_tasks"]);
    run.end(1, r#"{"tasks":[]}"#);
    run.end(0, r#"{"error":"It is broken."}"#);
    // A second answer without words shares the workflow.
    run.ask(1, &["add_task"]);
    run.end(0, r#"{"task":{}}"#);
    run.output.text("And");
    run.output.cite(page("and", Some(3)));
    run.output.text(" again 🥛");
    run.output.cite(page("milk", None));
    run.ask(2, &["delete_task", "add_task"]);
    run.end(1, r#"{"task":{}}"#);
    run.end(0, r#"{"task":{}}"#);
    run.output.text("Done");
    run.output.text(".");
    run.output.close();
    run.store();
    run
}

fn page(title: &str, end: Option<u64>) -> Citation {
    Citation { url: format!("https://{title}.example/"), title: title.to_owned(), end }
}

/// What was shown as the source of each message so far.
fn cited(events: &[Arc<str>]) -> HashMap<Uuid, Vec<Annotation>> {
    let mut cited: HashMap<Uuid, Vec<Annotation>> = HashMap::new();
    for event in events.iter().filter(|event| type_of(event) == Some("thread.item.updated")) {
        if let Ok(ThreadStreamEvent::ItemUpdated { item_id, update }) = serde_json::from_str(event)
            && let ItemUpdate::AnnotationAdded { annotation, .. } = update
        {
            cited.entry(item_id).or_default().push(*annotation);
        }
    }
    cited
}

/// What was said of each message so far.
fn said(events: &[Arc<str>]) -> HashMap<Uuid, String> {
    let mut said: HashMap<Uuid, String> = HashMap::new();
    for delta in events.iter().filter_map(|event| text_delta::split(event)) {
        let text: String = serde_json::from_str(delta.delta).unwrap();
        said.entry(delta.item_id.parse().unwrap()).or_default().push_str(&text);
    }
    said
}

fn text_of(row: &ItemRow) -> String {
    match serde_json::from_str(&row.body).unwrap() {
        ThreadItem::AssistantMessage(message) => message.content.iter().map(AssistantContent::text).collect(),
        other => panic!("{other:?}"),
    }
}

fn annotations_of(row: &ItemRow) -> Vec<Annotation> {
    match serde_json::from_str(&row.body).unwrap() {
        ThreadItem::AssistantMessage(AssistantMessage { content, .. }) => content
            .into_iter()
            .flat_map(|part| match part {
                AssistantContent::Text { annotations, .. } => annotations,
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn entries(rows: &[ItemRow]) -> Vec<CustomTask> {
    let workflows = rows.iter().filter(|row| row.kind == wire::WORKFLOW);
    workflows
        .flat_map(|row| match serde_json::from_str(&row.body).unwrap() {
            ThreadItem::Workflow(item) => item.workflow.tasks,
            other => panic!("{other:?}"),
        })
        .map(|entry| match entry {
            WorkflowTask::Custom(entry) => entry,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn results(rows: &[ItemRow]) -> Vec<Option<String>> {
    let calls = rows.iter().filter(|row| row.kind == wire::TOOL_CALL);
    calls.map(|row| serde_json::from_str::<ToolCallBody>(&row.body).unwrap().result).collect()
}

/// Salvages a run of which this much is left, and checks what there is then.
fn check(thread_id: Uuid, events: &[Arc<str>], stored: &[ItemRow]) -> Vec<ItemRow> {
    let salvage = Salvage::of(thread_id, events, stored, false);
    let mut rows = stored.to_vec();
    assert_eq!(salvage.complete.len(), salvage.unknown_tools.len());
    complete(&mut rows, salvage.complete);
    append(&mut rows, thread_id, salvage.append);

    let ids: HashSet<_> = rows.iter().map(|row| row.id.0).collect();
    assert_eq!(ids.len(), rows.len(), "an id twice");

    let messages: Vec<_> = rows.iter().filter(|row| row.kind == wire::ASSISTANT_MESSAGE).collect();
    for (id, annotations) in cited(events) {
        let row = messages.iter().find(|row| row.id.0 == id).expect("a message that was begun");
        assert!(annotations_of(row).starts_with(&annotations));
    }
    for (id, text) in said(events) {
        let row = messages.iter().find(|row| row.id.0 == id).expect("a message that was begun");
        if is_stored(stored, id) {
            assert!(text_of(row).starts_with(&text));
        } else {
            assert_eq!(text_of(row), text);
        }
    }
    assert_eq!(salvage.message_id, messages.last().map(|row| row.id));

    let (before, after) = (results(stored), results(&rows));
    let shown = entries(&rows);
    assert_eq!(shown.len(), after.len(), "an entry for each call");
    for ((before, after), entry) in before.iter().zip(&after).zip(&shown) {
        let after = after.as_deref().expect("a result for each call");
        match before.as_deref() {
            None => {
                assert_eq!(after, wire::UNKNOWN_RESULT);
                assert_eq!(entry.content.as_deref(), Some(wire::UNKNOWN_TASK));
                assert_eq!(entry.status_indicator, StatusIndicator::None);
            }
            Some(before) => {
                assert_eq!(after, before);
                assert_eq!(entry.content.is_some(), before.contains("error"));
                assert_eq!(entry.status_indicator, StatusIndicator::Complete);
            }
        }
    }

    let again = Salvage::of(thread_id, events, &rows, false);
    assert!(again.append.is_empty() && again.complete.is_empty(), "{again:?}");
    rows
}

#[test]
fn nothing_that_was_said_is_lost_wherever_the_process_died() {
    let run = recorded();
    let events = run.events();
    assert!(events.len() > 30 && run.stored.len() > 8, "{} {}", events.len(), run.stored.len());
    for said in 0..=events.len() {
        for (at, rows) in &run.stored {
            // The log may be behind the items, and ahead only of what was not stored when the event was said.
            let newer = run.stored.iter().filter(|(later, _)| later > at && *later < said as u64);
            if newer.count() == 0 {
                check(run.thread_id, &events[..said], rows);
            }
        }
    }
    let whole = check(run.thread_id, &events, &run.rows);
    assert_eq!(whole.len(), run.rows.len(), "a run that was stored whole needs nothing");
    assert_eq!(cited(&events).values().map(Vec::len).collect::<Vec<_>>(), [2]);
}

#[test]
fn joined_deltas_are_what_they_were() {
    let mut run = Recorded::new();
    run.output.text("One");
    run.output.text(" two");
    let mut events = run.events();
    let last = events.pop().unwrap();
    let id = text_delta::split(&last).unwrap().item_id.parse().unwrap();
    events.pop();
    events.push(text_delta::write(id, 0, "One two").unwrap().into());
    let rows = check(run.thread_id, &events, &[]);
    assert_eq!(text_of(&rows[0]), "One two");
}

#[test]
fn a_message_without_a_word_is_none_and_a_cancel_leaves_its_note() {
    let mut run = Recorded::new();
    run.output.text("Word");
    let events = run.events();
    let salvage = Salvage::of(run.thread_id, &events[..2], &[], true);
    let [note] = salvage.append.as_slice() else { panic!("{salvage:?}") };
    assert_eq!((note.kind.as_str(), note.hidden, salvage.message_id), (wire::HIDDEN_CONTEXT, true, None));
    assert!(note.body.contains(CANCEL_NOTE));
}

#[test]
fn what_cannot_be_read_is_passed_over() {
    let mut run = Recorded::new();
    run.ask(0, &["add_task"]);
    let mut events = run.events();
    for junk in ["", "{", r#"{"type":"thread.item.added","item":7}"#, r#"{"type":"thread.item.new"}"#, "[]"] {
        events.insert(0, junk.into());
    }
    check(run.thread_id, &events, &run.rows.clone());
    let mut broken = run.rows.clone();
    broken[0].body = "{".to_owned();
    assert!(Salvage::of(run.thread_id, &events, &broken, false).complete.is_empty());
}
