//! The conformance suite: one file per case in `tests/cases`. `CONTRIBUTING.md` describes the format.
//!
//! Each case is played by an HTTP server: the client sends the request, the server answers each attempt as the file
//! says, and the test compares the requests and the events. What a file does not expect must not come.

mod case;
mod compare;

use crate::quirks::decode_parts;
use crate::response::Response;
use crate::server::{Server, ok};
use bytes::Bytes;
use case::Case;
use futures::StreamExt;
use futures::stream;
use threadline_model::Model;
use threadline_model::openai::OpenAiModel;

/// Cases that are played at the same time: a case can wait for seconds.
const CONCURRENCY: usize = 32;
/// Longest body that is cut at every byte. Each cut decodes all of it.
const MAX_CUT_BYTES: usize = 4_096;

#[tokio::test]
async fn each_case_over_http() {
    let results = stream::iter(Case::all()).map(play).buffer_unordered(CONCURRENCY).collect::<Vec<_>>().await;
    assert!(results.len() > 50, "only {} cases were found", results.len());
    let failures: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{} cases failed\n\n{}", failures.len(), failures.join("\n\n"));
}

/// How a body is divided into reads must not change what it means.
#[tokio::test]
async fn each_body_cut_at_every_byte() {
    for case in Case::all() {
        for body in case.attempts.iter().filter_map(|attempt| attempt.event_stream()) {
            let body = Bytes::from(body);
            if body.len() > MAX_CUT_BYTES {
                continue;
            }
            let expected = decode_parts(vec![body.clone()]).await.fingerprint();
            for cut in 0..=body.len() {
                let parts = vec![body.slice(..cut), body.slice(cut..)];
                assert_eq!(decode_parts(parts).await.fingerprint(), expected, "{}, cut at {cut}", case.name);
            }
        }
    }
}

async fn play(case: Case) -> Result<(), String> {
    let server = Server::start(case.attempts.iter().map(case::Attempt::script).chain([ok("")]).collect()).await;
    let model = OpenAiModel::new(case.client.config(&server)).map_err(|error| format!("{}: {error}", case.name))?;
    let response = Response::collect(model.stream(case.request.build())).await;
    let mut failures = compare::response(&case.expect, &response);
    failures.extend(compare::requests(&case.attempts, &server.requests()));
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("{}: {}\n  {}", case.name, case.about, failures.join("\n  ")))
    }
}
