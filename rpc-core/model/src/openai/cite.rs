//! What an answer says it is based on.
//!
//! OpenAI's servers, and those that do as they do, say so in `annotations` of a chunk; Perplexity's in `citations`, a list
//! of addresses that comes with each chunk anew. What cannot be read is passed over: the words count without it.

use crate::Citation;
use reqwest::Url;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;

/// Citations of one answer. More is no help to a reader.
pub(super) const MAX_CITATIONS: usize = 64;
/// Characters of an address, and of a title.
const URL_CHARS: usize = 2_048;
const TITLE_CHARS: usize = 300;

/// The citations of one answer while it streams.
#[derive(Default)]
pub(super) struct Citations {
    /// What was taken: address, and end of the passage.
    known: Vec<(String, Option<u64>)>,
    /// Taken and not passed on yet.
    new: VecDeque<Citation>,
    /// The list of addresses that was read last.
    list: String,
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

impl Citations {
    /// Takes the `annotations` of a chunk.
    pub(super) fn push(&mut self, raw: &RawValue) {
        for raw in list_of(raw) {
            let Ok(Annotation { url_citation }) = serde_json::from_str(raw.get()) else { continue };
            let UrlCitation { url, title, end_index } = url_citation;
            // A passage that ends before the text begins is how servers say that they do not know.
            self.add(&url, title.as_deref().unwrap_or_default(), end_index.filter(|end| *end > 0));
        }
    }

    /// Takes the `citations` of a chunk.
    pub(super) fn push_list(&mut self, raw: &RawValue) {
        if self.list == raw.get() {
            return;
        }
        raw.get().clone_into(&mut self.list);
        for raw in list_of(raw) {
            if let Ok(url) = serde_json::from_str::<String>(raw.get()) {
                self.add(&url, "", None);
            }
        }
    }

    /// The next one to pass on.
    pub(super) fn next(&mut self) -> Option<Citation> {
        self.new.pop_front()
    }

    fn add(&mut self, url: &str, title: &str, end: Option<u64>) {
        if self.known.len() >= MAX_CITATIONS || url.len() > URL_CHARS {
            return;
        }
        // Read and written anew: what a page is to link to is an address and nothing else.
        let Some(url) = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else { return };
        let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TITLE_CHARS).collect();
        let title = if title.is_empty() { url.host_str().unwrap_or_default().to_owned() } else { title };
        let is_same = |(other, at): &(String, Option<u64>)| *other == url.as_str() && (end.is_none() || *at == end);
        if self.known.iter().any(is_same) {
            return;
        }
        self.known.push((url.to_string(), end));
        self.new.push_back(Citation { url: url.into(), title, end });
    }
}

fn list_of(raw: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(raw.get()).unwrap_or_default()
}
