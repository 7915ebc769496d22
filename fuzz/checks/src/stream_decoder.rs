use bytes::Bytes;
use futures::{StreamExt, stream};
use std::convert::Infallible;
use std::time::Duration;
use threadline_model::{ModelError, ModelEvent, openai};

/// Decodes the body of a model's response, at once and in parts. The first byte is the size of the parts.
///
/// # Panics
///
/// If the stream does not end with exactly one terminal event or error, or if the parts give other events.
pub fn check_stream_decoder(data: &[u8]) {
    let Some((part_size, body)) = data.split_first() else { return };
    let part_size = usize::from(*part_size) + 1;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let [whole, split] = runtime.block_on(async {
        [
            events(vec![Bytes::copy_from_slice(body)]).await,
            events(body.chunks(part_size).map(Bytes::copy_from_slice).collect()).await,
        ]
    });
    assert_eq!(whole, split, "the split into parts of {part_size} bytes changes the events");
}

async fn events(parts: Vec<Bytes>) -> Vec<String> {
    let body = stream::iter(parts.into_iter().map(Ok::<_, Infallible>));
    let events: Vec<_> = openai::decode(body, Duration::from_secs(60)).collect().await;
    let (last, rest) = events.split_last().expect("a terminal event or an error");
    assert!(is_end(last), "the last event is {last:?}");
    assert!(!rest.iter().any(is_end), "events follow the end: {events:?}");
    events.into_iter().map(comparable).collect()
}

fn is_end(event: &Result<ModelEvent, ModelError>) -> bool {
    matches!(event, Ok(ModelEvent::Finished(_)) | Err(_))
}

/// Generated ids of tool calls differ each time.
fn comparable(event: Result<ModelEvent, ModelError>) -> String {
    match event {
        Ok(ModelEvent::ToolCall(call)) => format!("{} {}", call.name, call.arguments),
        event => format!("{event:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/upstream");
        let recordings = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let recordings = recordings.filter(|path| path.to_str().unwrap().ends_with(".response.http"));
        // The lines that belong to HTTP are ignored or refused, like other invalid lines.
        let mut seeds: Vec<_> = recordings.map(|path| [b"\x07", &std::fs::read(path).unwrap()[..]].concat()).collect();
        let chunk =
            r#"data: {"choices":[{"delta":{"content":"a","tool_calls":[{"index":0,"function":{"name":"f"}}]}}]}"#;
        seeds.push(format!("\u{0}{chunk}\n\ndata: [DONE]\n\n").into_bytes());
        seeds.push(br#"9{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":1}}"#.to_vec());
        crate::run_bounded(check_stream_decoder, &seeds);
    }
}
