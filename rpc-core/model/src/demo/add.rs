//! Sentences that add tasks.

use super::command::{Command, NewTask};
use super::phrase::{after, after_any, bare, before_any, enumeration, skip, split};
use threadline_schema::tasks::Priority;

const LEVELS: &[(&str, Priority)] = &[
    ("high", Priority::High),
    ("highest", Priority::High),
    ("top", Priority::High),
    ("urgent", Priority::High),
    ("medium", Priority::Medium),
    ("normal", Priority::Medium),
    ("low", Priority::Low),
    ("lowest", Priority::Low),
];
const LISTS: &[&str] = &[
    "to my to-do list",
    "to my todo list",
    "to my task list",
    "to the todo list",
    "to my tasks",
    "to my list",
    "to the list",
    "on my to-do list",
    "on my todo list",
    "on my list",
    "on the list",
];
const ASK: &str = "What shall the task be called? Say, for example: add a task to buy milk.";

/// A sentence that adds; `None` for any other.
pub(super) fn parse(text: &str) -> Option<Command> {
    if let Some(rest) = after_any(text, &["remind me", "remember", "don't let me forget", "don't forget"]) {
        return tasks(
            after_any(rest, &["that i have to", "that i need to", "to", "about", "of"]).unwrap_or(rest),
            false,
        );
    }
    for (name, many) in [("task", false), ("todo", false), ("to-do", false), ("tasks", true), ("todos", true)] {
        if let Some(rest) = after(text, name).and_then(|rest| rest.strip_prefix(':')) {
            return tasks(rest, many);
        }
    }
    let (verb, rest) = ["add", "create", "make", "new", "put", "note down", "write down", "note"]
        .iter()
        .find_map(|verb| Some((*verb, after(text, verb)?)))?;
    if let Some((rest, many, priority)) = noun(rest) {
        let command = tasks(rest, many)?;
        return Some(match (command, priority) {
            (Command::Add(tasks), Some(priority)) => {
                Command::Add(tasks.into_iter().map(|task| NewTask { priority, ..task }).collect())
            }
            (command, _) => command,
        });
    }
    // Without the word "task" only what names a list, or plain "add", is meant for it: "make me laugh" is not.
    match before_any(rest, LISTS) {
        Some(rest) => tasks(rest, rest.contains(',')),
        None if matches!(verb, "add" | "note down" | "write down") => tasks(rest, false),
        None => None,
    }
}

/// The tasks in `text`: one, or an enumeration of them.
pub(super) fn tasks(text: &str, many: bool) -> Option<Command> {
    let text = connected(before_any(text, LISTS).unwrap_or(text));
    let names = if many { enumeration(text) } else { vec![text] };
    let tasks: Vec<_> = names.into_iter().filter_map(task).collect();
    Some(if tasks.is_empty() { Command::Unclear(ASK) } else { Command::Add(tasks) })
}

/// The priority called `name`.
pub(super) fn level(name: &str) -> Option<Priority> {
    LEVELS.iter().find(|(level, _)| level.eq_ignore_ascii_case(name)).map(|(_, priority)| *priority)
}

/// `text` without the words that say how urgent it is.
pub(super) fn take_priority(text: &str) -> (String, Option<Priority>) {
    for (name, priority) in LEVELS {
        for phrase in [
            format!("(with {name} priority)"),
            format!("({name} priority)"),
            format!("(priority: {name})"),
            format!("with a {name} priority"),
            format!("with {name} priority"),
            format!("at {name} priority"),
            format!("as {name} priority"),
            format!("{name} priority"),
            format!("{name}-priority"),
            format!("with priority {name}"),
            format!("priority: {name}"),
            format!("priority to {name}"),
            format!("priority {name}"),
            format!("({name})"),
        ] {
            if let Some((left, right)) = split(text, &phrase) {
                let left = left.trim_end_matches([',', ' ']);
                return (format!("{left} {right}").trim().to_owned(), Some(*priority));
            }
        }
    }
    (text.to_owned(), None)
}

/// `a high priority task ...` -> what follows the noun, whether it is plural, and the priority.
fn noun(text: &str) -> Option<(&str, bool, Option<Priority>)> {
    const ARTICLES: &[&str] = &[
        "me",
        "an",
        "a",
        "the",
        "another",
        "some",
        "these",
        "following",
        "new",
        "couple of",
        "few",
        "two",
        "three",
        "four",
        "five",
        "2",
        "3",
        "4",
        "5",
    ];
    const NOUNS: &[(&str, bool)] = &[
        ("tasks", true),
        ("todos", true),
        ("to-dos", true),
        ("items", true),
        ("reminders", true),
        ("things", true),
        ("task", false),
        ("todo", false),
        ("to-do", false),
        ("item", false),
        ("reminder", false),
    ];
    let found = |text: &str| NOUNS.iter().any(|(noun, _)| after(text, noun).is_some());
    let mut rest = skip(text, ARTICLES);
    // In "a to-do item: buy milk" the noun is the second word, in "a to-do: buy milk" the first.
    rest = after_any(rest, &["to-do", "todo"]).filter(|rest| found(rest)).unwrap_or(rest);
    let mut priority = None;
    for (name, level) in LEVELS {
        let phrases = [format!("{name} priority"), format!("{name}-priority"), (*name).to_owned()];
        if let Some(after) = phrases.iter().find_map(|phrase| after(rest, phrase)).filter(|rest| found(rest)) {
            (rest, priority) = (after, Some(*level));
            break;
        }
    }
    NOUNS.iter().find_map(|(noun, many)| Some((after(rest, noun)?, *many, priority)))
}

/// `text` without what ties a title to the noun before it.
fn connected(text: &str) -> &str {
    let mut text = text.trim_start_matches([':', '-', '–', '—', ' ', ',']);
    if let Some(rest) = after_any(text, LISTS) {
        text = rest.trim_start_matches([':', '-', '–', '—', ' ', ',']);
    }
    after_any(
        text,
        &["called", "named", "titled", "that says", "saying", "with the title", "with title", "title:", "for", "to"],
    )
    .unwrap_or(text)
}

/// One task from its words; `None` when no title is among them.
fn task(text: &str) -> Option<NewTask> {
    let (text, description) = ["with the description", "with description", "description:", "notes:", "note:"]
        .iter()
        .find_map(|phrase| split(text, phrase))
        .map_or((text, None), |(text, rest)| (text, Some(rest)));
    let (text, tags) = take_tags(text);
    let (text, mut priority) = take_priority(&text);
    let mut description = description.map(str::to_owned);
    if priority.is_none()
        && let Some(rest) = &description
    {
        let (rest, found) = take_priority(rest);
        (description, priority) = (Some(rest), found);
    }
    let text = before_any(&text, &["asap", "urgently", "urgent"]).map_or(text.clone(), |rest| {
        priority.get_or_insert(Priority::High);
        rest.to_owned()
    });
    let description = description.map(|text| bare(&text).to_owned()).filter(|text| !text.is_empty());
    // With the priority gone from its front, a title may stand behind its connecting word again.
    let title = bare(connected(text.trim_end_matches([',', ' ', '-']))).to_owned();
    (!title.is_empty()).then(|| NewTask { title, description, priority: priority.unwrap_or_default(), tags })
}

/// `text` without `#word`s, and those words; also without `tagged a and b`.
fn take_tags(text: &str) -> (String, Vec<String>) {
    let (text, mut tags) =
        match split(text, "tagged").or_else(|| split(text, "with tags")).or_else(|| split(text, "with tag")) {
            Some((text, tags)) => {
                let tags = after_any(tags, &["as", "with"]).unwrap_or(tags);
                (text, enumeration(tags).into_iter().map(|tag| tag.trim_start_matches('#').to_owned()).collect())
            }
            None => (text, Vec::new()),
        };
    let mut words = Vec::new();
    for word in text.split(' ') {
        match word.strip_prefix('#').map(bare) {
            // "#1" is a number, not a tag.
            Some(tag) if tag.starts_with(char::is_alphabetic) => tags.push(tag.to_owned()),
            _ => words.push(word),
        }
    }
    (words.join(" "), tags)
}
