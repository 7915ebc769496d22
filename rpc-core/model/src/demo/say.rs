//! What the demo says.

use super::results::{Known, Outcome};
use crate::{AttachedFile, FileContent};
use threadline_schema::tasks::TaskFilter;

/// Words of a text that are quoted.
const QUOTED_WORDS: usize = 12;
/// Tasks named in one answer, at most.
const MAX_NAMED: usize = 50;
/// Behind every answer, so that nobody takes it for a language model's.
const SIGNATURE: &str = "(I am the built-in demo model.)";

/// The answer to whatever is no command.
pub(super) fn help() -> String {
    "Hello! I am Threadline's built-in demo model. I understand simple sentences about a task list. Try:\n\
     - add a task to buy milk with high priority\n\
     - add tasks: water the plants, call mom and pay rent\n\
     - show my tasks\n\
     - complete buy milk\n\
     - rename call mom to call dad\n\
     - delete pay rent\n\
     - ask me about my week\n\
     For a real language model, set OPENROUTER_API_KEY and start Threadline again."
        .to_owned()
}

/// The answer to files that come without a command.
pub(super) fn files(files: &[AttachedFile]) -> String {
    let lines: Vec<_> = files.iter().map(line_of_file).collect();
    format!("I have got:\n{}\n{SIGNATURE}", lines.join("\n"))
}

/// A file with what can be said of it without a language model: of text the beginning.
fn line_of_file(file: &AttachedFile) -> String {
    let AttachedFile { name, mime_type, content, .. } = file;
    let FileContent::Text(text) = content else { return format!("- {name} ({mime_type})") };
    let beginning: Vec<_> = text.split_whitespace().take(QUOTED_WORDS).collect();
    format!("- {name} ({mime_type}), which begins: \"{}\"", beginning.join(" "))
}

/// An answer of one remark.
pub(super) fn signed(text: &str) -> String {
    format!("{text} {SIGNATURE}")
}

/// What the user answered to questions.
pub(super) fn answers(outcomes: &[Outcome]) -> String {
    let given: Vec<String> = outcomes.iter().flat_map(Outcome::answers).collect();
    if given.is_empty() {
        return signed("You would rather not say, and that is fine.");
    }
    format!("Thank you. You said:\n{}\n{SIGNATURE}", given.join("\n"))
}

/// The answer when the tool that is needed was not offered.
pub(super) fn no_tool(tool: &str) -> String {
    signed(&format!("I would need the tool {tool} for that, and it is not on offer here."))
}

/// The answer when no task fits.
pub(super) fn nothing_like(words: &str, tasks: &[&Known]) -> String {
    if tasks.is_empty() {
        return signed(&format!("I found no task like \"{words}\": there is none to choose from."));
    }
    format!("I found no task like \"{words}\". There are:\n{}\n{SIGNATURE}", lines(tasks))
}

/// The answer when several tasks fit.
pub(super) fn which(words: &str, tasks: &[&Known]) -> String {
    format!("More than one task fits \"{words}\":\n{}\nWhich one do you mean? {SIGNATURE}", lines(tasks))
}

/// The answer when a task to complete is completed.
pub(super) fn already_done(task: &Known) -> String {
    signed(&format!("\"{}\" is already done.", task.title))
}

/// The answer when a command for all tasks of a kind finds none.
pub(super) fn none_of(filter: TaskFilter) -> String {
    signed(match filter {
        TaskFilter::All => "There are no tasks.",
        TaskFilter::Pending => "Nothing is left to do.",
        TaskFilter::Completed => "Nothing is done yet.",
    })
}

/// The answer when a list could not be had.
pub(super) fn failed(error: &str) -> String {
    signed(&format!("That did not work: {}.", error.trim_end_matches('.')))
}

/// The answer that is a list.
pub(super) fn list(tasks: &[Known], filter: TaskFilter) -> String {
    if tasks.is_empty() {
        return none_of(filter);
    }
    let kind = match filter {
        TaskFilter::All => "",
        TaskFilter::Pending => " to do",
        TaskFilter::Completed => " done",
    };
    let noun = if tasks.len() == 1 { "task" } else { "tasks" };
    let tasks: Vec<&Known> = tasks.iter().collect();
    format!("You have {} {noun}{kind}:\n{}\n{SIGNATURE}", tasks.len(), lines(&tasks))
}

/// The answer after tools have worked: what was done, and what was not. `listed` are titles seen on the way.
pub(super) fn done(outcomes: &[Outcome], listed: &[Known]) -> String {
    let title = |outcome: &Outcome| {
        let named =
            || listed.iter().find(|task| Some(task.id.as_str()) == outcome.task_id()).map(|task| task.title.as_str());
        // A renamed task goes by its old name, a failed call by what it was asked for.
        let title =
            if outcome.tool == "update_task" { named().or(outcome.title()) } else { outcome.title().or_else(named) };
        title.map_or_else(|| "the task".to_owned(), |title| format!("\"{title}\""))
    };
    let mut sentences = Vec::new();
    for (tool, past, infinitive) in [
        ("add_task", "Added", "add"),
        ("complete_task", "Completed", "complete"),
        ("update_task", "Updated", "update"),
        ("delete_task", "Deleted", "delete"),
    ] {
        let (failed, worked): (Vec<_>, Vec<_>) =
            outcomes.iter().filter(|outcome| outcome.tool == tool).partition(|outcome| outcome.error().is_some());
        match worked.as_slice() {
            [] => {}
            [one] => sentences.push(format!("{past} {}{}.", title(one), details(one))),
            many => {
                let names: Vec<_> = many.iter().map(|outcome| title(outcome)).collect();
                sentences.push(format!("{past} {} tasks: {}.", many.len(), joined(&names)));
            }
        }
        for outcome in failed {
            let error = outcome.error().unwrap_or_default().trim_end_matches('.').to_owned();
            sentences.push(format!("I could not {infinitive} {}: {error}.", title(outcome)));
        }
    }
    signed(&if sentences.is_empty() { "Done.".to_owned() } else { sentences.join(" ") })
}

/// What a single change was about.
fn details(outcome: &Outcome) -> String {
    let argument = |name: &str| outcome.arguments.get(name).and_then(|value| value.as_str());
    match outcome.tool.as_str() {
        "add_task" => match argument("priority") {
            Some(priority @ ("high" | "low")) => format!(" with {priority} priority"),
            _ => String::new(),
        },
        "update_task" => {
            let mut parts = Vec::new();
            parts.extend(argument("title").map(|title| format!("it is now called \"{title}\"")));
            parts.extend(argument("priority").map(|priority| format!("its priority is {priority}")));
            parts.extend(argument("description").map(|_| "it has a new description".to_owned()));
            if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
        }
        _ => String::new(),
    }
}

fn lines(tasks: &[&Known]) -> String {
    let mut lines: Vec<String> = tasks.iter().take(MAX_NAMED).map(|task| line(task)).collect();
    if tasks.len() > MAX_NAMED {
        lines.push(format!("- and {} more", tasks.len() - MAX_NAMED));
    }
    lines.join("\n")
}

fn line(task: &Known) -> String {
    let priority = task.priority.as_deref().filter(|priority| *priority != "medium");
    let notes: Vec<String> = priority
        .map(|priority| format!("{priority} priority"))
        .into_iter()
        .chain(task.completed.then(|| "done".to_owned()))
        .collect();
    if notes.is_empty() { format!("- {}", task.title) } else { format!("- {} ({})", task.title, notes.join(", ")) }
}

fn joined(names: &[String]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}
