//! The settings of a dialect.

use std::collections::BTreeSet;

/// Names of the parameters that an agent can set.
pub const PARAMETERS: &[&str] = &[
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
    "reasoning_effort",
];

/// Declares an enum whose values have names in the agents file.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$value_doc])* $value,)+ }

        impl $name {
            const NAMES: &'static [&'static str] = &[$($text),+];

            fn name(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }

            fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$value),)+ _ => None }
            }
        }
    };
}

choice! {
    /// Where the instructions go.
    SystemRole {
        /// A message with the role `system`.
        System = "system",
        /// A message with the role `developer`.
        Developer = "developer",
        /// The beginning of the first user message.
        User = "user",
    }
}

choice! {
    /// The name of the limit of tokens.
    MaxTokensField {
        /// The one that the agents file uses.
        AsGiven = "as_given",
        /// `max_tokens`.
        MaxTokens = "max_tokens",
        /// `max_completion_tokens`.
        MaxCompletionTokens = "max_completion_tokens",
        /// No limit is sent.
        Omit = "omit",
    }
}

choice! {
    /// How the server is told that the model must call a tool.
    ToolChoiceForm {
        /// An object with the name of the tool.
        Named = "named",
        /// The text `required`: any tool.
        Required = "required",
        /// Not at all.
        Omit = "omit",
    }
}

choice! {
    /// The parameter `parallel_tool_calls`.
    ParallelCalls {
        /// It is not sent.
        Omit = "omit",
        /// `true`.
        Allowed = "true",
        /// `false`.
        Forbidden = "false",
    }
}

choice! {
    /// How many tool calls one assistant message can have.
    CallsPerMessage {
        /// All that the model asked for at the same time.
        Many = "many",
        /// One. Calls that were made at the same time follow each other in the prompt.
        One = "one",
    }
}

choice! {
    /// The `content` of an assistant message that has tool calls and no text.
    EmptyContent {
        /// `null`, as OpenAI documents it.
        Null = "null",
        /// An empty text.
        Empty = "empty",
        /// No such field.
        Absent = "absent",
        /// A text that names the tools.
        Filler = "filler",
    }
}

choice! {
    /// The JSON Schema of tools.
    SchemaDialect {
        /// JSON Schema, with an object at the root.
        Plain = "plain",
        /// The subset that Gemini reads: no `$ref`, `additionalProperties`, lists of types, ...
        Gemini = "gemini",
        /// OpenAI's structured outputs: `strict`, all properties required.
        OpenAiStrict = "openai_strict",
        /// Types, properties, items, enums and descriptions only.
        Basic = "basic",
    }
}

choice! {
    /// The ids of tool calls.
    CallIds {
        /// Nine letters and digits.
        Short = "short",
        /// `functions.NAME:INDEX`, which Kimi is trained with.
        Kimi = "kimi",
    }
}

choice! {
    /// Whether a model gets its reasoning back, in the rounds of tool calls after the newest user message.
    ReasoningContent {
        /// If the server has sent it.
        Echo = "echo",
        /// Also an empty one, if the server has sent none.
        Always = "always",
        /// No.
        Off = "off",
    }
}

choice! {
    /// Whether unknown fields of a tool call, such as Gemini's thought signature, go back with it.
    ExtraContent {
        /// If the server has sent them.
        Echo = "echo",
        /// A call without a thought signature gets the one that tells Gemini not to check it.
        Dummy = "dummy",
        /// No.
        Off = "off",
    }
}

choice! {
    /// How the key is sent.
    Authentication {
        /// `Authorization: Bearer KEY`.
        Bearer = "bearer",
        /// `api-key: KEY`, as Azure wants it.
        ApiKey = "api-key",
    }
}

/// What one model at one server needs or refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// Where the instructions go.
    pub system: SystemRole,
    /// Whether the answer is asked for in pieces. If not, it comes as one.
    pub stream: bool,
    /// Whether `stream_options` asks for usage.
    pub stream_options: bool,
    /// The name of the limit of tokens.
    pub max_tokens: MaxTokensField,
    /// Whether tools are sent. If not, earlier calls become text.
    pub tools: bool,
    /// How the server is told that the model must call a tool.
    pub tool_choice: ToolChoiceForm,
    /// The parameter `parallel_tool_calls`.
    pub parallel_tool_calls: ParallelCalls,
    /// How many tool calls one assistant message can have.
    pub calls_per_message: CallsPerMessage,
    /// The `content` beside tool calls without text.
    pub empty_content: EmptyContent,
    /// Whether images are sent. If not, the model gets their names.
    pub images: bool,
    /// The JSON Schema of tools.
    pub schema: SchemaDialect,
    /// The ids of tool calls.
    pub call_ids: CallIds,
    /// Whether a message is added where user and assistant would not alternate.
    pub alternate: bool,
    /// Whether a model gets its reasoning back.
    pub reasoning_content: ReasoningContent,
    /// Whether unknown fields of a tool call go back with it.
    pub extra_content: ExtraContent,
    /// Parameters of the agents file that are not sent.
    pub omit: BTreeSet<String>,
    /// Maximum characters of a tool's description. The rest is cut.
    pub description_chars: usize,
    /// Maximum number of tools. Further ones are left out.
    pub max_tools: usize,
    /// How the key is sent.
    pub auth: Authentication,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            system: SystemRole::System,
            stream: true,
            stream_options: true,
            max_tokens: MaxTokensField::AsGiven,
            tools: true,
            tool_choice: ToolChoiceForm::Named,
            parallel_tool_calls: ParallelCalls::Omit,
            calls_per_message: CallsPerMessage::Many,
            empty_content: EmptyContent::Null,
            images: true,
            schema: SchemaDialect::Plain,
            call_ids: CallIds::Short,
            alternate: true,
            reasoning_content: ReasoningContent::Echo,
            extra_content: ExtraContent::Echo,
            omit: BTreeSet::new(),
            // OpenAI's limits, which are the lowest known.
            description_chars: 1_024,
            max_tools: 128,
            auth: Authentication::Bearer,
        }
    }
}

/// Declares the settings: name, field, and whether it is a choice, a switch, a number or a list.
macro_rules! settings {
    ($($setting:ident = $name:literal, $field:ident: $kind:ident $(($type:ty))?;)+) => {
        /// A setting of a dialect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Setting { $(
            #[doc = concat!("`", $name, "`: [`Dialect::", stringify!($field), "`].")]
            $setting,
        )+ }

        impl Setting {
            /// All settings, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$setting),+];

            /// Returns the name in the agents file.
            pub fn name(self) -> &'static str {
                match self { $(Self::$setting => $name,)+ }
            }

            /// Describes the possible values.
            pub fn expected(self) -> String {
                match self { $(Self::$setting => settings!(@expected $kind $(($type))?),)+ }
            }
        }

        impl Dialect {
            /// Sets a setting to the value with this text. Parts of a list are separated by `+`.
            ///
            /// # Errors
            ///
            /// If it is not a value of the setting. The text names the setting, and says what is expected.
            pub fn set(&mut self, setting: Setting, value: &str) -> Result<(), String> {
                let value = value.trim();
                let invalid = || format!("`{}` is {}", setting.name(), setting.expected());
                match setting {
                    $(Setting::$setting => self.$field = settings!(@parse $kind $(($type))? value).ok_or_else(invalid)?,)+
                }
                Ok(())
            }

            /// Returns the value of a setting as text.
            pub fn get(&self, setting: Setting) -> String {
                match setting { $(Setting::$setting => settings!(@text $kind self.$field),)+ }
            }
        }
    };
    (@expected choice ($type:ty)) => { one_of(<$type>::NAMES) };
    (@expected switch) => { "true or false".to_owned() };
    (@expected number) => { "a number from 1 to 100000".to_owned() };
    (@expected list) => { format!("a list of {}", PARAMETERS.join(", ")) };
    (@parse choice ($type:ty) $value:ident) => { <$type>::from_name($value) };
    (@parse switch $value:ident) => { $value.parse::<bool>().ok() };
    (@parse number $value:ident) => { $value.parse::<usize>().ok().filter(|number| (1..=100_000).contains(number)) };
    (@parse list $value:ident) => { parameters($value) };
    (@text choice $field:expr) => { $field.name().to_owned() };
    (@text switch $field:expr) => { $field.to_string() };
    (@text number $field:expr) => { $field.to_string() };
    (@text list $field:expr) => { $field.iter().map(String::as_str).collect::<Vec<_>>().join("+") };
}

settings! {
    System = "system", system: choice(SystemRole);
    Stream = "stream", stream: switch;
    StreamOptions = "stream_options", stream_options: switch;
    MaxTokens = "max_tokens", max_tokens: choice(MaxTokensField);
    Tools = "tools", tools: switch;
    ToolChoice = "tool_choice", tool_choice: choice(ToolChoiceForm);
    ParallelToolCalls = "parallel_tool_calls", parallel_tool_calls: choice(ParallelCalls);
    CallsPerMessage = "calls_per_message", calls_per_message: choice(CallsPerMessage);
    EmptyContent = "empty_content", empty_content: choice(EmptyContent);
    Images = "images", images: switch;
    Schema = "schema", schema: choice(SchemaDialect);
    CallIds = "call_ids", call_ids: choice(CallIds);
    Alternate = "alternate", alternate: switch;
    ReasoningContent = "reasoning_content", reasoning_content: choice(ReasoningContent);
    ExtraContent = "extra_content", extra_content: choice(ExtraContent);
    Omit = "omit", omit: list;
    DescriptionChars = "description_chars", description_chars: number;
    MaxTools = "max_tools", max_tools: number;
    Auth = "auth", auth: choice(Authentication);
}

impl Setting {
    /// Finds a setting by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|setting| setting.name() == name)
    }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.join(""),
    }
}

fn parameters(list: &str) -> Option<BTreeSet<String>> {
    let names = list.split('+').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| PARAMETERS.contains(&name).then(|| name.to_owned())).collect()
}
