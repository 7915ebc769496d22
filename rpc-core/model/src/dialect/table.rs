//! The servers and models that are known.

use super::Setting;

/// What is known of a server or a model.
#[derive(Debug)]
pub struct Entry {
    /// Name, as which the operator can choose it.
    pub name: &'static str,
    /// Hosts, as `HOST` or `HOST:PORT`; `*` stands for anything. Empty: any host, if a model fits.
    pub hosts: &'static [&'static str],
    /// Names of models, with or without the part before the last slash; `*` stands for anything. Empty: any model of
    /// the hosts. If both lists are empty, only its name selects the entry.
    pub models: &'static [&'static str],
    /// What differs from the default.
    pub settings: &'static [(Setting, &'static str)],
    /// Why, for the documentation.
    pub note: &'static str,
}

/// All entries. Those that fit apply in this order; a later one wins.
#[rustfmt::skip]
pub const ENTRIES: &[Entry] = &[
    Entry { name: "openai", hosts: &["api.openai.com"], models: &[], settings: &[(Setting::MaxTokens, "max_completion_tokens")], note: "`max_tokens` is deprecated, and refused by models that think" },
    Entry { name: "azure", hosts: &["*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com"], models: &[], settings: &[(Setting::Auth, "api-key"), (Setting::MaxTokens, "max_completion_tokens")], note: "the base URL has `?api-version=`; the key is sent as `api-key`" },
    Entry { name: "openrouter", hosts: &["openrouter.ai", "*.openrouter.ai"], models: &[], settings: &[], note: "translates for each provider" },
    Entry { name: "gemini", hosts: &["generativelanguage.googleapis.com", "aiplatform.googleapis.com", "*-aiplatform.googleapis.com"], models: &[], settings: &[(Setting::Schema, "gemini")], note: "a subset of OpenAPI's schemas; thought signatures come back" },
    Entry { name: "deepseek", hosts: &["api.deepseek.com"], models: &[], settings: &[(Setting::Images, "false"), (Setting::MaxTokens, "max_tokens")], note: "no images; `reasoning_content` comes back within a turn" },
    Entry { name: "mistral", hosts: &["api.mistral.ai", "codestral.mistral.ai"], models: &[], settings: &[(Setting::StreamOptions, "false"), (Setting::MaxTokens, "max_tokens"), (Setting::Omit, "seed+reasoning_effort"), (Setting::ReasoningContent, "off"), (Setting::ExtraContent, "off")], note: "refuses unknown fields, and `stream_options`; usage comes without it" },
    Entry { name: "groq", hosts: &["api.groq.com"], models: &[], settings: &[(Setting::ReasoningContent, "off"), (Setting::ExtraContent, "off")], note: "refuses unknown fields of messages" },
    Entry { name: "vllm", hosts: &[], models: &[], settings: &[], note: "tools need `--enable-auto-tool-choice`; without it they are left out after the first refusal" },
    Entry { name: "llamacpp", hosts: &[], models: &[], settings: &[(Setting::MaxTokens, "max_tokens")], note: "what is refused depends on the chat template of the model" },
    Entry { name: "ollama", hosts: &["*:11434", "ollama.com"], models: &[], settings: &[(Setting::EmptyContent, "empty"), (Setting::MaxTokens, "max_tokens")], note: "some versions refuse `content: null`" },
    Entry { name: "lmstudio", hosts: &["*:1234"], models: &[], settings: &[(Setting::EmptyContent, "empty"), (Setting::ToolChoice, "required"), (Setting::MaxTokens, "max_tokens")], note: "`tool_choice` is a text; refuses `content: null`" },
    Entry { name: "bedrock", hosts: &["bedrock-runtime.*.amazonaws.com", "bedrock-mantle.*.api.aws"], models: &[], settings: &[(Setting::EmptyContent, "absent"), (Setting::MaxTokens, "max_tokens")], note: "also for gateways in front of it; refuses empty texts" },
    Entry { name: "databricks", hosts: &["*.cloud.databricks.com", "*.azuredatabricks.net"], models: &[], settings: &[(Setting::StreamOptions, "false"), (Setting::MaxTokens, "max_tokens")], note: "refuses `stream_options`" },
    Entry { name: "perplexity", hosts: &["api.perplexity.ai"], models: &[], settings: &[(Setting::Tools, "false")], note: "has no tools" },
    Entry { name: "gemini-models", hosts: &[], models: &["gemini*"], settings: &[(Setting::Schema, "gemini")], note: "Gemini behind a proxy" },
    Entry { name: "gemma-at-google", hosts: &["generativelanguage.googleapis.com"], models: &["gemma*"], settings: &[(Setting::System, "user"), (Setting::Tools, "false")], note: "no instructions and no tools" },
    Entry { name: "gemma-2", hosts: &[], models: &["gemma-2*", "gemma2*", "gemma:*"], settings: &[(Setting::System, "user")], note: "its chat template refuses the role `system`" },
    Entry { name: "openai-reasoning", hosts: &[], models: &["o1*", "o3*", "o4*", "gpt-5*"], settings: &[(Setting::MaxTokens, "max_completion_tokens")], note: "models that think count their thoughts as well" },
    Entry { name: "openai-o-series", hosts: &[], models: &["o1*", "o3*", "o4*"], settings: &[(Setting::Omit, "temperature+top_p+frequency_penalty+presence_penalty")], note: "no sampling parameters" },
    Entry { name: "openai-o1-preview", hosts: &[], models: &["o1-mini*", "o1-preview*"], settings: &[(Setting::System, "user"), (Setting::Tools, "false")], note: "no instructions and no tools" },
];

impl Entry {
    /// Returns whether the entry applies to a model at a host.
    pub(super) fn fits(&self, host: &str, model: &str) -> bool {
        if self.hosts.is_empty() && self.models.is_empty() {
            return false;
        }
        let (host, model) = (host.to_ascii_lowercase(), model.to_ascii_lowercase());
        let without_port = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        let of_provider = model.rsplit_once('/').map_or(model.as_str(), |(_, name)| name);
        let any = |patterns: &[&str], texts: [&str; 2]| {
            patterns.is_empty() || patterns.iter().any(|pattern| texts.iter().any(|text| matches(pattern, text)))
        };
        any(self.hosts, [&host, without_port]) && any(self.models, [&model, of_provider])
    }
}

/// Returns whether a text has the form of a pattern, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(prefix) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text) in
            [("a", "a"), ("a*", "a"), ("*", ""), ("*.b", "a.b"), ("a.*.b", "a.x.y.b"), ("*x*y", "xxyy")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*", "b"), ("*.b", "b"), ("a.*.b", "a.b"), ("*x*y", "yx")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
