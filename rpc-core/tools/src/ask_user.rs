//! The tool `ask_user`: the model asks questions, which the front end shows as a form.

use crate::tool::typed_tool_spec;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use threadline_model::ToolSpec;
use threadline_schema::chatkit::{
    Extra, StructuredInput, StructuredInputAnswer, StructuredInputFreeform, StructuredInputMultipleChoice,
    StructuredInputOption,
};

/// Name of the tool.
pub const NAME: &str = "ask_user";

/// Maximum number of questions in one call.
const MAX_QUESTIONS: usize = 10;
/// Maximum number of options of a question.
const MAX_OPTIONS: usize = 20;
/// Maximum length of a question, a description or an option, in characters.
const MAX_TEXT_CHARS: usize = 500;

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
    /// A line below a question without options.
    #[serde(default)]
    description: Option<String>,
    /// Options to choose from, at most 20; the user may also write something else. Without options the user writes.
    #[serde(default)]
    options: Option<Vec<String>>,
    /// Whether the user may choose more than one option.
    #[serde(default)]
    multiple: Option<bool>,
}

pub(crate) fn spec() -> ToolSpec {
    let description = "Ask the user one or more questions and wait for the answers. Use it when you cannot go on without \
                       knowing something, and options make the answer easier.";
    typed_tool_spec::<AskUser>(NAME, description)
}

/// Parses the questions of a call. The error is for the model.
pub(crate) fn parse_questions(arguments: Value) -> Result<Vec<StructuredInput>, String> {
    let AskUser { questions } = serde_json::from_value(arguments).map_err(|error| error.to_string())?;
    if !(1..=MAX_QUESTIONS).contains(&questions.len()) {
        return Err(format!("Ask 1 to {MAX_QUESTIONS} questions at once."));
    }
    questions.into_iter().zip(1..).map(|(question, number)| question.into_input(format!("q{number}"))).collect()
}

/// Returns the result of a call for the model, as JSON text: the status of the form and the answers in it.
pub fn result_of_answers(status: &str, inputs: &[StructuredInput]) -> String {
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
    fn into_input(self, id: String) -> Result<StructuredInput, String> {
        let Self { question, description, options, multiple } = self;
        let question = check_text(question)?;
        let options: Vec<String> = options.unwrap_or_default().into_iter().map(check_text).collect::<Result<_, _>>()?;
        if options.len() > MAX_OPTIONS {
            return Err(format!("A question has at most {MAX_OPTIONS} options."));
        }
        if options.is_empty() {
            let description = description.map(check_text).transpose()?;
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

fn check_text(text: String) -> Result<String, String> {
    let text = text.trim().to_owned();
    match text.chars().count() {
        1..=MAX_TEXT_CHARS => Ok(text),
        0 => Err("A question or an option is empty.".to_owned()),
        _ => Err(format!("A question, a description or an option has more than {MAX_TEXT_CHARS} characters.")),
    }
}
