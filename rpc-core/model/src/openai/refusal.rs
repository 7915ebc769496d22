//! Finds out, from the words of a refusal, which part of the request a server does not accept.
//!
//! Servers have no common codes for it. A rule applies only if the request contains what it is about, and a change is
//! kept only if the server then accepts the request.

use super::error_kind::is_about_max_tokens;
use super::outgoing::RequestFacts;
use crate::ModelError;
use crate::dialect::{
    Adjustment, Dialect, EmptyContent, ExtraContent, ReasoningContent, SchemaDialect, Setting, SystemRole,
};
use regex::Regex;
use std::sync::LazyLock;

/// Characters of a refusal that are read. Some servers repeat the whole request in it.
const MAX_CHARS: usize = 4_000;

/// A change that can make the server accept the request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remedy {
    pub(super) adjustment: Adjustment,
    /// Whether it is about the model, and not about this request.
    pub(super) is_permanent: bool,
}

/// Refusals of a prompt that is too long, and of what the model has written: no matter of the dialect.
const OTHER_MATTERS: &[&str] = &[
    "context length",
    "context_length",
    "context window",
    "context size",
    "maximum context",
    "prompt is too long",
    "too many tokens",
    "reduce the length",
    "tool_use_failed",
    "failed_generation",
    "failed to call a function",
    "tool call validation failed",
    "did not match schema",
];

const UNSUPPORTED: &str = r"(?:(?:not|n't|cannot|no longer) (?:be )?(?:support|permit|allow|enabled|implemented|available)\w*|unsupported|disabled|requires --enable-auto-tool-choice|no endpoints found|unknown (?:parameter|field|name|argument|key)|unrecognized (?:request )?(?:parameter|field|argument|key)s?|unexpected (?:keyword|parameter|field|argument|property|key)|extra (?:inputs|fields|forbidden)|extra_forbidden|additional propert)";
const TOOLS: &str =
    r#"(?:\btools?\b|\btool[ _-](?:use|calls?|calling|choice)\b|\bfunction[ _-]?call(?:s|ing)?\b|\bfunctions\b)"#;

static TOOLS_UNSUPPORTED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("{UNSUPPORTED}.{{0,80}}?{TOOLS}|{TOOLS}.{{0,80}}?{UNSUPPORTED}")).ok());
static STREAM_UNSUPPORTED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let subject = r"\bstream(?:ing|ed)?\b";
    Regex::new(&format!(r"{UNSUPPORTED}.{{0,60}}?{subject}|{subject}.{{0,60}}?{UNSUPPORTED}|verified to stream\b")).ok()
});
static SYSTEM_REFUSED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let problem = format!(
        "{UNSUPPORTED}|not recogni[sz]ed|unknown variant|expected one of|not one of|invalid|unsupported value|only user|must alternate|must be|unexpected"
    );
    let subject = r"\b(?:system|developer)\b.{0,40}?\b(?:roles?|messages?|prompts?|instructions?)\b|\b(?:roles?|messages?)\b.{0,60}?\b(?:system|developer)\b";
    Regex::new(&format!("(?:{subject}).{{0,120}}?(?:{problem})|(?:{problem}).{{0,120}}?(?:{subject})")).ok()
});

/// Words that say that the model takes no images at all. What else is said of an image is about that image.
static TAKES_NO_IMAGES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let subject =
        r"\b(?:images?|image[ _-](?:urls?|inputs?|content)|input_image|vision|multi-?modal(?:ity)?|modalit(?:y|ies))\b";
    let refusal = format!(
        "{UNSUPPORTED}|unknown variant|unrecognized|does not match any of the expected tags|only supported by certain|\
         lacks|does not have|has no|(?:takes|accepts|sees) no|(?:cannot|can't|unable to) see|(?:does not|doesn't) (?:take|accept|see)"
    );
    let words = r"not an? (?:vision|multi-?modal)|(?:at most|up to|maximum of|maximum is) 0 |text[ -]only|only (?:supports? )?text\b";
    Regex::new(&format!("(?:{refusal}).{{0,60}}?{subject}|{subject}.{{0,60}}?(?:{refusal})|{words}")).ok()
});
/// Words of a refusal of one image, beside which others such as `not supported` are about it too.
const OF_ONE_IMAGE: &[&str] = &[
    "format",
    "media type",
    "media_type",
    "mime",
    "file type",
    "image type",
    "extension",
    "size",
    "too large",
    "too small",
    "too many images",
    "resolution",
    "dimension",
    "safety",
    "policy",
    "unsupported image.",
];

/// Returns the changes that can help, the best first.
pub(super) fn remedies(error: &ModelError, facts: &RequestFacts, dialect: &Dialect) -> Vec<Remedy> {
    let ModelError::Refused { status: 200 | 400 | 404 | 405 | 413 | 415 | 422 | 500 | 501, message } = error else {
        return Vec::new();
    };
    let text: String =
        message.chars().take(MAX_CHARS).flat_map(char::to_lowercase).map(|c| if c == '\n' { ' ' } else { c }).collect();
    let refusal = Refusal { text: &text, facts, dialect };
    let mut remedies = Vec::new();
    if is_about_max_tokens(&text) {
        refusal.max_tokens_behind_this_prompt(&mut remedies);
        return remedies;
    }
    if refusal.says(OTHER_MATTERS) {
        return remedies;
    }
    refusal.stream(&mut remedies);
    refusal.parameters(&mut remedies);
    refusal.fields_of_calls(&mut remedies);
    refusal.tools(&mut remedies);
    refusal.images(&mut remedies);
    refusal.roles(&mut remedies);
    refusal.content(&mut remedies);
    refusal.parts(&mut remedies);
    remedies
}

struct Refusal<'a> {
    /// In lower case, on one line.
    text: &'a str,
    facts: &'a RequestFacts,
    dialect: &'a Dialect,
}

impl Refusal<'_> {
    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|words| self.text.contains(words))
    }

    fn matches(&self, regex: &Option<Regex>) -> bool {
        regex.as_ref().is_some_and(|regex| regex.is_match(self.text))
    }

    /// Returns whether the refusal names a field: as a word of its own, or in quotation marks if it is a common word.
    fn names(&self, field: &str) -> bool {
        let is_common = matches!(field, "stop" | "seed");
        self.text.match_indices(field).any(|(at, _)| {
            let before = self.text.get(..at).and_then(|text| text.chars().next_back());
            let after = self.text.get(at + field.len()..).and_then(|text| text.chars().next());
            let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let is_quote = |c: Option<char>| c.is_some_and(|c| matches!(c, '"' | '\'' | '`'));
            if is_common { is_quote(before) && is_quote(after) } else { !is_word(before) && !is_word(after) }
        })
    }

    /// Before tools: some servers stream everything but answers with tools.
    fn stream(&self, remedies: &mut Vec<Remedy>) {
        let names_options = self.says(&["stream_options", "stream options", "include_usage"]);
        if self.facts.stream && !names_options && self.matches(&STREAM_UNSUPPORTED) {
            remedies.push(permanent(Setting::Stream, "false"));
        }
    }

    fn parameters(&self, remedies: &mut Vec<Remedy>) {
        if self.facts.stream_options && self.says(&["stream_options", "stream options", "include_usage"]) {
            remedies.push(permanent(Setting::StreamOptions, "false"));
        }
        for name in &self.facts.parameters {
            match name.as_str() {
                "max_tokens" | "max_completion_tokens" => {
                    if !self.says(&["max_tokens", "max_completion_tokens", "max tokens"]) {
                        continue;
                    }
                    if !self.says(&["too large", "at most", "less than", "exceed", "range"]) {
                        let other = if name == "max_tokens" { "max_completion_tokens" } else { "max_tokens" };
                        remedies.push(permanent(Setting::MaxTokens, other));
                    }
                    remedies.push(permanent(Setting::MaxTokens, "omit"));
                }
                name if self.names(name) => remedies.push(permanent(Setting::Omit, name)),
                "reasoning_effort" if self.says(&["reasoning effort", "reasoning.effort", "thinking level"]) => {
                    remedies.push(permanent(Setting::Omit, "reasoning_effort"));
                }
                _ => {}
            }
        }
    }

    /// The prompt fits, and the answer would not fit behind it. Without a limit, the answer gets what is left.
    fn max_tokens_behind_this_prompt(&self, remedies: &mut Vec<Remedy>) {
        let is_limit = |name: &String| matches!(name.as_str(), "max_tokens" | "max_completion_tokens");
        if self.facts.parameters.iter().any(is_limit) {
            remedies.push(Remedy { is_permanent: false, ..permanent(Setting::MaxTokens, "omit") });
        }
    }

    /// Fields that the server has sent, and does or does not want back.
    fn fields_of_calls(&self, remedies: &mut Vec<Remedy>) {
        // A name of one word can be a word of the sentence.
        let names_field = |name: &String| name.contains('_') && self.names(&name.to_lowercase());
        let has_calls = self.facts.calls_per_message > 0;
        let is_missing =
            self.says(&["missing", "required", "must be passed", "must be present", "must include", "must contain"]);
        if has_calls && self.says(&["thought_signature", "thoughtsignature", "thought signature"]) {
            let value = if self.dialect.extra_content == ExtraContent::Echo && is_missing { "dummy" } else { "off" };
            remedies.push(permanent(Setting::ExtraContent, value));
        } else if self.facts.call_fields.iter().any(names_field) {
            remedies.push(permanent(Setting::ExtraContent, "off"));
        }
        let names_reasoning = self.says(&["reasoning_content", "reasoning_details"]);
        if has_calls && names_reasoning && is_missing && self.dialect.reasoning_content != ReasoningContent::Always {
            remedies.push(permanent(Setting::ReasoningContent, "always"));
        } else if self.facts.message_fields.iter().any(names_field) {
            remedies.push(permanent(Setting::ReasoningContent, "off"));
        }
        let is_single = self.says(&[
            "single tool-call",
            "single tool call",
            "one tool call",
            "parallel tool",
            "multiple tool calls",
        ]);
        if self.facts.parallel_tool_calls && self.says(&["parallel_tool_calls"]) {
            remedies.push(permanent(Setting::ParallelToolCalls, "omit"));
        } else if self.facts.calls_per_message > 1 && is_single {
            remedies.push(permanent(Setting::CallsPerMessage, "one"));
        }
    }

    fn tools(&self, remedies: &mut Vec<Remedy>) {
        if self.facts.tool_choice && self.says(&["tool_choice", "tool choice"]) {
            remedies.push(permanent(Setting::ToolChoice, "required"));
            remedies.push(permanent(Setting::ToolChoice, "omit"));
        }
        if !self.facts.tools {
            return;
        }
        let is_unsupported = self.matches(&TOOLS_UNSUPPORTED);
        let about_schema = self.says(&[
            "additionalproperties",
            "additional_properties",
            "$ref",
            "$defs",
            "$schema",
            "exclusiveminimum",
            "exclusivemaximum",
            "function_declarations",
            "functiondeclaration",
            "invalid schema",
            "json schema",
            "json_schema",
            "input_schema",
            "schema for function",
            "anyof",
            "any_of",
            "oneof",
            "one_of",
            "allof",
            "parameters.properties",
            "function.parameters",
        ]);
        if about_schema {
            if self.dialect.schema != SchemaDialect::Gemini {
                remedies.push(permanent(Setting::Schema, "gemini"));
            }
            remedies.push(permanent(Setting::Schema, "basic"));
        }
        let refuses_role = self.facts.calls_per_message > 0
            && self.says(&["role"])
            && self.says(&["'tool'", "\"tool\"", "`tool`", "only user", "tool role"])
            && self.says(&["support", "not one of", "expected one of", "unknown variant", "invalid"]);
        // Such a list names no `tool`.
        let lists_others =
            self.facts.calls_per_message > 0 && self.says(&["should be 'system', 'user' or 'assistant'"]);
        if is_unsupported || refuses_role || lists_others {
            remedies.push(permanent(Setting::Tools, "false"));
        }
    }

    fn images(&self, remedies: &mut Vec<Remedy>) {
        if !self.facts.images {
            return;
        }
        if !self.says(&["image", "vision", "multimodal", "multi-modal", "modality", "modalities"]) {
            return;
        }
        let once = |setting, value| Remedy { is_permanent: false, ..permanent(setting, value) };
        if self.facts.system && self.says(&["incompatible with system", "cannot be used with system"]) {
            remedies.push(once(Setting::System, "user"));
            remedies.push(once(Setting::Images, "false"));
            return;
        }
        let is_about_model = self.matches(&TAKES_NO_IMAGES) && !self.says(OF_ONE_IMAGE);
        remedies.push(Remedy { is_permanent: is_about_model, ..permanent(Setting::Images, "false") });
    }

    fn roles(&self, remedies: &mut Vec<Remedy>) {
        let must_alternate =
            self.says(&["must alternate", "roles are supported", "only user and assistant", "only user, assistant"]);
        let only_two = self.says(&["should be 'user' or 'assistant'", "must be 'user' or 'assistant'"]);
        if self.facts.system && (must_alternate || only_two || self.matches(&SYSTEM_REFUSED)) {
            let names_developer = self.says(&["developer"]) && !self.says(&["developer instruction"]);
            match self.dialect.system {
                SystemRole::System if names_developer => remedies.push(permanent(Setting::System, "developer")),
                SystemRole::Developer if names_developer => remedies.push(permanent(Setting::System, "system")),
                _ => {}
            }
            remedies.push(permanent(Setting::System, "user"));
        }
        if must_alternate && self.facts.tools && self.facts.calls_per_message > 0 {
            remedies.push(permanent(Setting::Tools, "false"));
        }
    }

    /// The content beside tool calls.
    fn content(&self, remedies: &mut Vec<Remedy>) {
        let complains = [
            "null",
            "none",
            "nil",
            "empty",
            "blank",
            "required",
            "missing",
            "string",
            "must",
            "invalid",
            "at least",
            "too short",
        ];
        // The only `null` of a request is this content.
        let names_null = self.dialect.empty_content == EmptyContent::Null
            && self.says(&[
                "invalid type: null",
                "but is null",
                "got null",
                "null is not",
                "properties of null",
                "nonetype",
            ]);
        let names_content = names_null || self.says(&["content"]) && self.says(&complains);
        if !self.facts.empty_content || !names_content {
            return;
        }
        let order: &[&str] =
            if self.dialect.empty_content == EmptyContent::Empty || self.says(&["empty", "blank", "at least"]) {
                &["absent", "filler", "null"]
            } else {
                &["empty", "absent", "filler"]
            };
        remedies.extend(order.iter().map(|value| permanent(Setting::EmptyContent, value)));
    }

    /// Images make the content of a message a list of parts.
    fn parts(&self, remedies: &mut Vec<Remedy>) {
        let wants_text = ["string", "only text", "type str", "sequence"];
        if self.facts.images && self.says(&["content"]) && self.says(&wants_text) {
            remedies.push(permanent(Setting::Images, "false"));
        }
    }
}

fn permanent(setting: Setting, value: &str) -> Remedy {
    Remedy { adjustment: Adjustment { setting, value: value.to_owned() }, is_permanent: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the first remedy for these words, if the request has everything.
    fn first(status: u16, message: &str) -> Option<String> {
        let facts = RequestFacts {
            system: true,
            stream: true,
            stream_options: true,
            tools: true,
            tool_choice: true,
            parallel_tool_calls: true,
            images: true,
            calls_per_message: 2,
            empty_content: true,
            call_fields: ["extra_content".to_owned()].into(),
            message_fields: ["reasoning_content".to_owned()].into(),
            parameters: crate::dialect::PARAMETERS
                .iter()
                .filter(|name| **name != "max_completion_tokens")
                .map(|name| (*name).to_owned())
                .collect(),
        };
        let error = ModelError::Refused { status, message: message.to_owned() };
        let remedies = remedies(&error, &facts, &Dialect::default());
        remedies.into_iter().next().map(|Remedy { adjustment: Adjustment { setting, value }, is_permanent }| {
            format!("{}={value}{}", setting.name(), if is_permanent { "" } else { " once" })
        })
    }

    #[test]
    fn the_words_of_servers_are_understood() {
        for (status, message, expected) in [
            (
                422,
                r#"{"loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}"#,
                "stream_options=false",
            ),
            (400, "Unrecognized request argument supplied: stream_options", "stream_options=false"),
            (400, "Your organization must be verified to stream this model. Please go to ... (stream)", "stream=false"),
            (400, "Unsupported value: 'stream' does not support true with this model.", "stream=false"),
            (400, "Streaming is not supported when tools are provided", "stream=false"),
            (
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                "max_tokens=max_completion_tokens",
            ),
            (
                400,
                "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
                "max_tokens=omit",
            ),
            (
                400,
                "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 4096 tokens and your request has 57 input tokens",
                "max_tokens=omit once",
            ),
            (400, "Unsupported value: 'temperature' does not support 0.5 with this model.", "omit=temperature"),
            (400, "`temperature` and `top_p` cannot both be specified for this model.", "omit=temperature"),
            (400, "Argument not supported on this model: presence_penalty", "omit=presence_penalty"),
            (400, r#"Invalid JSON payload received. Unknown name "seed": Cannot find field."#, "omit=seed"),
            (400, "Unknown parameter: 'stop'", "omit=stop"),
            (400, "reasoning effort is not supported by this model", "omit=reasoning_effort"),
            (400, "registry.ollama.ai/library/gemma:2b does not support tools", "tools=false"),
            (404, "No endpoints found that support tool use.", "tools=false"),
            (400, "Function calling is not enabled for models/gemma-3-27b-it", "tools=false"),
            (
                400,
                "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
                "tool_choice=required",
            ),
            (
                400,
                "Invalid tool_choice type: 'object'. Supported string values: none, auto, required",
                "tool_choice=required",
            ),
            (400, "property 'parallel_tool_calls' is unsupported", "parallel_tool_calls=omit"),
            (500, "This model only supports single tool-calls at once!", "calls_per_message=one"),
            (
                400,
                "Invalid schema for function 'f': 'additionalProperties' is required to be supplied",
                "schema=gemini",
            ),
            (400, r#"Unknown name "$ref" at 'tools[0].function_declarations[0].parameters'"#, "schema=gemini"),
            (404, "No endpoints found that support image input", "images=false"),
            (400, "Invalid content type. image_url is only supported by certain models.", "images=false"),
            (400, "messages.1.content.1.image.source: image exceeds 5 MB maximum", "images=false once"),
            (400, "Too many images provided. This model supports up to 5 images", "images=false once"),
            (
                400,
                "The image was specified using the image/jpeg media type, but does not appear to be one",
                "images=false once",
            ),
            (400, "The image data you provided does not represent a valid image", "images=false once"),
            (400, "image must have at least 2 pixels", "images=false once"),
            (400, "Your input image may contain content that is not allowed by our safety system", "images=false once"),
            (400, "Unsupported image format. image/bmp is not supported", "images=false once"),
            (400, "unknown variant `image_url`, expected `text`", "images=false"),
            (400, "This model does not support image input", "images=false"),
            (400, "this model cannot see images", "images=false"),
            (400, "The model doesn't accept image content", "images=false"),
            (400, "At most 0 image(s) may be provided in one prompt.", "images=false"),
            (400, "image input is not supported - hint: you may need to provide the mmproj", "images=false"),
            (400, "prompting with images is incompatible with system messages", "system=user once"),
            (400, "System role not supported", "system=user"),
            (500, "jinja2.exceptions.TemplateError: System role not supported", "system=user"),
            (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model.", "system=user"),
            (400, "Developer instruction is not enabled for models/gemma-3-27b-it", "system=user"),
            (400, "The role system is not allowed; use a developer message", "system=developer"),
            (500, "Conversation roles must alternate user/assistant/user/assistant/...", "system=user"),
            (400, "Invalid 'content': 'content' field must be a string or an array of objects.", "empty_content=empty"),
            (422, "messages[3]: invalid type: null, expected a string at line 1 column 90", "empty_content=empty"),
            (500, "[json.exception.type_error.302] type must be string, but is null", "empty_content=empty"),
            (500, "can only concatenate str (not \"NoneType\") to str", "empty_content=empty"),
            (400, "messages.3.role: Input should be 'system', 'user' or 'assistant'", "tools=false"),
            (400, "Unexpected role 'system'. Allowed roles are user and assistant", "system=user"),
            (400, "messages.0.role: Input should be 'user' or 'assistant'", "system=user"),
            (400, "messages: text content blocks must be non-empty", "empty_content=absent"),
            (400, "Function call is missing a thought_signature in functionCall parts.", "extra_content=dummy"),
            (
                400,
                "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
                "reasoning_content=always",
            ),
            (400, "property 'reasoning_content' is unsupported", "reasoning_content=off"),
        ] {
            assert_eq!(first(status, message).as_deref(), Some(expected), "{message}");
        }
    }

    #[test]
    fn other_refusals_change_nothing() {
        for (status, message) in [
            (401, "tools are not supported"),
            (429, "tools are not supported"),
            (
                400,
                "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in max_tokens).",
            ),
            (400, "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details."),
            (400, "The model `x` does not exist"),
            (400, "Please stop sending me requests"),
            (500, "Internal server error"),
            (500, "Failed to parse tool call arguments as JSON"),
            (400, "Insufficient balance"),
        ] {
            assert_eq!(first(status, message), None, "{message}");
        }
    }
}
