//! Citations: the sources of the words of a message.

use super::run_writer::RunWriter;
use threadline_schema::chatkit::{Annotation, Extra, ItemUpdate, Source, UrlSource};
use threadline_schema::event::ThreadStreamEvent;

/// A source that the model names for its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// Address of the page.
    pub url: String,
    /// Title of the page.
    pub title: String,
    /// Where the passage ends in the message, in characters; `None` if the server does not say.
    pub end: Option<u64>,
}

/// The citations of the message that is being written.
#[derive(Default)]
pub(super) struct Citations {
    /// Shown with the message, in this order.
    shown: Vec<Annotation>,
    /// Those whose passage has not been written yet.
    waiting: Vec<Citation>,
    /// Bytes of the message whose characters were counted, and how many characters there are.
    counted: (usize, u64),
}

impl RunWriter {
    /// Adds a source of the words of the message.
    pub fn cite(&mut self, citation: Citation) {
        self.citations.waiting.push(citation);
        self.show_citations(false);
    }

    /// Forgets the citations of an answer that was withdrawn, or had no words.
    pub(super) fn clear_citations(&mut self) {
        self.citations = Citations::default();
    }

    /// Shows the citations whose passages are there. When the message `is_complete`, shows the others at its end.
    pub(super) fn show_citations(&mut self, is_complete: bool) {
        let Some(message) = &self.message else { return };
        let item_id = message.id;
        if self.citations.waiting.is_empty() {
            return;
        }
        for annotation in self.citations.take_due(&message.text, is_complete) {
            let annotation_index = u32::try_from(self.citations.shown.len()).unwrap_or(u32::MAX);
            self.citations.shown.push(annotation.clone());
            let annotation = Box::new(annotation);
            let update = ItemUpdate::AnnotationAdded { content_index: 0, annotation_index, annotation };
            self.emit(&ThreadStreamEvent::ItemUpdated { item_id, update });
        }
    }

    /// Takes the citations of the message that has just been closed.
    pub(super) fn take_citations(&mut self) -> Vec<Annotation> {
        std::mem::take(&mut self.citations).shown
    }
}

impl Citations {
    /// Takes the citations that can be shown beside this text.
    fn take_due(&mut self, text: &str, is_complete: bool) -> Vec<Annotation> {
        let (bytes, chars) = &mut self.counted;
        let new = text.get(*bytes..).unwrap_or_default();
        *chars += u64::try_from(new.chars().count()).unwrap_or(u64::MAX);
        *bytes = text.len();
        let text_end = *chars;
        let (due, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|citation| is_complete || citation.end.is_none_or(|end| end <= text_end));
        self.waiting = waiting;
        due.into_iter().map(|citation: Citation| annotation(citation, text_end)).collect()
    }
}

fn annotation(Citation { url, title, end }: Citation, text_end: u64) -> Annotation {
    let (description, timestamp, group, attribution) = (None, None, None, None);
    let source = UrlSource { title, description, timestamp, group, url, attribution, extra: Extra::new() };
    Annotation::Reference { source: Source::Url(source), index: end.map(|end| end.min(text_end)), extra: Extra::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::RunLog;
    use crate::output::AskedModel;
    use serde_json::{Value, json};
    use std::collections::VecDeque;
    use std::sync::Arc;
    use threadline_schema::ids::RunId;

    fn page(name: &str, end: Option<u64>) -> Citation {
        Citation { url: format!("https://{name}.example/"), title: name.to_owned(), end }
    }

    /// Deltas as they are, and annotations as number, title and place.
    fn events_of(log: &RunLog) -> Vec<Value> {
        let mut events = VecDeque::new();
        log.read(0, usize::MAX, &mut events);
        let updates =
            events.iter().map(|(_, event)| serde_json::from_str::<Value>(&event.json()).unwrap()["update"].take());
        let shown = updates.filter_map(|update| match update["type"].as_str()? {
            "assistant_message.content_part.text_delta" => Some(update["delta"].clone()),
            "assistant_message.content_part.annotation_added" => {
                let annotation = &update["annotation"];
                Some(json!([update["annotation_index"], annotation["source"]["title"], annotation.get("index")]))
            }
            _ => None,
        });
        shown.collect()
    }

    #[test]
    fn a_citation_waits_for_its_words_and_stands_within_them() {
        let log = Arc::new(RunLog::new(RunId::random()));
        let mut writer = RunWriter::for_tests(log.clone());
        writer.start_request(0, AskedModel { agent: "a".into(), name: "m".into(), prices: None });
        writer.cite(page("early", Some(3)));
        writer.write_text("Gü");
        writer.write_text("ß dich");
        writer.cite(page("beyond", Some(900)));
        writer.cite(page("anywhere", None));
        writer.write_text(".");
        writer.close_message();
        let expected = json!(["Gü", "ß dich", [0, "early", 3], [1, "anywhere", null], ".", [2, "beyond", 9]]);
        assert_eq!(Value::from(events_of(&log)), expected);
        let [item] = writer.take_items().try_into().unwrap();
        let body: Value = serde_json::from_str(&item.body).unwrap();
        let kept = body["content"][0]["annotations"].as_array().unwrap();
        let titles: Vec<_> = kept.iter().map(|kept| &kept["source"]["title"]).collect();
        assert_eq!(titles, ["early", "anywhere", "beyond"]);
        assert_eq!(kept[0]["source"], json!({"type": "url", "url": "https://early.example/", "title": "early"}));
    }

    #[test]
    fn citations_go_with_their_answer() {
        let log = Arc::new(RunLog::new(RunId::random()));
        let mut writer = RunWriter::for_tests(log.clone());
        writer.write_text("Half");
        writer.cite(page("half", Some(2)));
        writer.cite(page("other half", Some(20)));
        writer.withdraw_message();
        writer.start_request(0, AskedModel { agent: "a".into(), name: "m".into(), prices: None });
        writer.cite(page("wordless", None));
        writer.start_request(0, AskedModel { agent: "a".into(), name: "m".into(), prices: None });
        writer.write_text("Whole");
        writer.close_message();
        assert_eq!(Value::from(events_of(&log)), json!(["Half", [0, "half", 2], "Whole"]));
        let items = writer.take_items();
        assert!(items.iter().all(|item| item.body.contains(r#""annotations":[]"#)), "{items:?}");
    }
}
