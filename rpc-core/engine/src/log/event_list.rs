//! The events of a run in memory, in a compact form.
//!
//! Nearly all events of a run are text deltas. Neighbouring deltas of one text are one growing text here, and the
//! places where they end: a token costs its text and four bytes.

use std::sync::Arc;
use threadline_schema::event::Event;
use threadline_schema::ids::ItemId;
use threadline_schema::text_delta::{TextDelta, TextPiece, push_escaped};

/// Bytes after which another text begins: a text that grows without end would be copied again and again.
const TEXT_BYTES: usize = 256 * 1024;

/// A list of events, to which events are appended.
#[derive(Debug, Default)]
pub(super) struct EventList {
    entries: Vec<Entry>,
    len: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    /// Index of the first event.
    first: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Event(Event),
    Text(Text),
}

/// Neighbouring deltas of one text.
#[derive(Debug)]
pub(crate) struct Text {
    item_id: ItemId,
    content_index: u32,
    /// As it stands between the quotes of its JSON.
    text: String,
    /// Where each delta ends in `text`.
    ends: Vec<u32>,
}

/// An event, or neighbouring deltas of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CoalescedEvent {
    Event(Event),
    Text(CoalescedText),
}

/// Neighbouring deltas of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CoalescedText {
    /// All deltas as one.
    pub(crate) delta: TextDelta,
    /// Bytes of each delta.
    pub(crate) cuts: Vec<u32>,
}

/// An event, or neighbouring deltas of one text, in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CoalescedRef<'a> {
    Event(&'a Event),
    Text(TextRef<'a>),
}

/// Neighbouring deltas of one text, in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextRef<'a> {
    text: &'a Text,
    first: usize,
    count: usize,
}

impl CoalescedEvent {
    /// Returns how many events these are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Event(_) => 1,
            Self::Text(text) => text.cuts.len(),
        }
    }
}

impl EventList {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns about how many bytes the list holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, event: Event) {
        match event.text_delta() {
            Some(delta) => {
                let piece = &delta.text;
                self.push_piece(delta.item_id, delta.content_index, |text| text.push_str(piece.as_str()));
            }
            None => {
                self.bytes += size_of::<Entry>() + event.json().len();
                self.entries.push(Entry { first: self.len, body: Body::Event(event) });
                self.len += 1;
            }
        }
    }

    /// Appends a text delta of a text that is not escaped.
    pub(super) fn push_text(&mut self, item_id: ItemId, content_index: u32, delta: &str) {
        self.push_piece(item_id, content_index, |text| push_escaped(text, delta));
    }

    fn push_piece(&mut self, item_id: ItemId, content_index: u32, append: impl FnOnce(&mut String)) {
        let goes_on = matches!(
            self.entries.last(),
            Some(Entry { body: Body::Text(text), .. })
                if text.item_id == item_id && text.content_index == content_index && text.text.len() < TEXT_BYTES
        );
        if !goes_on {
            let text = Text { item_id, content_index, text: String::new(), ends: Vec::new() };
            self.bytes += size_of::<Entry>();
            self.entries.push(Entry { first: self.len, body: Body::Text(text) });
        }
        if let Some(Entry { body: Body::Text(text), .. }) = self.entries.last_mut() {
            let before = text.text.len();
            append(&mut text.text);
            self.bytes += text.text.len() - before + size_of::<u32>();
            // A text is shorter than its limit and one delta, which a model's server cannot make so long.
            text.ends.push(u32::try_from(text.text.len()).unwrap_or(u32::MAX));
            self.len += 1;
        }
    }

    /// Frees what was reserved for more events.
    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        for entry in &mut self.entries {
            if let Body::Text(text) = &mut entry.body {
                text.shrink();
            }
        }
    }

    /// Gives up to `limit` events from index `from` on, each with its index.
    pub(super) fn read(&self, from: usize, limit: usize, mut give: impl FnMut(usize, Event)) {
        for (entry, skip, take) in self.range(from, limit) {
            let first = entry.first + skip;
            match &entry.body {
                Body::Event(event) => give(first, event.clone()),
                Body::Text(text) => {
                    let base = text.start(skip);
                    let whole = TextPiece::new(text.slice(skip, take));
                    let Text { item_id, content_index, .. } = *text;
                    let mut start = 0;
                    for (index, end) in (first..).zip(text.ends.iter().skip(skip).take(take)) {
                        let end = to_usize(*end) - base;
                        let text = whole.part(start, end);
                        give(index, TextDelta { item_id, content_index, text }.into());
                        start = end;
                    }
                }
            }
        }
    }

    /// Gives up to `limit` events from index `from` on. No text is longer than `text_bytes` and one delta.
    pub(super) fn each_coalesced<'a>(
        &'a self,
        from: usize,
        limit: usize,
        text_bytes: usize,
        mut give: impl FnMut(CoalescedRef<'a>),
    ) {
        for (entry, skip, take) in self.range(from, limit) {
            match &entry.body {
                Body::Event(event) => give(CoalescedRef::Event(event)),
                Body::Text(text) => text.each_coalesced(skip, take, text_bytes, &mut give),
            }
        }
    }

    /// Returns the events that [`each_coalesced`](Self::each_coalesced) gives.
    pub(super) fn coalesced(&self, from: usize, limit: usize, text_bytes: usize) -> Vec<CoalescedEvent> {
        let mut all = Vec::new();
        self.each_coalesced(from, limit, text_bytes, |event| all.push(event.owned()));
        all
    }

    /// Returns the entries with the events from index `from` on, up to `limit` events: for each, how many of its events
    /// to skip, and how many to take then.
    fn range(&self, from: usize, limit: usize) -> impl Iterator<Item = (&Entry, usize, usize)> {
        let end = self.len.min(from.saturating_add(limit));
        let start = self.entries.partition_point(|entry| entry.first + entry.len() <= from);
        let entries = self.entries.iter().skip(start).take_while(move |entry| entry.first < end);
        entries.map(move |entry| {
            let skip = from.saturating_sub(entry.first);
            (entry, skip, entry.len().min(end - entry.first) - skip)
        })
    }
}

impl FromIterator<Event> for EventList {
    fn from_iter<T: IntoIterator<Item = Event>>(events: T) -> Self {
        let mut list = Self::default();
        events.into_iter().for_each(|event| list.push(event));
        list
    }
}

impl Entry {
    fn len(&self) -> usize {
        match &self.body {
            Body::Event(_) => 1,
            Body::Text(text) => text.ends.len(),
        }
    }
}

impl Text {
    fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Returns where a delta begins.
    fn start(&self, index: usize) -> usize {
        let before = index.checked_sub(1).and_then(|before| self.ends.get(before));
        before.map_or(0, |end| to_usize(*end))
    }

    fn slice(&self, skip: usize, take: usize) -> Arc<str> {
        self.text.get(self.start(skip)..self.start(skip + take)).unwrap_or_default().into()
    }

    fn each_coalesced<'a>(
        &'a self,
        skip: usize,
        take: usize,
        text_bytes: usize,
        give: &mut impl FnMut(CoalescedRef<'a>),
    ) {
        let mut first = skip;
        for index in skip..skip + take {
            let is_last = index + 1 == skip + take;
            if is_last || self.start(index + 1) - self.start(first) >= text_bytes {
                give(CoalescedRef::Text(TextRef { text: self, first, count: index + 1 - first }));
                first = index + 1;
            }
        }
    }
}

impl<'a> TextRef<'a> {
    pub(crate) fn item_id(&self) -> ItemId {
        self.text.item_id
    }

    pub(crate) fn content_index(&self) -> u32 {
        self.text.content_index
    }

    /// Returns all deltas together, as they stand between the quotes of their JSON.
    pub(crate) fn text(&self) -> &'a str {
        let (start, end) = (self.text.start(self.first), self.text.start(self.first + self.count));
        self.text.text.get(start..end).unwrap_or_default()
    }

    /// Returns the bytes of each delta.
    pub(crate) fn cuts(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        let Self { text, first, count } = *self;
        (first..first + count)
            .map(move |index| u32::try_from(text.start(index + 1) - text.start(index)).unwrap_or(u32::MAX))
    }
}

impl CoalescedRef<'_> {
    /// Returns how many events these are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Event(_) => 1,
            Self::Text(text) => text.count,
        }
    }

    fn owned(self) -> CoalescedEvent {
        match self {
            Self::Event(event) => CoalescedEvent::Event(event.clone()),
            Self::Text(text) => {
                let piece = TextPiece::new(text.text());
                let delta = TextDelta { item_id: text.item_id(), content_index: text.content_index(), text: piece };
                CoalescedEvent::Text(CoalescedText { delta, cuts: text.cuts().collect() })
            }
        }
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that a list has reserved.
    fn reserved(list: &EventList) -> usize {
        let texts = list.entries.iter().map(|entry| match &entry.body {
            Body::Event(event) => event.json().len(),
            Body::Text(text) => text.text.capacity() + text.ends.capacity() * size_of::<u32>(),
        });
        list.entries.capacity() * size_of::<Entry>() + texts.sum::<usize>()
    }

    #[test]
    fn a_token_costs_its_text_and_a_few_bytes() {
        let (item, token, count) = (ItemId::random(), " word", 10_000);
        let mut list = EventList::default();
        for _ in 0..count {
            list.push_text(item, 0, token);
        }
        assert!(reserved(&list) <= count * 32, "{} bytes", reserved(&list));
        list.shrink();
        assert!(reserved(&list) <= count * (token.len() + 5), "{} bytes", reserved(&list));
        assert!(list.bytes() <= count * (token.len() + 5), "{} bytes", list.bytes());
    }
}
