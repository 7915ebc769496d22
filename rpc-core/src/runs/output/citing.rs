//! What the words of a message are based on.

use super::{OpenMessage, Output};
use crate::model::Citation;
use threadline_schema::chatkit::{Annotation, Extra, ItemUpdate, Source, ThreadStreamEvent, UrlSource};

/// The citations of the answer that is being written.
#[derive(Default)]
pub(super) struct Citations {
    /// Shown with the message, in this order.
    shown: Vec<Annotation>,
    /// Those whose passage has not been written yet.
    ahead: Vec<Citation>,
    /// Bytes of the message whose characters were counted, and how many there are.
    counted: (usize, u64),
}

impl Output {
    /// Something that the words of the answer are based on.
    pub(crate) fn cite(&mut self, citation: Citation) {
        self.citations.ahead.push(citation);
        self.show_citations(false);
    }

    /// Forgets the citations of an answer that was taken back, or had no words.
    pub(super) fn forget_citations(&mut self) {
        self.citations = Citations::default();
    }

    /// Shows the citations whose passages are there; when the message is `whole` the others as well, at its end.
    pub(super) fn show_citations(&mut self, whole: bool) {
        let Some(OpenMessage { id: item_id, text, .. }) = &self.message else { return };
        let item_id = *item_id;
        if self.citations.ahead.is_empty() {
            return;
        }
        for annotation in self.citations.come(text, whole) {
            let annotation_index = u32::try_from(self.citations.shown.len()).unwrap_or(u32::MAX);
            self.citations.shown.push(annotation.clone());
            let annotation = Box::new(annotation);
            let update = ItemUpdate::AnnotationAdded { content_index: 0, annotation_index, annotation };
            self.emit(&ThreadStreamEvent::ItemUpdated { item_id, update });
        }
    }

    /// The citations of the message that has just been closed.
    pub(super) fn take_citations(&mut self) -> Vec<Annotation> {
        std::mem::take(&mut self.citations).shown
    }
}

impl Citations {
    /// Takes out those that can be shown beside this text.
    fn come(&mut self, text: &str, whole: bool) -> Vec<Annotation> {
        let (bytes, chars) = &mut self.counted;
        let new = text.get(*bytes..).unwrap_or_default();
        *chars += u64::try_from(new.chars().count()).unwrap_or(u64::MAX);
        *bytes = text.len();
        let end = *chars;
        let (come, ahead) = std::mem::take(&mut self.ahead)
            .into_iter()
            .partition(|citation| whole || citation.end.is_none_or(|at| at <= end));
        self.ahead = ahead;
        come.into_iter().map(|citation: Citation| annotation(citation, end)).collect()
    }
}

fn annotation(Citation { url, title, end }: Citation, text_end: u64) -> Annotation {
    let (description, timestamp, group, attribution) = (None, None, None, None);
    let source = UrlSource { title, description, timestamp, group, url, attribution, extra: Extra::new() };
    Annotation::Reference { source: Source::Url(source), index: end.map(|at| at.min(text_end)), extra: Extra::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::RunLog;
    use serde_json::{Value, json};
    use std::collections::VecDeque;
    use std::sync::Arc;
    use uuid::Uuid;

    fn page(name: &str, end: Option<u64>) -> Citation {
        Citation { url: format!("https://{name}.example/"), title: name.to_owned(), end }
    }

    /// Deltas as they are, and annotations as number, title and place.
    fn told(log: &RunLog) -> Vec<Value> {
        let mut events = VecDeque::new();
        log.read(0, usize::MAX, &mut events);
        let updates = events.iter().map(|(_, event)| serde_json::from_str::<Value>(event).unwrap()["update"].take());
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
        let log = Arc::new(RunLog::new(Uuid::now_v7()));
        let mut output = Output::new(log.clone(), Uuid::now_v7());
        output.asks(0, None);
        output.cite(page("early", Some(3)));
        output.text("Gü");
        output.text("ß dich");
        output.cite(page("beyond", Some(900)));
        output.cite(page("anywhere", None));
        output.text(".");
        output.close_message();
        let expected = json!(["Gü", "ß dich", [0, "early", 3], [1, "anywhere", null], ".", [2, "beyond", 9]]);
        assert_eq!(Value::from(told(&log)), expected);
        let [item] = output.take_finished().try_into().unwrap();
        let body: Value = serde_json::from_str(&item.body).unwrap();
        let kept = body["content"][0]["annotations"].as_array().unwrap();
        let titles: Vec<_> = kept.iter().map(|kept| &kept["source"]["title"]).collect();
        assert_eq!(titles, ["early", "anywhere", "beyond"]);
        assert_eq!(kept[0]["source"], json!({"type": "url", "url": "https://early.example/", "title": "early"}));
    }

    #[test]
    fn citations_go_with_their_answer() {
        let log = Arc::new(RunLog::new(Uuid::now_v7()));
        let mut output = Output::new(log.clone(), Uuid::now_v7());
        output.text("Half");
        output.cite(page("half", Some(2)));
        output.cite(page("other half", Some(20)));
        output.take_back_message();
        output.asks(0, None);
        output.cite(page("wordless", None));
        output.asks(0, None);
        output.text("Whole");
        output.close_message();
        assert_eq!(Value::from(told(&log)), json!(["Half", [0, "half", 2], "Whole"]));
        let items = output.take_finished();
        assert!(items.iter().all(|item| item.body.contains(r#""annotations":[]"#)), "{items:?}");
    }
}
