//! A proxy before the REST API that treats responses badly, as a wrong configuration does.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// What the proxy does.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It sends a response when it has all of it.
    Buffers,
    /// It refuses requests to this path.
    Refuses(&'static str),
    /// It refuses requests with this method.
    RefusesMethod(&'static str),
    /// It answers with a page of its own.
    Serves(&'static str),
}

/// Starts a proxy before `target` (`host:port`). It ends with the runtime of the test. Returns its URL.
pub async fn proxy(target: &str, fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let target = target.to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (target, fault) = (target.clone(), fault.clone());
            let service = hyper::service::service_fn(move |request| {
                let (target, fault) = (target.clone(), fault.clone());
                async move { Ok::<_, Infallible>(pass(request, &target, &fault).await) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

async fn pass(request: Request<Incoming>, target: &str, fault: &Fault) -> Response<Full<Bytes>> {
    let answer = |status: u16, text: &str| {
        Response::builder().status(status).body(Full::new(Bytes::from(text.to_owned()))).expect("a response")
    };
    match fault {
        Fault::Serves(page) => return answer(200, page),
        Fault::Refuses(path) if request.uri().path() == *path => {
            return answer(
                403,
                r#"{"success":false,"error":{"code":"FORBIDDEN","message":"Registration is closed."}}"#,
            );
        }
        Fault::RefusesMethod(method) if request.method() == *method => return answer(405, "Not allowed here"),
        Fault::Refuses(_) | Fault::RefusesMethod(_) | Fault::Buffers => {}
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let client = reqwest::Client::new();
    let mut headers = head.headers;
    headers.remove("host");
    let sent = client.request(head.method, format!("http://{target}{path}")).headers(headers).body(body).send().await;
    let received = sent.expect("a response of the service");
    let mut response = answer(received.status().as_u16(), "");
    for (name, value) in received.headers() {
        if name != "transfer-encoding" && name != "content-length" {
            response.headers_mut().insert(name, value.clone());
        }
    }
    *response.body_mut() = Full::new(received.bytes().await.expect("a body"));
    response
}
