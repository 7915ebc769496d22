//! Which task some words mean.

use super::phrase::enumeration;
use super::results::Known;

/// The task `words` mean, or those they may mean.
pub(super) enum Found<'a> {
    /// These, beyond doubt.
    Tasks(Vec<&'a Known>),
    /// One of these.
    Several(Vec<&'a Known>),
    /// None.
    Nothing,
}

/// Looks for `words` among `tasks`: an id, else one title, else, as an enumeration, several.
pub(super) fn find<'a>(tasks: &[&'a Known], words: &str) -> Found<'a> {
    match best(tasks, words).as_slice() {
        [] => {}
        [one] => return Found::Tasks(vec![*one]),
        several => return Found::Several(several.to_vec()),
    }
    let parts: Vec<_> = enumeration(words).into_iter().map(|part| best(tasks, part)).collect();
    if parts.iter().all(|found| found.len() == 1) {
        let mut found: Vec<&Known> = Vec::new();
        for task in parts.into_iter().flatten() {
            if !found.iter().any(|known| known.id == task.id) {
                found.push(task);
            }
        }
        if !found.is_empty() {
            return Found::Tasks(found);
        }
    }
    Found::Nothing
}

/// Whether `words` are the title of one of `tasks`, word for word.
pub(super) fn is_title(tasks: &[&Known], words: &str) -> bool {
    tasks.iter().any(|task| significant(&task.title) == significant(words))
}

/// The tasks that fit best: a closer kind of likeness beats every looser one.
fn best<'a>(tasks: &[&'a Known], words: &str) -> Vec<&'a Known> {
    let wanted = significant(words);
    let phrase = wanted.join(" ");
    let kinds: [&dyn Fn(&Known) -> bool; 5] = [
        &|task| task.id == words,
        &|task| significant(&task.title) == wanted,
        &|task| {
            !phrase.is_empty() && format!(" {} ", significant(&task.title).join(" ")).contains(&format!(" {phrase} "))
        },
        &|task| covers(&significant(&task.title), &wanted, |a, b| a == b),
        &|task| covers(&significant(&task.title), &wanted, alike),
    ];
    kinds
        .iter()
        .map(|fits| tasks.iter().copied().filter(|task| fits(task)).collect::<Vec<_>>())
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn covers(title: &[String], wanted: &[String], same: impl Fn(&str, &str) -> bool) -> bool {
    !wanted.is_empty() && wanted.iter().all(|word| title.iter().any(|other| same(word, other)))
}

/// `buying` and `buy`, `eggs` and `egg`: one begins with the other.
fn alike(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    short.chars().count() >= 3 && long.starts_with(short)
}

/// The words of a text in lower case, without those that tell nothing apart; all of them if there are no others.
fn significant(text: &str) -> Vec<String> {
    const EMPTY: &[&str] = &["the", "a", "an", "my", "to", "of", "some", "task"];
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let telling: Vec<String> = words.iter().filter(|word| !EMPTY.contains(&word.as_str())).cloned().collect();
    if telling.is_empty() { words } else { telling }
}
