//! Parses a user's sentence into a command, with one table of patterns.

use regex::Regex;
use serde_json::{Value, json};
use std::sync::LazyLock;
use threadline_schema::tasks::{Priority, TaskFilter};

/// A tool that a sentence asks for, without the id of the task: that takes a look at the list.
#[derive(Debug)]
pub(super) enum Command {
    /// One `add_task` each.
    Add(Vec<Value>),
    List(TaskFilter),
    Complete(Target),
    Delete(Target),
    /// `update_task` with these arguments.
    Update(Target, Value),
    /// `ask_user` about this topic.
    Ask(String),
}

/// The tasks that a command is about.
#[derive(Debug)]
pub(super) enum Target {
    /// The task with this title or id.
    Named(String),
    /// All tasks of a kind.
    Every(TaskFilter),
}

#[derive(Clone, Copy)]
enum Kind {
    Ask,
    Add,
    List,
    Complete,
    Delete,
    Update,
}

/// The longest sentence that is parsed, in bytes.
const MAX_SENTENCE: usize = 4_000;

/// Words that several patterns share. A pattern names them in braces.
const WORDS: &[(&str, &str)] = &[
    ("{open}", "(?:not (?:yet )?{done}|un(?:done|finished)|incomplete|left|pending|open|remaining|still|need to do)"),
    ("{done}", "(?:done|completed?|finished)"),
    ("{list}", "(?:to|on|in|from|off) (?:my|the)(?: (?:to[- ]?do|task))? (?:list|tasks|todos)"),
    ("{noun}", "(?:tasks?|to[- ]?do items?|to-?dos?|items?|reminders?)"),
    ("{level}", "(?:highest|high|top|urgent|medium|normal|lowest|low)"),
    ("{some}", "(?:an?|the|another|some|these|following|new|few|two|three|four|five)"),
];

/// The first pattern that fits the whole sentence decides.
const PATTERNS: &[(Kind, &str)] = &[
    (Kind::Ask, "ask me\\b(?: about| for)?(?<topic>.*)"),
    (Kind::Delete, "(?:delete|remove|erase|get rid of|drop|discard|clear)\\b(?<target>.*)"),
    (
        Kind::List,
        "(?:list|show|display|view|read|get|give me|tell me|what|which|how many|do i have|are there|anything)\\b\
         .*\\b(?:{noun}|list|to do|should i do|everything|{done}|{open})\\b.*",
    ),
    (Kind::List, "list|(?:(?:all|my|the|completed|done|{open}) )*(?:tasks|to-?dos|(?:task |to-?do )?list)"),
    (Kind::Complete, "(?:mark|set|check|tick|cross)\\b(?<target>.*?)(?:\\b(?:as|to))? (?:{done}|off)"),
    (
        Kind::Complete,
        "(?:complete|finish|close|(?:check|tick|cross) off|mark as {done}|(?:i|i've|i have)(?: just)? (?:{done}|did)|\
         (?:i'm |i am )?{done} with|{done})\\b(?<target>.*)",
    ),
    (
        Kind::Add,
        "(?:add|create|make|new|put|write|note)\\b(?: {some})*(?: (?<level>{level})(?:[ -]priority)?)? \
         (?<noun>{noun})\\b(?<title>.*)",
    ),
    (Kind::Add, "(?<noun>{noun}):(?<title>.*)"),
    (Kind::Add, "(?:add|remind me(?: to| about| of)?|remember to|don't forget(?: to)?)\\b(?<title>.*)"),
    (Kind::Add, "(?:put|create|make) (?<title>.+ {list})"),
    (Kind::Update, "(?:set|change|update|raise|lower)(?: the)? priority (?:of|for) (?<target>.+) to (?<level>{level})"),
    (
        Kind::Update,
        "(?:set|change|update|edit|make|mark|give) (?<target>.+?)(?:'s)?(?: (?:priority|to|as|an?))* \
         (?<level>{level})(?: priority)?",
    ),
    (
        Kind::Update,
        "(?:rename|(?:set|change|update|edit)(?:(?: the)? (?:title|name) of)?) \
         (?:[\"'](?<quoted>[^\"']+)[\"']|(?<target>.+?)) (?:to|as|into) (?<title>.+)",
    ),
    (Kind::Complete, "(?<target>.+) (?:is|are)(?: now)? {done}"),
    (Kind::Add, "i (?:need|have) to (?<title>.+)"),
];

static COMPILED: LazyLock<Vec<(Kind, Regex)>> = LazyLock::new(|| {
    let whole = |pattern: &str| regex(&format!("^(?:i (?:need|have|want) to )?(?:{pattern})$"));
    PATTERNS.iter().map(|(kind, pattern)| (*kind, whole(pattern))).collect()
});

macro_rules! regexes {
    ($($name:ident = $pattern:expr;)*) => { $(static $name: LazyLock<Regex> = LazyLock::new(|| regex($pattern));)* };
}

regexes! {
    POLITE_START = "^(?:(?:please|hello|hey|hi|ok|okay|now|just|and|(?:can|could|would|will) you|i'd like(?: you)? to|i would like(?: you)? to|i want you to)\\b[ ,.!]*)+";
    POLITE_END = "(?:[ ,]+please|[,.!]+ *(?:thanks|thank you))?[ .!?]*$";
    OPEN = "\\b{open}\\b";
    DONE = "\\b{done}\\b";
    EVERY = "^(?:(?:the|my) )?(?:everything|all\\b|(?:{done}|{open}) (?:tasks|to-?dos|items))";
    TARGET = "^[ :]*(?:(?:the|my|tasks?|to-?do|item|called|named)\\b[ :]*)*(?<name>.*?)(?: (?:tasks?|to-?do|item|{list}))*$";
    LIST = "(?:^| ){list}\\b";
    CONNECTOR = "^[-:–—, ]*(?:(?:called|named|titled|that says|with (?:the )?title|title|for|to)\\b[: ]*)?";
    PRIORITY = "[,(]? *(?:\\b(?:with|at|as))?(?: an?)? *(?:\\b(?<a>{level})[ -]priority\\b|\\bpriority:? (?<b>{level})\\b|\\((?<c>{level})\\))\\)?";
    SEPARATOR = "[,;]+(?: *and\\b)?|\\band\\b";
}

#[expect(clippy::expect_used, reason = "the patterns are constants, and the tests compile all of them")]
fn regex(pattern: &str) -> Regex {
    let pattern = WORDS.iter().fold(pattern.to_owned(), |pattern, (name, words)| pattern.replace(name, words));
    Regex::new(&format!("(?i){pattern}")).expect("a valid pattern")
}

/// Parses a sentence. `None` if no pattern fits, or if the sentence names no task.
pub(super) fn parse(sentence: &str) -> Option<Command> {
    if sentence.len() > MAX_SENTENCE {
        return None;
    }
    // A line break separates the entries of a list, as a comma does.
    let lines = sentence.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ").replace('\u{2019}', "'");
    let text = POLITE_END.replace(&text, "");
    let text = POLITE_START.replace(&text, "");
    let (kind, found) = COMPILED.iter().find_map(|(kind, regex)| Some((*kind, regex.captures(&text)?)))?;
    let group = |name: &str| found.name(name).map_or("", |group| group.as_str());
    Some(match kind {
        Kind::Ask => Command::Ask(bare(group("topic")).to_owned()),
        Kind::List => Command::List(filter(&text)),
        Kind::Complete => Command::Complete(target(group("target"))?),
        Kind::Delete => Command::Delete(target(group("target"))?),
        Kind::Update => {
            let target = target(group(if group("quoted").is_empty() { "target" } else { "quoted" }))?;
            Command::Update(
                target,
                match priority(group("level")) {
                    Some(priority) => json!({"priority": priority}),
                    None => json!({"title": bare(group("title"))}),
                },
            )
        }
        Kind::Add => {
            let title = LIST.replace(group("title"), "");
            let many = group("noun").ends_with(['s', 'S']) || (title != group("title") && title.contains(','));
            let titles = if many { SEPARATOR.split(&title).collect() } else { vec![title.as_ref()] };
            let tasks: Vec<Value> = titles.into_iter().filter_map(|title| new_task(title, group("level"))).collect();
            (!tasks.is_empty()).then_some(Command::Add(tasks))?
        }
    })
}

/// The arguments of `add_task`.
fn new_task(text: &str, level: &str) -> Option<Value> {
    let named = PRIORITY.captures(text).and_then(|found| ["a", "b", "c"].iter().find_map(|name| found.name(name)));
    let priority = priority(named.map_or(level, |level| level.as_str())).unwrap_or_default();
    let text = PRIORITY.replace(text, "");
    let text = CONNECTOR.replace(&text, "");
    let title = bare(&text);
    (!title.is_empty()).then(|| json!({"title": title, "priority": priority}))
}

fn target(text: &str) -> Option<Target> {
    if EVERY.is_match(text.trim()) {
        return Some(Target::Every(filter(text)));
    }
    let found = TARGET.captures(text)?;
    let name = bare(found.name("name")?.as_str());
    (!name.is_empty()).then(|| Target::Named(name.to_owned()))
}

/// The kind of tasks that `text` speaks of. "Not done" contains "done", so open tasks come first.
fn filter(text: &str) -> TaskFilter {
    match text {
        text if OPEN.is_match(text) => TaskFilter::Pending,
        text if DONE.is_match(text) => TaskFilter::Completed,
        _ => TaskFilter::All,
    }
}

fn priority(level: &str) -> Option<Priority> {
    match level.to_lowercase().as_str() {
        "" => None,
        "medium" | "normal" => Some(Priority::Medium),
        "low" | "lowest" => Some(Priority::Low),
        _ => Some(Priority::High),
    }
}

/// Removes the quotes, the punctuation or the bullet around a name.
fn bare(name: &str) -> &str {
    let name = name.trim_start_matches(|c: char| c.is_whitespace() || "-*•–:,;.".contains(c));
    let name = name.trim_end_matches(|c: char| c.is_whitespace() || ".,;:!".contains(c));
    let quotes = [('"', '"'), ('\'', '\''), ('`', '`'), ('\u{201c}', '\u{201d}'), ('\u{201e}', '\u{201c}')];
    let unquoted = quotes.iter().find_map(|(open, close)| name.strip_prefix(*open)?.strip_suffix(*close));
    unquoted.unwrap_or(name).trim()
}
