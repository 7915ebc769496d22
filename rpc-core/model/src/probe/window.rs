//! Probes how many tokens a model reads: whether it knows a word from the beginning of a long prompt.

use super::{Answer, BYTES_PER_TOKEN, ProbeResult, Prober, Verdict, failed, missing, works};
use crate::{Message, ModelError};

/// Maximum number of tokens of a prompt. A longer one costs more than the answer is worth; what the server says is
/// believed then.
const MAX_PROBE_TOKENS: u64 = 8_000;
/// Tokens of the prompts if nothing is known. Servers that cut prompts silently do so at 2,048 or 4,096 by default.
const UNKNOWN: [u64; 3] = [1_500, 3_500, MAX_PROBE_TOKENS];
/// Tokens that the model may write: a word, and some thoughts.
const MAX_ANSWER_TOKENS: u32 = 200;
/// What the model has to find again.
const WORD: &str = "marigold";
const FEATURE: &str = "context window";

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of prompts are estimates"
)]
impl Prober<'_> {
    /// Finds, or confirms, how many tokens the model reads. Returns the number that should be configured, if it is not
    /// known or another than what is.
    pub(super) async fn window(&self, configured: Option<u64>, results: &mut Vec<ProbeResult>) -> Option<u64> {
        let listed = self.listed_window().await;
        let known = configured.or(listed);
        let source = if configured.is_some() { "as configured" } else { "as the server's list of models says" };
        let sizes = match known {
            // Room for the answer, and for an error of the estimate.
            Some(known) if known <= MAX_PROBE_TOKENS => vec![known * 3 / 4],
            Some(_) => vec![MAX_PROBE_TOKENS],
            None => UNKNOWN.to_vec(),
        };
        let mut bytes_per_token = BYTES_PER_TOKEN as f64;
        // The longest prompt that was read from its beginning.
        let mut read = 0;
        for size in sizes {
            let messages = long_prompt(size, bytes_per_token);
            let bytes: usize = messages.iter().map(Message::bytes).sum();
            match self.ask_for(MAX_ANSWER_TOKENS, messages, &[], None).await {
                Err(ModelError::ContextLength { limit: Some(limit), .. }) => {
                    works(
                        results,
                        FEATURE,
                        format!("{limit} tokens, as the server says when it refuses a longer prompt"),
                    );
                    return (known != Some(limit)).then_some(limit);
                }
                Err(ModelError::ContextLength { limit: None, .. }) => {
                    missing(results, FEATURE, &format!("a prompt of about {size} tokens is refused as too long"));
                    return Some(if read > 0 { read } else { size / 2 });
                }
                Err(error) => {
                    let ProbeResult { detail, .. } = failed(FEATURE, &error);
                    // Conversations work; long ones may not.
                    missing(results, FEATURE, &format!("a prompt of about {size} tokens fails: {detail}"));
                    return None;
                }
                Ok(Answer { text, usage, .. }) => {
                    let counted = usage.map(|usage| usage.prompt_tokens);
                    if !text.to_lowercase().contains(WORD) {
                        let said = known.map(|known| format!("{known} tokens {source}, but "));
                        return lost(size, counted, read, &said.unwrap_or_default(), results);
                    }
                    read = counted.unwrap_or(size).max(read);
                    if let Some(counted) = counted.filter(|counted| *counted > 0) {
                        bytes_per_token = (bytes as f64 / counted as f64).clamp(1.0, 8.0);
                    }
                }
            }
        }
        let detail = match known {
            Some(known) if known <= MAX_PROBE_TOKENS => {
                format!("{known} tokens {source}; a prompt of {read} is read from its beginning")
            }
            Some(known) => format!(
                "{known} tokens {source}; a prompt of {read} is read from its beginning, and more were not tried, as they cost"
            ),
            None => format!("at least {read} tokens; more were not tried, as they cost"),
        };
        works(results, FEATURE, detail);
        None
    }

    /// Returns the window as the server's list of models says.
    async fn listed_window(&self) -> Option<u64> {
        let name = self.name.as_deref()?;
        let models = self.model.context_windows().await.ok()?;
        models.into_iter().find(|(model, _)| model == name).map(|(_, tokens)| tokens)
    }
}

/// The model does not know the word from the beginning of the prompt. `said` is the size of the window as it is said to
/// be.
fn lost(size: u64, counted: Option<u64>, read: u64, said: &str, results: &mut Vec<ProbeResult>) -> Option<u64> {
    // A server that cuts a prompt without a word counts what is left of it.
    let cut = counted.filter(|counted| (256..size * 3 / 4).contains(counted));
    if let Some(counted) = cut {
        let detail = format!(
            "{said}of a prompt of about {size} tokens only {counted} are read: the server cuts it without a word"
        );
        results.push(ProbeResult { feature: FEATURE, verdict: Verdict::Missing, detail });
        return Some(counted);
    }
    missing(results, FEATURE, &format!("{said}the model does not find a word at the beginning of about {size} tokens"));
    (read > 0).then_some(read)
}

/// Returns a prompt of about so many tokens, with the word at its beginning and the question at its end.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of prompts are estimates"
)]
fn long_prompt(tokens: u64, bytes_per_token: f64) -> Vec<Message> {
    let bytes = (tokens as f64 * bytes_per_token) as usize;
    let mut text = format!("The code word is {WORD}. Remember it. Here is the log of a quiet day:\n");
    let mut line = 0_u32;
    while text.len() < bytes {
        line += 1;
        text.push_str(&format!("Line {line}: the wind was calm, and nothing was seen on the road.\n"));
    }
    text.push_str("What is the code word that was named before the log? Answer with this word alone.");
    vec![super::system(), Message::User(text.into())]
}
