//! A sentence -> what it asks for.

use super::add;
use super::change;
use super::phrase::{after, after_any, bare, before_any, has, has_any, skip, tidy};
use threadline_schema::tasks::{Priority, TaskFilter};

/// What a sentence asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    /// New tasks, at least one.
    Add(Vec<NewTask>),
    /// The list.
    List(TaskFilter),
    /// Mark as done.
    Complete(Target),
    /// Remove.
    Delete(Target),
    /// Change. Where a sentence can be cut in several ways, such as `rename go to town to walk`, these are all of
    /// them; the one that fits the list is meant.
    Update(Vec<(Target, Change)>),
    /// Be asked something: what about.
    Ask(String),
    /// A command that lacks something: the question to ask.
    Unclear(&'static str),
    /// Nothing the demo understands.
    Other,
}

/// A task to add.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct NewTask {
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) priority: Priority,
    pub(super) tags: Vec<String>,
}

/// Which tasks are meant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    /// The one with this title, or an id.
    Named(String),
    /// All of a kind.
    Every(TaskFilter),
}

/// What becomes of a task; `None` stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Change {
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) priority: Option<Priority>,
}

/// Longest sentence that is looked at. The limit for messages can be lifted, and then somebody sends a book.
const MAX_BYTES: usize = 4_000;
const POLITE: &[&str] = &[
    "please",
    "can you",
    "could you",
    "would you",
    "will you",
    "i want you to",
    "i want to",
    "i would like you to",
    "i would like to",
    "i'd like you to",
    "i'd like to",
    "go ahead and",
    "hello",
    "hey",
    "hi",
    "okay",
    "ok",
    "now",
    "then",
    "also",
    "just",
    "and",
    "let's",
    "kindly",
];
const ENDS: [char; 5] = ['.', '!', '?', ' ', ','];
const TASKS: &[&str] = &["tasks", "task", "todos", "todo", "to-dos", "to-do", "to do", "list", "items", "reminders"];

/// What `text` asks for.
pub(super) fn parse(text: &str) -> Command {
    if text.len() > MAX_BYTES {
        return Command::Unclear("That is more than the demo can read at once. Please say it in fewer words.");
    }
    let text = tidy(text);
    let mut text = skip(&text, POLITE);
    text = text.trim_end_matches(ENDS);
    // Only behind a pause: "write thanks" is a task.
    if let Some(rest) = before_any(text, &["thanks", "thank you"]).filter(|rest| rest.ends_with(ENDS)) {
        text = rest.trim_end_matches(ENDS);
    }
    if let Some(rest) = before_any(text, &["please"]).filter(|rest| !rest.ends_with(':')) {
        text = rest.trim_end_matches(ENDS);
    }
    if let Some(rest) = after_any(text, &["ask me"]) {
        let topic = after_any(rest, &["about", "for"]).unwrap_or(rest);
        return Command::Ask(topic.trim().to_owned());
    }
    // Deleting first: "get rid of" begins like "get my tasks".
    delete(text)
        .or_else(|| list(text))
        .or_else(|| complete(text))
        .or_else(|| change::parse(text))
        .or_else(|| add::parse(text))
        .or_else(|| done(text))
        .or_else(|| intention(text))
        .unwrap_or(Command::Other)
}

fn list(text: &str) -> Option<Command> {
    const SHOW: &[&str] =
        &["list", "show me", "show", "display", "view", "see", "read me", "read", "get", "give me", "tell me"];
    const ASK: &[&str] =
        &["what's", "whats", "what", "which", "how many", "do i have", "is there", "are there", "anything"];
    const MATTER: &[&str] =
        &["left", "pending", "done", "finished", "completed", "remaining", "open", "outstanding", "plate", "agenda"];
    let asks = if let Some(rest) = after_any(text, SHOW) {
        (rest.is_empty() && after(text, "list").is_some())
            || has_any(rest, TASKS)
            || has(rest, "everything")
            || after_any(rest, ASK).is_some()
    } else if after_any(text, ASK).is_some() {
        has_any(text, TASKS) || has_any(text, MATTER)
    } else {
        after_any(text, &["my tasks", "my task list", "my todo list", "my to-do list", "my list", "all tasks", "tasks"])
            .is_some_and(str::is_empty)
    };
    asks.then(|| Command::List(filter(text)))
}

/// The kind of tasks a phrase speaks of. "Not done" has "done" in it, so what is open is looked for first.
fn filter(text: &str) -> TaskFilter {
    const OPEN: &[&str] = &[
        "not done",
        "not finished",
        "not completed",
        "not complete",
        "undone",
        "unfinished",
        "incomplete",
        "uncompleted",
        "left",
        "pending",
        "open",
        "remaining",
        "outstanding",
        "have to do",
        "need to do",
        "should i do",
        "still",
    ];
    const CLOSED: &[&str] = &["done", "completed", "complete", "finished", "closed"];
    if has_any(text, OPEN) {
        TaskFilter::Pending
    } else if has_any(text, CLOSED) {
        TaskFilter::Completed
    } else {
        TaskFilter::All
    }
}

fn complete(text: &str) -> Option<Command> {
    const VERBS: &[&str] = &[
        "complete",
        "finish",
        "check off",
        "tick off",
        "cross off",
        "close",
        "i finished",
        "i completed",
        "i did",
        "i've finished",
        "i've completed",
        "i've done",
        "i have finished",
        "i have completed",
        "i have done",
        "i'm done with",
        "i am done with",
        "done with",
        "done:",
        "done",
        "finished",
        "completed",
    ];
    const STATES: &[&str] = &[
        "as done",
        "as completed",
        "as complete",
        "as finished",
        "to done",
        "to completed",
        "done",
        "completed",
        "complete",
        "finished",
    ];
    let rest = match after_any(text, &["mark", "set"]) {
        Some(rest) => before_any(rest, STATES)?,
        None => after_any(text, VERBS)?,
    };
    Some(
        target(rest)
            .map_or(Command::Unclear("Which task is done? Say, for example: complete buy milk."), Command::Complete),
    )
}

/// `buy milk is done`.
fn done(text: &str) -> Option<Command> {
    let rest = before_any(text, &["is done", "is completed", "is complete", "is finished"])?;
    Some(Command::Complete(target(rest)?))
}

fn delete(text: &str) -> Option<Command> {
    let rest = after_any(text, &["delete", "remove", "erase", "get rid of", "drop", "trash", "discard", "clear"])?;
    Some(
        target(rest)
            .map_or(Command::Unclear("Which task shall go? Say, for example: delete buy milk."), Command::Delete),
    )
}

/// `i need to buy milk`: another command, or else a task.
fn intention(text: &str) -> Option<Command> {
    let rest = after_any(text, &["i need to", "i have to", "i must", "i should"])?;
    match parse(rest) {
        Command::Other => add::tasks(rest, false),
        command => Some(command),
    }
}

/// The tasks `text` means; `None` when it names none.
pub(super) fn target(text: &str) -> Option<Target> {
    const LEADS: &[&str] = &[
        "the task", "my task", "the", "my", "tasks", "task", "todo", "to-do", "reminder", "called", "named", "titled",
    ];
    const TRAILS: &[&str] = &[
        "from my list",
        "from the list",
        "off my list",
        "off the list",
        "from my tasks",
        "task",
        "tasks",
        "todo",
        "to-do",
        "reminder",
    ];
    let text = text.trim_matches([' ', ':', '.', ',']);
    if text.is_empty() {
        return None;
    }
    if let Some(rest) = after_any(text, &["everything", "all"]) {
        return Some(Target::Every(filter(rest)));
    }
    let plain = after_any(text, &["the", "my"]).unwrap_or(text);
    if let Some(kind @ ("completed" | "done" | "finished" | "pending" | "open")) =
        before_any(plain, &["tasks", "todos", "items"]).map(str::to_ascii_lowercase).as_deref()
    {
        return Some(Target::Every(filter(kind)));
    }
    let mut name = text;
    while let Some(rest) = before_any(name, TRAILS) {
        name = rest;
    }
    let mut name = bare(name);
    while let Some(rest) = after_any(name, LEADS).map(|rest| rest.trim_start_matches([':', ' '])) {
        name = rest;
    }
    let name = bare(name);
    // "complete the task" names none.
    (!name.is_empty()).then(|| Target::Named(name.to_owned()))
}
