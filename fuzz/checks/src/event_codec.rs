use threadline_engine::testing::{decode_row, encode_rows};
use threadline_schema::event::Event;
use threadline_schema::ids::{ItemId, RunId};
use threadline_schema::text_delta::TextDelta;
use threadline_store::rows::EventRow;
use uuid::Uuid;

/// Encodes events and decodes them again; then decodes a damaged row. The texts of the events are separated by zero
/// bytes. The first byte of a text selects the item, or another kind of event.
///
/// # Panics
///
/// If the decoded events or their numbers differ, or if a damaged row loses its last number.
pub fn check_event_codec(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let events: Vec<Event> = text.split('\0').map(event).collect();
    let rows = encode_rows(RunId::nil(), 5, &events);
    let decoded: Vec<(u64, String)> =
        rows.into_iter().flat_map(decode_row).map(|(seq, event)| (seq, event.json().into_owned())).collect();
    let expected: Vec<(u64, String)> = (5..).zip(events).map(|(seq, event)| (seq, event.json().into_owned())).collect();
    assert_eq!(decoded, expected);

    let (cuts, text) = text.split_once('\0').unwrap_or(("3,1", text));
    let json = TextDelta::new(ItemId::nil(), 0, text).json();
    let row =
        EventRow { run_id: RunId::nil(), first_seq: 1, last_seq: 2, event: json.clone(), cuts: Some(cuts.to_owned()) };
    let decoded = decode_row(row);
    assert_eq!(decoded.last().map(|(seq, _)| *seq), Some(2));
    assert!(decoded.len() == 2 || decoded[0].1.json() == json, "{decoded:?}");
}

fn event(text: &str) -> Event {
    let item = match text.bytes().next().unwrap_or_default() % 8 {
        7 => {
            let message = serde_json::to_string(text).unwrap();
            return Event::from_json(format!("{{\"type\":\"notice\",\"message\":{message}}}"));
        }
        item => ItemId::from_uuid(Uuid::from_u128(u128::from(item / 4))),
    };
    TextDelta::new(item, 0, text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded() {
        let seeds =
            ["", "a\0b\0c", "1,1\0ab", "7 notice\0a \"quoted\" word\n🥛\0\",\"delta\":\"", "\\u0000\0\\", "1,2\0a🥛"];
        crate::run_bounded(check_event_codec, &seeds.map(|seed| seed.as_bytes().to_vec()));
    }
}
