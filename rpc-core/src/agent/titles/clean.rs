//! Turns what a model wrote into a title.

/// Maximum number of characters of a title.
const CHARS: usize = 100;

/// Quotation marks and other marks that models put around a title: opening and closing.
const MARKS: &[(char, char)] = &[
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('*', '*'),
    ('\u{201c}', '\u{201d}'),
    ('\u{201e}', '\u{201c}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{ab}', '\u{bb}'),
    ('\u{300c}', '\u{300d}'),
];

/// Returns the first line with text, without marks around it; `None` if nothing is left.
pub(super) fn clean_title(answer: &str) -> Option<String> {
    answer.lines().map(clean_line).find(|title| !title.is_empty())
}

fn clean_line(line: &str) -> String {
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: String = words.chars().filter(|c| !c.is_control()).collect();
    let mut title = words.trim_start_matches('#').trim();
    loop {
        let before = title;
        title = title.trim_end_matches(['.', '\u{3002}']).trim();
        let within = MARKS.iter().find_map(|(open, close)| title.strip_prefix(*open)?.strip_suffix(*close));
        title = within.unwrap_or(title).trim();
        if title == before {
            break;
        }
    }
    title.chars().take(CHARS).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_without_quotes_and_period() {
        for (answer, title) in [
            ("Groceries for Sunday", "Groceries for Sunday"),
            (" \n\"Groceries for Sunday.\"\n\nAnything else?", "Groceries for Sunday"),
            ("**\u{201e}Einkauf am  Sonntag\u{201c}**.", "Einkauf am Sonntag"),
            ("# 'Milk'\r\n", "Milk"),
            ("\u{ab} Du lait \u{bb}", "Du lait"),
            ("\"Milk\" and bread", "\"Milk\" and bread"),
            ("What is C#", "What is C#"),
            ("Milk\u{0}\u{1b}", "Milk"),
            ("...\nMilk", "Milk"),
        ] {
            assert_eq!(clean_title(answer).as_deref(), Some(title), "{answer}");
        }
        for nothing in ["", " \n ", "\"\"", "...", "**\"\"**.", "\u{0}"] {
            assert_eq!(clean_title(nothing), None, "{nothing:?}");
        }
        assert_eq!(clean_title(&"ä".repeat(500)).unwrap().chars().count(), CHARS);
    }
}
