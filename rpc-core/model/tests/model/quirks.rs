//! Deviations from the protocol that need more than a file in `tests/cases`.

use crate::response::{Response, is_generated_id};
use bytes::Bytes;
use futures::stream;
use std::convert::Infallible;
use std::time::Duration;
use threadline_model::openai::decode;

#[tokio::test]
async fn a_missing_or_duplicate_id_is_replaced() {
    let call = |id: &str| format!("{{{id}\"function\":{{\"name\":\"f\",\"arguments\":\"{{}}\"}}}}");
    for ids in [["", ""], ["\"id\":\"\",", "\"id\":null,"], ["\"index\":0,\"id\":\"x\",", "\"index\":1,\"id\":\"x\","]]
    {
        let calls = ids.map(call).join(",");
        let body = format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{calls}]}}}}]}}\n\ndata: [DONE]\n\n");
        let response = decode_parts(vec![body.into()]).await;
        assert_eq!(response.calls.len(), 2, "{ids:?}");
        assert!(is_generated_id(&response.calls[1].id), "{ids:?}");
        assert_ne!(response.calls[0].id, response.calls[1].id);
    }
}

#[tokio::test]
async fn citations_are_limited() {
    let cite = |name: &str| {
        let title = "T".repeat(10_000);
        format!("{{\"url_citation\":{{\"url\":\"https://{name}.example/\",\"title\":\"{title}\"}}}}")
    };
    let mut all: Vec<String> = vec![cite(&"x".repeat(3_000))];
    all.extend((0..100).map(|number| cite(&format!("s{number}"))));
    let body =
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\",\"annotations\":[{}]}}}}]}}\n\n", all.join(","));
    let response = decode_parts(vec![body.into(), "data: [DONE]\n\n".into()]).await;
    assert_eq!((response.text().as_str(), response.citations.len()), ("a", 64));
    assert_eq!(response.citations[0].url, "https://s0.example/", "a URL that is too long is left out");
    assert_eq!(response.citations[0].title.len(), 300);
}

/// Decodes a body that arrives in `parts`.
pub(crate) async fn decode_parts(parts: Vec<Bytes>) -> Response {
    Response::collect(decode(stream::iter(parts.into_iter().map(Ok::<_, Infallible>)), Duration::from_secs(20))).await
}
