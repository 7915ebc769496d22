//! `ask_user`: questions that the front end shows as a form.

use crate::model::ToolSpec;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use threadline_schema::chatkit::{
    Extra, StructuredInput, StructuredInputAnswer, StructuredInputFreeform, StructuredInputMultipleChoice,
    StructuredInputOption,
};

/// Name of the tool.
pub(super) const NAME: &str = "ask_user";

/// Questions of one call, at most.
const QUESTIONS: usize = 10;
/// Options of a question, at most.
const OPTIONS: usize = 20;
/// Characters of a question, its description or an option, at most.
const TEXT_CHARS: usize = 500;

/// Arguments of `ask_user`.
#[derive(Deserialize, JsonSchema)]
struct AskUser {
    /// 1 to 10 questions.
    questions: Vec<Question>,
}

#[derive(Deserialize, JsonSchema)]
struct Question {
    /// The question, as the user reads it.
    question: String,
    /// What stands below a question without options.
    #[serde(default)]
    description: Option<String>,
    /// Options to choose from, at most 20; the user may also write something else. Without options the user writes.
    #[serde(default)]
    options: Option<Vec<String>>,
    /// Whether the user may choose more than one option.
    #[serde(default)]
    multiple: Option<bool>,
}

/// What the model is told of it.
pub(super) fn spec() -> ToolSpec {
    let description = "Ask the user one or more questions and wait for the answers. Use it when you cannot go on without \
                       knowing something, and options make the answer easier.";
    super::spec(NAME, description, &super::schema_of::<AskUser>())
}

/// The questions of a call. The error is for the model.
pub(super) fn questions(arguments: Value) -> Result<Vec<StructuredInput>, String> {
    let AskUser { questions } = serde_json::from_value(arguments).map_err(|error| error.to_string())?;
    if !(1..=QUESTIONS).contains(&questions.len()) {
        return Err(format!("Ask 1 to {QUESTIONS} questions at once."));
    }
    questions.into_iter().zip(1..).map(|(question, number)| question.input(format!("q{number}"))).collect()
}

/// What the model is told of the answers: JSON text.
pub(crate) fn answers(status: &str, inputs: &[StructuredInput]) -> String {
    let answers: Vec<Value> = inputs
        .iter()
        .map(|input| {
            let (question, answer) = match input {
                StructuredInput::MultipleChoice(input) => (&input.question, &input.answer),
                StructuredInput::Freeform(input) => (&input.question, &input.answer),
            };
            match answer {
                Some(StructuredInputAnswer { values, skipped: false }) => {
                    json!({"question": question, "answers": values})
                }
                _ => json!({"question": question, "skipped": true}),
            }
        })
        .collect();
    json!({"status": status, "answers": answers}).to_string()
}

impl Question {
    fn input(self, id: String) -> Result<StructuredInput, String> {
        let Self { question, description, options, multiple } = self;
        let question = text(question)?;
        let options: Vec<String> = options.unwrap_or_default().into_iter().map(text).collect::<Result<_, _>>()?;
        if options.len() > OPTIONS {
            return Err(format!("A question has at most {OPTIONS} options."));
        }
        if options.is_empty() {
            let description = description.map(text).transpose()?;
            let (answer, extra) = (None, Extra::default());
            return Ok(StructuredInput::Freeform(StructuredInputFreeform { id, question, answer, description, extra }));
        }
        Ok(StructuredInput::MultipleChoice(StructuredInputMultipleChoice {
            id,
            question,
            answer: None,
            options: options
                .into_iter()
                .map(|value| StructuredInputOption { value, extra: Extra::default() })
                .collect(),
            multiple: multiple.unwrap_or_default(),
            extra: Extra::default(),
        }))
    }
}

fn text(text: String) -> Result<String, String> {
    let text = text.trim().to_owned();
    match text.chars().count() {
        1..=TEXT_CHARS => Ok(text),
        0 => Err("A question or an option is empty.".to_owned()),
        _ => Err(format!("A question, a description or an option has more than {TEXT_CHARS} characters.")),
    }
}
