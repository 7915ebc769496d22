//! Collects the citations of a response.
//!
//! OpenAI and compatible servers send them in `annotations` of a chunk. Perplexity sends `citations`, a list of URLs
//! that every chunk repeats. Invalid citations are ignored: the text is useful without them.

use crate::Citation;
use reqwest::Url;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;

/// Maximum number of citations of one response. A reader does not need more.
const MAX_CITATIONS: usize = 64;
/// Longest URL in bytes. A longer one is left out.
const MAX_URL_BYTES: usize = 2_048;
/// Longest title in characters. A longer one is cut.
const MAX_TITLE_CHARS: usize = 300;

/// The citations of one response between its chunks.
#[derive(Default)]
pub(super) struct CitationCollector {
    /// URL and end of all citations so far, to leave out duplicates.
    known: Vec<(String, Option<u64>)>,
    /// Citations that were not passed on yet.
    queue: VecDeque<Citation>,
    /// The most recent list of URLs as raw JSON, to skip its repetitions.
    last_urls: String,
}

#[derive(Deserialize)]
struct Annotation {
    url_citation: UrlCitation,
}

#[derive(Deserialize)]
struct UrlCitation {
    url: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    end_index: Option<u64>,
}

impl CitationCollector {
    /// Processes the `annotations` of a chunk.
    pub(super) fn push_annotations(&mut self, raw: &RawValue) {
        for raw in list_of(raw) {
            let Ok(Annotation { url_citation }) = serde_json::from_str(raw.get()) else { continue };
            let UrlCitation { url, title, end_index } = url_citation;
            // Servers that do not know the end of the passage send 0.
            self.add(&url, title.as_deref().unwrap_or_default(), end_index.filter(|end| *end > 0));
        }
    }

    /// Processes the `citations` of a chunk.
    pub(super) fn push_urls(&mut self, raw: &RawValue) {
        if self.last_urls == raw.get() {
            return;
        }
        raw.get().clone_into(&mut self.last_urls);
        for raw in list_of(raw) {
            if let Ok(url) = serde_json::from_str::<String>(raw.get()) {
                self.add(&url, "", None);
            }
        }
    }

    /// Removes and returns the next new citation.
    pub(super) fn next(&mut self) -> Option<Citation> {
        self.queue.pop_front()
    }

    fn add(&mut self, url: &str, title: &str, end: Option<u64>) {
        if self.known.len() >= MAX_CITATIONS || url.len() > MAX_URL_BYTES {
            return;
        }
        // Parsed and serialized again, so that front ends can link to it without checks of their own.
        let Some(url) = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else { return };
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        let title: String = title.chars().take(MAX_TITLE_CHARS).collect();
        let title = if title.is_empty() { url.host_str().unwrap_or_default().to_owned() } else { title };
        let is_known = |(known_url, known_end): &(String, Option<u64>)| {
            *known_url == url.as_str() && (end.is_none() || *known_end == end)
        };
        if self.known.iter().any(is_known) {
            return;
        }
        self.known.push((url.to_string(), end));
        self.queue.push_back(Citation { url: url.into(), title, end });
    }
}

fn list_of(raw: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(raw.get()).unwrap_or_default()
}
