//! A run that continues, wherever its process died.

use super::super::recorded_run::{append, complete, recorded};
use super::*;
use crate::log::NumberedEvent;
use std::collections::{BTreeMap, BTreeSet};
use threadline_schema::chatkit::StatusIndicator;
use threadline_schema::db::types::UtcTime;
use threadline_schema::event::EventKind;
use threadline_schema::ids::{ProcessId, RunId, ThreadId, UserId};
use threadline_schema::runs::RunStatus;

/// Number of the first event of the second owner.
const FIRST: u64 = 1_000_000_001;

fn run_of(thread_id: ThreadId) -> RunRow {
    let time = UtcTime::from_micros(1_800_000_000_000_000).unwrap();
    RunRow {
        id: RunId::random(),
        thread_id,
        user_id: UserId::random(),
        position: 0,
        status: RunStatus::Running,
        owner: ProcessId::random(),
        epoch: 2,
        lease_expires_at: time,
        last_seq: 0,
        error_code: None,
        error_message: None,
        finish_reason: None,
        prompt_tokens: 0,
        completion_tokens: 0,
        message_id: None,
        log_kept: true,
        cancel_requested_at: None,
        retry_of: None,
        created_at: time,
        finished_at: None,
        held_tokens: 0,
        held_micros: 0,
        cost_micros: None,
        budget_scopes: String::new(),
        request: None,
        used: None,
    }
}

/// The items that a reader of the run has after these events.
fn fold(events: &[NumberedEvent]) -> BTreeSet<ItemId> {
    let mut items = BTreeSet::new();
    for (_, event) in events {
        let json: serde_json::Value = serde_json::from_str(&event.json()).unwrap();
        let id = |value: &serde_json::Value| value.as_str().unwrap().parse::<ItemId>().unwrap();
        match event.kind() {
            EventKind::RunResync => {
                items = json["items"]["data"].as_array().unwrap().iter().map(|item| id(&item["id"])).collect();
            }
            EventKind::ItemAdded | EventKind::ItemDone => drop(items.insert(id(&json["item"]["id"]))),
            EventKind::ItemRemoved => drop(items.remove(&id(&json["item_id"]))),
            _ => {}
        }
    }
    items
}

/// Goes on with a run of which this much is left, and checks what is kept. Returns the events and items from then on.
fn check(run: &RunRow, events: &[NumberedEvent], stored: &[ItemRow]) -> (Vec<NumberedEvent>, Vec<ItemRow>) {
    let mut kept = KeptOutput::reconstruct(&Clock::for_tests(), run, events, stored);
    let first = kept.first_events(run, stored, FIRST).unwrap();
    assert_eq!(first[0].kind(), EventKind::RunResync);
    let mut rows = stored.to_vec();
    complete(&mut rows, kept.completed_calls);
    append(&mut rows, run.thread_id, kept.append);
    let mut all = events.to_vec();
    all.extend((FIRST..).zip(first));

    let mut visible: BTreeSet<ItemId> = rows.iter().filter(|row| !row.hidden).map(|row| row.id).collect();
    let workflow = kept.output.workflow.as_ref();
    visible.extend(workflow.map(|workflow| workflow.id));
    assert_eq!(fold(&all), visible, "a reader has what is stored, and the workflow that goes on");
    let resumed: BTreeSet<ItemId> = kept.output.shown.iter().copied().collect();
    assert_eq!(resumed, visible);

    // Each call has one entry; one that is made again gets it then, unless it has one.
    let calls: Vec<ToolCallRow> = rows.iter().filter_map(ToolCallRow::of).collect();
    let entries = rows.iter().filter_map(|row| match serde_json::from_str(&row.body) {
        Ok(ThreadItem::Workflow(item)) => Some(item),
        _ => None,
    });
    let entries: Vec<WorkflowTask> = entries.chain(workflow.cloned()).flat_map(|item| item.workflow.tasks).collect();
    let open: BTreeMap<ItemId, Option<usize>> =
        kept.output.open_calls.iter().map(|call| (call.item_id, call.entry)).collect();
    let unshown = open.values().filter(|entry| entry.is_none()).count();
    assert_eq!(entries.len() + unshown, calls.len(), "an entry for each call");
    let ended = calls.iter().filter(|call| call.has_result).count();
    let complete = entries.iter().filter(|entry| entry.status() == StatusIndicator::Complete).count();
    assert_eq!(complete, ended);
    assert_eq!(open.len(), calls.len() - ended);
    for entry in open.values().flatten() {
        let task = &workflow.unwrap().workflow.tasks[*entry];
        assert_eq!(task.status(), StatusIndicator::Loading);
    }
    (all, rows)
}

struct ToolCallRow {
    has_result: bool,
}

impl ToolCallRow {
    fn of(row: &ItemRow) -> Option<Self> {
        let body: crate::wire::ToolCallBody = serde_json::from_str(&row.body).ok()?;
        (row.kind == ItemKind::ToolCall).then_some(Self { has_result: body.result.is_some() })
    }
}

#[test]
fn finished_steps_are_kept_and_unfinished_ones_dropped_wherever_the_process_died() {
    let recorded = recorded();
    let run = run_of(recorded.thread_id);
    let events = recorded.events();
    for said in 0..=events.len() {
        for (at, rows) in &recorded.stored {
            let newer = recorded.stored.iter().filter(|(later, _)| later > at && *later < said as u64);
            if newer.count() > 0 {
                continue;
            }
            let (events, rows) = check(&run, &events[..said], rows);
            // The second owner dies at once.
            let (again, same) = check(&run, &events, &rows);
            assert_eq!(same.len(), rows.len(), "nothing is stored twice");
            assert_eq!(fold(&again), fold(&events));
        }
    }
}

#[test]
fn unfinished_output_is_counted_and_removed() {
    let mut recorded = super::super::recorded_run::Recorded::new();
    recorded.writer.write_thought("Hm.");
    recorded.writer.write_text("Half");
    let run = run_of(recorded.thread_id);
    let events = recorded.events();
    let mut kept = KeptOutput::reconstruct(&Clock::for_tests(), &run, &events, &[]);
    let first = kept.first_events(&run, &[], FIRST).unwrap();
    let kinds: Vec<_> = first.iter().map(Event::kind).collect();
    assert_eq!(kinds, [EventKind::RunResync, EventKind::ItemRemoved, EventKind::ItemRemoved]);
    assert_eq!(kept.output.lost_bytes, "Hm.Half".len());
    assert!(kept.append.is_empty() && kept.output.workflow.is_none());
}
