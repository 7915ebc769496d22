//! Sentences that change tasks.

use super::add;
use super::command::{Change, Command, target};
use super::phrase::{after, after_any, bare, before_any, split, splits};
use threadline_schema::tasks::Priority;

/// Ways to read one sentence, at most.
const MAX_WAYS: usize = 8;

/// A sentence that changes a task; `None` for any other.
pub(super) fn parse(text: &str) -> Option<Command> {
    if let Some(rest) = after(text, "rename") {
        return Some(changes(rest, &["to", "as", "into"], |title| Change { title: Some(title), ..Change::default() }));
    }
    if let Some(rest) = after(text, "describe") {
        return Some(changes(rest, &["as"], |text| Change { description: Some(text), ..Change::default() }));
    }
    let (verb, rest) = ["change", "update", "edit", "set", "make", "mark", "give", "raise", "lower"]
        .iter()
        .find_map(|verb| Some((*verb, after(text, verb)?)))?;
    // "Make a task ..." is no change.
    if after_any(rest, &["a", "an", "another", "new", "me", "some"]).is_some() {
        return None;
    }
    let of = |what: &[&str]| after_any(after(rest, "the").unwrap_or(rest), what);
    if let Some(rest) = of(&["title of", "name of"]) {
        return Some(changes(rest, &["to"], |title| Change { title: Some(title), ..Change::default() }));
    }
    if let Some(rest) = of(&["description of", "notes of"]) {
        return Some(changes(rest, &["to"], |text| Change { description: Some(text), ..Change::default() }));
    }
    if let Some(rest) = of(&["priority of", "priority for"]) {
        let (rest, level) = split(rest, "to")?;
        let change = Change { priority: Some(add::level(bare(level))?), ..Change::default() };
        return Some(Command::Update(vec![(target(rest)?, change)]));
    }
    let (rest_without, priority) = add::take_priority(rest);
    let (rest_without, priority) = match before_any(&rest_without, &["urgent"]) {
        Some(plain) if verb == "make" => (plain.to_owned(), Some(Priority::High)),
        _ => (rest_without, priority),
    };
    if priority.is_some() {
        // "update buy milk priority to high", "set buy milk to high priority", "give buy milk a high priority".
        let name = before_any(&rest_without, &["priority to", "to a", "a", "to", "as"]).unwrap_or(&rest_without);
        return Some(Command::Update(vec![(target(name)?, Change { priority, ..Change::default() })]));
    }
    matches!(verb, "change" | "update" | "edit")
        .then(|| changes(rest, &["to"], |title| Change { title: Some(title), ..Change::default() }))
}

/// Every way to cut `rest` into a task and its new text.
fn changes(rest: &str, at: &[&str], change: impl Fn(String) -> Change) -> Command {
    let way = |name: &str, text: &str| {
        let text = bare(text);
        (!text.is_empty()).then(|| Some((target(name)?, change(text.to_owned())))).flatten()
    };
    // Quotes say where a title ends.
    let quoted = rest.strip_prefix(['"', '\u{201c}']).and_then(|rest| rest.split_once(['"', '\u{201d}']));
    let ways: Vec<_> = match quoted.and_then(|(name, rest)| Some((name, after_any(rest.trim_start(), at)?))) {
        Some((name, text)) => way(name, text).into_iter().collect(),
        None => at
            .iter()
            .flat_map(|word| splits(rest, word))
            .filter_map(|(name, text)| way(name, text))
            .take(MAX_WAYS)
            .collect(),
    };
    if ways.is_empty() {
        return Command::Unclear("What shall become of which task? Say, for example: rename buy milk to buy oat milk.");
    }
    Command::Update(ways)
}
