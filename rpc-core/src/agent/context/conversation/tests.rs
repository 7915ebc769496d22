use super::*;
use proptest::prelude::*;

const SYSTEM: &str = "be kind";

/// A conversation whose turns, of a question and an answer of `bytes` each, are at positions 0, 2, 4, ...
fn conversation(turns: usize, bytes: usize, summary: Option<(&str, i64)>) -> Conversation {
    let mut messages = vec![Message::System(SYSTEM.into())];
    let mut places = Vec::new();
    for turn in 0..turns {
        places.push(Turn { message: messages.len(), position: i64::try_from(turn * 2).unwrap() });
        messages.push(Message::User(format!("question {turn} {}", "q".repeat(bytes)).into()));
        if turn + 1 < turns {
            messages.push(Message::Assistant { text: "a".repeat(bytes), tool_calls: vec![] });
        }
    }
    let summary = summary.map(|(text, through)| EarlierTurns { text: text.into(), through });
    Conversation { messages, turns: places, is_partial: false, summary }
}

fn texts(fitted: &Fitted<'_>) -> Vec<String> {
    let text = |message: &Message| match message {
        Message::System(text) | Message::Assistant { text, .. } => text.clone(),
        Message::User(input) => input.text.clone(),
        _ => String::new(),
    };
    fitted.messages.iter().map(text).collect()
}

fn tokens(messages: &[Message]) -> u64 {
    messages.iter().map(estimate).sum()
}

#[test]
fn what_fits_is_read_in_full() {
    let all = conversation(4, 30, Some(("They met.", 3)));
    let fitted = all.fit(Some(tokens(&all.messages)), 0);
    assert!(matches!(fitted.messages, Cow::Borrowed(_)));
    assert_eq!(all.wanted_summary(&fitted, Some(10_000)), None);
    assert_eq!(all.fit(None, 0).messages.len(), all.messages.len());
}

#[test]
fn the_summary_replaces_its_turns() {
    let all = conversation(10, 300, Some(("They met.", 11)));
    let budget = Some(tokens(&all.messages) - 1);
    let fitted = all.fit(budget, 0);
    let texts = texts(&fitted);
    assert_eq!(texts[0], SYSTEM);
    assert!(texts[1].contains("This is a summary of it:]\nThey met.\n[End of the summary."), "{}", texts[1]);
    assert!(texts[2].starts_with("question 6 "), "{}", texts[2]);
    assert_eq!(all.wanted_summary(&fitted, budget), None, "nothing is left out but what is in the summary");
}

#[test]
fn the_next_summary_leaves_half_of_what_fits() {
    let mut all = conversation(10, 297, None);
    // 111 tokens for a question, and 107 for an answer.
    let budget = Some(1_000);
    let fitted = all.fit(budget, 0);
    let wanted = all.wanted_summary(&fitted, budget).unwrap();
    // The current question and the turn before it have less than 500 tokens, and with one turn more they have not.
    assert_eq!(wanted, WantedSummary { before: 16, budget });
    all.summary = Some(EarlierTurns { text: "They met.".into(), through: 15 });
    let fitted = all.fit(budget, 0);
    assert!(texts(&fitted)[2].starts_with("question 8 "));
    assert_eq!(all.wanted_summary(&fitted, budget), None);
    // The conversation continues: the summary is behind what is left out.
    let mut longer = conversation(16, 297, Some(("They met.", 15)));
    let fitted = longer.fit(budget, 0);
    assert!(texts(&fitted)[0].contains("left out") && texts(&fitted)[1].contains("They met."));
    assert_eq!(longer.wanted_summary(&fitted, budget).unwrap().before, 28);
    // An earlier message is answered again, about which the summary says what came after.
    longer.summary = Some(EarlierTurns { text: "They met.".into(), through: 31 });
    let fitted = longer.fit(budget, 0);
    assert!(!texts(&fitted)[1].contains("They met."));
    assert_eq!(longer.wanted_summary(&fitted, budget), None);
}

#[test]
fn what_was_not_read_from_the_database_is_summarised_too() {
    let mut all = conversation(8, 30, None);
    for turn in &mut all.turns {
        turn.position += 50;
    }
    all.is_partial = true;
    let fitted = all.fit(None, 0);
    assert_eq!(fitted.messages.len(), all.messages.len());
    assert_eq!(all.wanted_summary(&fitted, None).unwrap().before, 58);
    all.summary = Some(EarlierTurns { text: "They met.".into(), through: 49 });
    let fitted = all.fit(None, 0);
    assert_eq!(fitted.messages.len(), all.messages.len() + 1);
    assert_eq!(all.wanted_summary(&fitted, None), None);
}

#[test]
fn a_long_summary_is_cut_and_a_tiny_prompt_has_none() {
    let summary = "They met. ".repeat(1_000);
    let all = conversation(10, 300, Some((&summary, 11)));
    let fitted = all.fit(Some(1_200), 0);
    let shown = &texts(&fitted)[1];
    assert!(shown.len() < 1_500 && shown.contains("met. They\n[End of the summary."), "{shown}");
    assert!(!texts(&all.fit(Some(100), 0))[1].contains("They met"));
}

proptest! {
    /// Whatever the conversation: instructions first, then a message of the user, and the current one last; and the
    /// next summary is never behind the one there is, nor in the current turn.
    #[test]
    fn a_part_is_a_prompt(
        turns in 1usize..20, bytes in 0usize..600, through in -1i64..40, budget in 0u64..3_000, is_partial: bool,
    ) {
        let mut all = conversation(turns, bytes, (through >= 0).then_some(("They met.", through)));
        all.is_partial = is_partial;
        let fitted = all.fit(Some(budget), 0);
        prop_assert!(matches!(&fitted.messages[0], Message::System(text) if text.starts_with(SYSTEM)));
        prop_assert!(matches!(&fitted.messages[1], Message::User(_)));
        let is_current = |message: &Message| {
            matches!(message, Message::User(input) if input.text.starts_with(&format!("question {} ", turns - 1)))
        };
        prop_assert!(fitted.messages.last().is_some_and(is_current));
        if let Some(wanted) = all.wanted_summary(&fitted, Some(budget)) {
            prop_assert!(wanted.before > through + 1);
            prop_assert!(all.turns.iter().any(|turn| turn.position == wanted.before));
        }
    }
}
