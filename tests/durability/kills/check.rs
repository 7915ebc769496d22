//! The checks after the last process has died: everything that was acknowledged is there, once.

use super::Kill;
use super::user::{SimulatedUser, Submission};
use crate::model::{AnswerPlan, asked};
use crate::reader::{Reader, Seen, Transport};
use crate::service::{begin, items, submit, text, whole};
use crate::support::{App, Client, Upstream};
use crate::trial::{Trial, spread};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Words that arrived this long before a process died can be lost, and no earlier ones. They are written every 40 ms;
/// the rest is for machines that do much else.
const MAY_BE_LOST: Duration = Duration::from_millis(1_000);
/// A lease, the interval of the check, and the usual patience.
const ALL_CLOSED: Duration = Duration::from_secs(45);

#[derive(Default)]
struct Found {
    messages: usize,
    sent_again: usize,
    ends: BTreeMap<String, usize>,
    /// Runs that continued after their process was killed.
    continued: usize,
    /// Age of the oldest lost word at the death of its process, per run.
    lost: Vec<Duration>,
    lost_chars: usize,
    calls: usize,
    unknown: usize,
}

/// Checks everything. Returns a summary.
pub async fn check(
    trial: &mut Trial,
    upstream: &Upstream,
    apps: &[App],
    users: Vec<SimulatedUser>,
    kills: &[Kill],
) -> String {
    let mut found = Found::default();
    let busy: usize = users.iter().map(|user| user.refused_while_busy).sum();
    let checked = Instant::now();
    for mut simulated in users {
        let user = simulated.user.at(&apps[trial.rng.usize(..apps.len())]);
        let mut sent = std::mem::take(&mut simulated.sent);
        for sent in &mut sent {
            settle(&user, sent).await;
            found.messages += 1;
            found.sent_again += sent.tries - 1;
        }
        let tasks = tasks(&user).await;
        let mut histories = BTreeMap::new();
        for session in &simulated.sessions {
            histories.insert(*session, items(&user, *session).await);
        }
        let asked = asked(upstream);
        for sent in &sent {
            let asked = asked.get(&sent.plan.tag).copied().unwrap_or_default();
            one(&user, sent, &histories[&sent.session], &tasks, kills, asked, &mut found).await;
        }
        let users = |items: &Vec<Value>| items.iter().filter(|item| item["type"] == "user_message").count();
        assert_eq!(histories.values().map(users).sum::<usize>(), sent.len(), "messages that were not sent");
        for (at, session) in simulated.sessions.iter().enumerate() {
            let plan = AnswerPlan::talk(2, 0, format!("after{}-{at}", simulated.name));
            let run = begin(&user, *session, &plan).await;
            let reader = whole(Transport::RunSse, &user, *session, run).await;
            assert_eq!(reader.end().unwrap()["type"], "run.completed", "session {session} is stuck");
        }
    }
    let Found { messages, sent_again, ends, continued, mut lost, lost_chars, calls, unknown } = found;
    format!(
        "{messages} messages ({sent_again} sent again, {busy} refused as busy), each there once; ends {ends:?}; {continued} went on; {calls} calls \
         made once, {unknown} unknown; {} answers lost up to {lost_chars} characters that had been heard, the oldest {} \
         before the kill; checked in {:.1} s",
        lost.len(),
        spread(&mut lost),
        checked.elapsed().as_secs_f64()
    )
}

/// Sends unacknowledged messages again, and reads to the end.
async fn settle(user: &Client, sent: &mut Submission) {
    let deadline = Instant::now() + ALL_CLOSED;
    while sent.reader.is_none() {
        sent.tries += 1;
        match submit(user, sent.session, &sent.plan, &sent.plan.tag).await.expect("the service is there") {
            Ok(run) => sent.reader = Some(Reader::new(sent.session, run)),
            Err(error) => {
                assert!(error["data"]["code"] == "THREAD_BUSY" && Instant::now() < deadline, "{error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    let reader = sent.reader.as_mut().expect("it was just made");
    while reader.end().is_none() {
        assert!(Instant::now() < deadline, "run {} does not end", reader.run);
        reader.follow(Transport::RunSse, user).await;
    }
}

/// Checks one message and its response.
async fn one(
    user: &Client,
    sent: &Submission,
    history: &[Value],
    tasks: &[Value],
    kills: &[Kill],
    asked: usize,
    found: &mut Found,
) {
    let (plan, reader) = (&sent.plan, sent.reader.as_ref().expect("settled"));
    let tag = &plan.tag;
    let run = user.run(reader.run).await;
    let status = run["status"].as_str().unwrap().to_owned();
    let end = reader.end().expect("settled");
    assert_eq!(end["run"], run, "{tag}: the end that was told is not how it ended");
    if let Some(told) = &sent.cancelled {
        assert_eq!(told["status"], run["status"], "{tag}: a cancel was told something else");
    }
    let times = history.iter().filter(|item| item["type"] == "user_message" && text(item) == plan.message()).count();
    assert_eq!(times, 1, "{tag}: the message is there {times} times");

    // The events of the run, for a new reader.
    let anew = whole(Transport::RunSse, user, reader.session, reader.run).await;
    reader.check_items(history);
    anew.check_items(history);
    assert_eq!(reader.items(), anew.items(), "{tag}: two readers have different screens");
    let kept = anew.items().iter().filter(|item| item["type"] == "assistant_message").map(text).collect::<String>();
    assert!(plan.answer().starts_with(&kept), "{tag}: {kept:?} is not how the answer begins");
    // Each process that continues the run begins with a resync event, in which the run is running, and asks the model
    // once more. In the resync event of a process that closes the run, it has ended.
    let goes_on = |seen: &&Seen| seen.event["type"] == "run.resync" && seen.event["run"]["status"] == "running";
    let continued = anew.events.iter().filter(goes_on).count();
    assert!(asked <= 1 + continued, "{tag}: the model was asked {asked} times, by {} processes", 1 + continued);
    found.continued += usize::from(continued > 0);
    if continued == 0 {
        assert!(plan.answer().starts_with(&reader.heard()), "{tag}: heard {:?}", reader.heard());
        // The log of a dead process's run has the events that were durable when it was closed. All of them must be
        // kept.
        assert_eq!(anew.heard(), kept, "{tag}: words in the log are not in the message");
    }
    match status.as_str() {
        "completed" => assert_eq!(kept, plan.answer(), "{tag}"),
        "interrupted" | "cancelled" if continued == 0 => lost(reader, &kept, kills, found),
        "interrupted" | "cancelled" => {}
        other => panic!("{tag}: {other}: {run}"),
    }
    *found.ends.entry(status).or_default() += 1;

    let made = tasks.iter().filter(|task| task["title"] == **tag).count();
    match run["tool_calls"][0]["result"].as_str().map(|result| serde_json::from_str::<Value>(result).unwrap()) {
        Some(result) if result["status"] == "unknown" => {
            assert!(made <= 1, "{tag}: the task is there {made} times");
            found.unknown += 1;
        }
        Some(result) if result["status"] == "not_made" => assert_eq!(made, 0, "{tag}: {result}"),
        Some(_) => {
            assert_eq!(made, 1, "{tag}: the task is there {made} times");
            found.calls += 1;
        }
        None => assert_eq!(made, 0, "{tag}: a task of a call that nobody recorded"),
    }
}

/// Looks for words that were received and are not stored. Only the last ones may be missing.
fn lost(reader: &Reader, kept: &str, kills: &[Kill], found: &mut Found) {
    let mut heard = 0;
    for seen in &reader.events {
        heard += seen.event["delta"].as_str().map_or(0, str::len);
        if heard <= kept.len() {
            continue;
        }
        let kill = kills.iter().find(|kill| kill.settled >= seen.at).expect("words are lost when a process dies");
        let age = kill.at.saturating_duration_since(seen.at);
        assert!(age < MAY_BE_LOST, "run {}: words were heard {age:?} before the kill, and lost", reader.run);
        found.lost.push(age);
        found.lost_chars = found.lost_chars.max(reader.heard().len() - kept.len());
        return;
    }
}

async fn tasks(user: &Client) -> Vec<Value> {
    let mut tasks: Vec<Value> = Vec::new();
    let mut path = "/api/v1/tasks?limit=100".to_owned();
    loop {
        let page = user.get(&path).await;
        tasks.extend(page.data().as_array().unwrap().iter().cloned());
        match page.body["meta"]["after"].as_str() {
            Some(after) => path = format!("/api/v1/tasks?limit=100&after={after}"),
            None => return tasks,
        }
    }
}
