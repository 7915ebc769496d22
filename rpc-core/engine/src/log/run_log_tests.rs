//! What a log gives its readers and the journal.

use super::run_log::{RunLog, Saved};
use std::collections::VecDeque;
use std::sync::Arc;
use threadline_schema::event::Event;
use threadline_schema::ids::RunId;
use threadline_store::SegmentWriter;

fn log() -> RunLog {
    RunLog::new(RunId::random())
}

fn numbers(log: &RunLog, after: u64) -> Vec<u64> {
    let mut events = VecDeque::new();
    log.read(after, 100, &mut events);
    events.into_iter().map(|(seq, _)| seq).collect()
}

#[test]
fn a_copy_keeps_the_numbers_of_what_it_copies() {
    let log = log();
    let event = |seq: u64| (seq, Event::from_json(seq.to_string()));
    log.copy([1, 2, 3].map(event), false);
    log.copy([2, 3, 4].map(event), false);
    log.copy([1_000, 1_001].map(event), true);
    assert!(log.is_closed());
    assert_eq!(log.last_seq(), 1_001);
    assert_eq!(numbers(&log, 0), [1, 2, 3, 4, 1_000, 1_001]);
    for (after, expected) in
        [(3, &[4, 1_000, 1_001][..]), (4, &[1_000, 1_001]), (7, &[1_000, 1_001]), (1_000, &[1_001]), (2_000, &[])]
    {
        assert_eq!(numbers(&log, after), expected, "{after}");
    }
}

#[test]
fn an_adopted_log_goes_on_after_each_owner_before() {
    let log = log();
    let event = |seq: u64| (seq, Event::from_json(seq.to_string()));
    log.copy([1, 2].map(event), false);
    log.adopt([1, 2, 3, 1_000, 1_001, 2_000].map(event));
    log.copy([2_001, 2_002].map(event), true);
    assert!(log.is_adopted() && !log.is_closed(), "nothing is copied into it any more");
    assert!(log.begin_saving(10).is_none(), "all of it is durable");
    assert_eq!(log.append(Event::from_json("2001")), 2_001);
    let all = [1, 2, 3, 1_000, 1_001, 2_000, 2_001];
    for after in [0, 1, 2, 3, 4, 999, 1_000, 1_001, 1_002, 1_999, 2_000, 2_001, 2_002, u64::MAX] {
        let expected: Vec<u64> = all.into_iter().filter(|seq| *seq > after).collect();
        assert_eq!(numbers(&log, after), expected, "{after}");
    }
    let unsaved = log.begin_saving(10).unwrap();
    assert_eq!((unsaved.first_seq, unsaved.events.len()), (2_001, 1));
    // The process loses the run again.
    log.release();
    log.set_unreachable(true);
    assert!(log.is_unreachable());
    log.copy([2_001, 3_000].map(event), true);
    assert!(log.is_closed() && log.last_seq() == 3_000);
    assert!(!log.is_unreachable(), "a log that has its last event can be read");
}

#[tokio::test]
async fn events_are_given_to_the_journal_until_they_are_durable() {
    let log = log();
    assert!(log.begin_saving(10).is_none());
    for n in 1..=5 {
        log.append(Event::from_json(n.to_string()));
    }
    let unsaved = log.begin_saving(3).unwrap();
    assert_eq!((unsaved.first_seq, unsaved.last_seq()), (1, 3));
    log.end_saving(Saved::Unknown);
    let unsaved = log.begin_saving(3).unwrap();
    assert_eq!((unsaved.first_seq, unsaved.last_seq()), (1, 3));
    log.end_saving(Saved::Logged(3));

    assert!(log.begin_saving(10).is_some());
    let log = Arc::new(log);
    let sealing = tokio::spawn({
        let log = log.clone();
        async move { log.seal().await }
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!sealing.is_finished(), "the journal is still writing");
    log.end_saving(Saved::Logged(4));
    let rest = sealing.await.unwrap();
    assert_eq!((rest.first_seq, rest.last_seq()), (5, 5));
    assert!(log.begin_saving(10).is_none(), "it is written with the end of the run");
}

#[tokio::test]
async fn what_is_in_segments_is_written_with_the_end_of_the_run() {
    let log = log();
    for n in 1..=5 {
        log.append(Event::from_json(n.to_string()));
    }
    let mut segment = SegmentWriter::default();
    assert_eq!(log.begin_segment(3, &mut segment), Some(3));
    log.end_saving(Saved::InSegment(3, 8));
    assert_eq!(log.unsaved(10).first_seq, 4);
    assert_eq!(log.begin_segment(3, &mut segment), Some(5));
    log.end_saving(Saved::InSegment(5, 9));
    assert_eq!(log.begin_segment(3, &mut segment), None);
    assert_eq!(log.first_segment().unwrap().0, 8);
    let unlogged = log.begin_saving(2).unwrap();
    assert_eq!((unlogged.first_seq, unlogged.last_seq()), (1, 2));
    log.end_saving(Saved::Logged(2));
    assert_eq!(log.first_segment().unwrap().0, 8);
    let rest = log.seal().await;
    assert_eq!((rest.first_seq, rest.last_seq()), (3, 5));
}
