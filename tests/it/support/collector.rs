//! An OpenTelemetry collector: receives spans over OTLP, over HTTP and as gRPC, and decodes them with the official
//! types.

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};

/// The collector. Cheap to clone. It ends with the runtime of the test.
#[derive(Clone)]
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    heads: Vec<(String, HeaderMap)>,
}

/// The body of a response, with trailers.
type Frames = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// One span.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    /// In hexadecimal digits, as in `traceparent`.
    pub trace_id: String,
    pub id: String,
    /// Empty for the first span of a trace.
    pub parent: String,
    /// `SPAN_KIND_SERVER` and the like.
    pub kind: String,
    pub state: String,
    pub attributes: Value,
    /// Names of its events.
    pub events: Vec<String>,
    pub has_failed: bool,
    /// Attributes of the process.
    pub resource: Value,
}

impl Span {
    /// Returns the header `traceparent` of a request that was made in this span.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace_id, self.id)
    }
}

impl Collector {
    /// Starts to receive over HTTP.
    pub async fn http() -> Self {
        Self::start(false).await
    }

    /// Starts to receive as gRPC.
    pub async fn grpc() -> Self {
        Self::start(true).await
    }

    async fn start(is_grpc: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let this = Self { address: listener.local_addr().expect("an address"), received: Arc::default() };
        let collector = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let collector = collector.clone();
                tokio::spawn(async move { collector.serve(stream, is_grpc).await });
            }
        });
        this
    }

    /// Returns the value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap().spans.clone()
    }

    /// Returns paths and headers of the requests so far.
    pub fn heads(&self) -> Vec<(String, HeaderMap)> {
        self.received.lock().unwrap().heads.clone()
    }

    /// Waits until all these spans of a trace are there. Returns the spans of the trace.
    pub async fn trace(&self, trace_id: &str, names: &[&str]) -> Vec<Span> {
        let found = || async {
            let spans: Vec<_> = self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect();
            names.iter().all(|name| spans.iter().any(|span| span.name == *name)).then_some(spans)
        };
        let deadline = tokio::time::timeout(super::PATIENCE, async {
            loop {
                if let Some(spans) = found().await {
                    return spans;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        deadline.await.unwrap_or_else(|_| {
            let spans: Vec<_> = self.spans().into_iter().map(|span| (span.name, span.trace_id)).collect();
            panic!("no trace {trace_id} with {names:?}: {spans:?}")
        })
    }

    async fn serve(&self, stream: TcpStream, is_grpc: bool) {
        let collector = self.clone();
        let service = service_fn(move |request| {
            let collector = collector.clone();
            async move { Ok::<_, Infallible>(collector.answer(request, is_grpc).await) }
        });
        let io = TokioIo::new(stream);
        if is_grpc {
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
        } else {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>, is_grpc: bool) -> Response<Frames> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let message = if is_grpc {
            let length = u32::from_be_bytes(body[1..5].try_into().unwrap());
            assert_eq!((body[0], length as usize), (0, body.len() - 5));
            body.slice(5..)
        } else {
            body
        };
        let message = ExportTraceServiceRequest::decode(message).expect("a request of OTLP");
        {
            let mut received = self.received.lock().unwrap();
            received.heads.push((head.uri.path().to_owned(), head.headers));
            received.spans.extend(spans_of(message));
        }
        // An empty message: all spans are accepted.
        let frames = match is_grpc {
            false => vec![],
            true => {
                let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                vec![Ok(Frame::data(Bytes::from_static(&[0; 5]))), Ok(Frame::trailers(status))]
            }
        };
        let media_type = if is_grpc { "application/grpc" } else { "application/x-protobuf" };
        let response = Response::builder().header("content-type", media_type);
        response.body(StreamBody::new(stream::iter(frames))).unwrap()
    }
}

fn spans_of(message: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in message.resource_spans {
        let resource = attributes(of_resource.resource.unwrap_or_default().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
            spans.push(Span {
                kind: span.kind().as_str_name().to_owned(),
                has_failed: span.status.as_ref().is_some_and(|status| status.code == 2),
                name: span.name,
                trace_id: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                state: span.trace_state,
                attributes: attributes(span.attributes),
                events: span.events.into_iter().map(|event| event.name).collect(),
                resource: resource.clone(),
            });
        }
    }
    spans
}

fn attributes(list: Vec<KeyValue>) -> Value {
    let members =
        list.into_iter().map(|pair| (pair.key, pair.value.and_then(|any| any.value).map_or(Value::Null, json_of)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn json_of(any: Any) -> Value {
    match any {
        Any::StringValue(text) => json!(text),
        Any::BoolValue(is_true) => json!(is_true),
        Any::IntValue(number) => json!(number),
        Any::DoubleValue(number) => json!(number),
        Any::ArrayValue(list) => list.values.into_iter().map(|any| any.value.map_or(Value::Null, json_of)).collect(),
        other => panic!("no attribute of ours: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
