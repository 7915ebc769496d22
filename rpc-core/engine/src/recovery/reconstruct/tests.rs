//! The output of a run, cut off at every event and at every state of its items.

use super::super::recorded_run::{Recorded, append, complete, recorded};
use super::*;
use crate::wire::ToolCallBody;
use std::collections::{HashMap, HashSet};
use threadline_schema::chatkit::{
    Annotation, AssistantContent, AssistantMessage, CustomTask, ItemUpdate, StatusIndicator, WorkflowTask,
};
use threadline_schema::event::{Event, EventKind, ThreadStreamEvent};
use threadline_schema::items::ItemKind;
use threadline_schema::text_delta::TextDelta;
use threadline_schema::tool_result::UNKNOWN_OUTCOME;

/// The citations of each message so far.
fn citations_in(events: &[NumberedEvent]) -> HashMap<ItemId, Vec<Annotation>> {
    let mut cited: HashMap<ItemId, Vec<Annotation>> = HashMap::new();
    for (_, event) in events.iter().filter(|(_, event)| event.kind() == EventKind::ItemUpdated) {
        if let Ok(ThreadStreamEvent::ItemUpdated { item_id, update }) = serde_json::from_str(&event.json())
            && let ItemUpdate::AnnotationAdded { annotation, .. } = update
        {
            cited.entry(item_id).or_default().push(*annotation);
        }
    }
    cited
}

/// The text of each message so far.
fn texts_in(events: &[NumberedEvent]) -> HashMap<ItemId, String> {
    let mut said: HashMap<ItemId, String> = HashMap::new();
    for delta in events.iter().filter_map(|(_, event)| event.text_delta()) {
        said.entry(delta.item_id).or_default().push_str(&delta.text.unescaped());
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
    let workflows = rows.iter().filter(|row| row.kind == ItemKind::Workflow);
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
    let calls = rows.iter().filter(|row| row.kind == ItemKind::ToolCall);
    calls.map(|row| serde_json::from_str::<ToolCallBody>(&row.body).unwrap().result).collect()
}

/// Reconstructs a run of which this much is left, and checks the result.
fn check(thread_id: ThreadId, events: &[NumberedEvent], stored: &[ItemRow]) -> Vec<ItemRow> {
    let recovered = RecoveredItems::reconstruct(&Clock::for_tests(), thread_id, events, stored, false);
    let mut rows = stored.to_vec();
    assert_eq!(recovered.completed_calls.len(), recovered.unknown_tools.len());
    complete(&mut rows, recovered.completed_calls);
    append(&mut rows, thread_id, recovered.append);

    let ids: HashSet<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), rows.len(), "an id twice");

    let messages: Vec<_> = rows.iter().filter(|row| row.kind == ItemKind::AssistantMessage).collect();
    for (id, annotations) in citations_in(events) {
        let row = messages.iter().find(|row| row.id == id).expect("a message for each text");
        assert!(annotations_of(row).starts_with(&annotations));
    }
    for (id, text) in texts_in(events) {
        let row = messages.iter().find(|row| row.id == id).expect("a message for each text");
        if is_stored(stored, id) {
            assert!(text_of(row).starts_with(&text));
        } else {
            assert_eq!(text_of(row), text);
        }
    }
    assert_eq!(recovered.message_id, messages.last().map(|row| row.id));

    let (before, after) = (results(stored), results(&rows));
    let shown = entries(&rows);
    assert_eq!(shown.len(), after.len(), "an entry for each call");
    for ((before, after), entry) in before.iter().zip(&after).zip(&shown) {
        let after = after.as_deref().expect("a result for each call");
        match before.as_deref() {
            None => {
                assert_eq!(after, UNKNOWN_RESULT);
                assert_eq!(entry.content.as_deref(), Some(UNKNOWN_OUTCOME));
                assert_eq!(entry.status_indicator, StatusIndicator::None);
            }
            Some(before) => {
                assert_eq!(after, before);
                assert_eq!(entry.content.is_some(), before.contains("error"));
                assert_eq!(entry.status_indicator, StatusIndicator::Complete);
            }
        }
    }

    let again = RecoveredItems::reconstruct(&Clock::for_tests(), thread_id, events, &rows, false);
    assert!(again.append.is_empty() && again.completed_calls.is_empty(), "{again:?}");
    rows
}

#[test]
fn no_event_is_lost_wherever_the_process_died() {
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
    assert_eq!(citations_in(&events).values().map(Vec::len).collect::<Vec<_>>(), [2]);
}

#[test]
fn joined_deltas_give_the_same_text() {
    let mut run = Recorded::new();
    run.writer.write_text("One");
    run.writer.write_text(" two");
    let mut events = run.events();
    let (_, last) = events.pop().unwrap();
    let id = last.text_delta().unwrap().item_id;
    events.pop();
    events.push((0, TextDelta::new(id, 0, "One two").into()));
    let rows = check(run.thread_id, &events, &[]);
    assert_eq!(text_of(&rows[0]), "One two");
}

#[test]
fn an_empty_message_is_dropped_and_a_cancel_leaves_a_note() {
    let mut run = Recorded::new();
    run.writer.write_text("Word");
    let events = run.events();
    let recovered = RecoveredItems::reconstruct(&Clock::for_tests(), run.thread_id, &events[..2], &[], true);
    let [note] = recovered.append.as_slice() else { panic!("{recovered:?}") };
    assert_eq!((note.kind, note.hidden, recovered.message_id), (ItemKind::HiddenContext, true, None));
    assert!(note.body.contains(CANCEL_NOTE));
}

#[test]
fn unreadable_events_and_items_are_skipped() {
    let mut run = Recorded::new();
    run.ask(0, &["add_task"]);
    let mut events = run.events();
    for junk in ["", "{", r#"{"type":"thread.item.added","item":7}"#, r#"{"type":"thread.item.new"}"#, "[]"] {
        events.insert(0, (0, Event::from_json(junk)));
    }
    check(run.thread_id, &events, &run.rows.clone());
    let mut broken = run.rows.clone();
    broken[0].body = "{".to_owned();
    assert!(
        RecoveredItems::reconstruct(&Clock::for_tests(), run.thread_id, &events, &broken, false)
            .completed_calls
            .is_empty()
    );
}
