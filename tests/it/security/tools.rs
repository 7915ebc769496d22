//! Tools of internal services: what they are sent, and what of their errors users read.

use crate::agents::file::AgentsFile;
use crate::serve_and_split;
use crate::support::{Script, Upstream, eventually};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

const KEY: &str = "the-key-of-the-service-0123456789-0123456789";

fn file(service: &Upstream, parameters: &str) -> AgentsFile {
    let base = service.base_url();
    AgentsFile::new(&format!(
        r#"
[agents.a]
tools = ["orders"]

[tools.orders]
kind = "http"
method = "GET"
url = "{base}/orders?tenant=7"
description = "Orders."
action = true
user_context = {{ env = "SERVICE_KEY", audience = "orders-service" }}
parameters = '{parameters}'
"#
    ))
}

fn refusal(text: &str) -> Script {
    Script::default().raw(format!(
        "HTTP/1.1 422 X\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    ))
}

serve_and_split! {
    async fn a_service_gets_declared_arguments_alone(setup: Setup) {
        let (upstream, service) = (Upstream::start().await, Upstream::start().await);
        let file = file(&service, r#"{"type": "object", "properties": {"page": {"type": "integer"}}}"#);
        let app = file.of(setup).upstream(&upstream).with("SERVICE_KEY", KEY).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let action = |payload: Value| json!({"thread_id": session, "action": {"type": "orders", "payload": payload}});
        let refused = user.rpc("threads.sync_custom_action", action(json!({"tenant": "8"}))).await;
        assert_eq!(refused["error"]["data"]["code"], "INVALID_REQUEST", "{refused}");
        upstream.queue(Script::calls(&[("orders", json!({"page": 1, "tenant": "8"}))])).queue(Script::says(&["Ok"]));
        user.say(session, "Orders of tenant 8!").await;
        let told = upstream.requests()[1]["messages"].to_string();
        assert!(told.contains("must be left out"), "{told}");
        assert!(service.requests().is_empty() && service.heads().is_empty());

        service.queue(Script::json(&json!({"orders": []})));
        user.rpc_ok("threads.sync_custom_action", action(json!({"page": 2}))).await;
        assert!(service.heads()[0].starts_with("GET /v1/orders?tenant=7&page=2 "), "{}", service.heads()[0]);
        let head = &service.heads()[0];
        let token = head.lines().find_map(|line| line.strip_prefix("x-threadline-context: ")).expect("a token");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["orders-service"]);
        jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(KEY.as_bytes()), &validation).unwrap();
    }

    async fn the_error_of_a_service_is_for_the_model_and_the_log(setup: Setup) {
        const INTERNAL: &str = "psql: relation orders_v2 does not exist";
        let (upstream, service) = (Upstream::start().await, Upstream::start().await);
        let file = file(&service, r#"{"type": "object", "properties": {}}"#);
        let app = file.of(setup).upstream(&upstream).with("SERVICE_KEY", KEY).start().await;
        let user = app.user().await;
        let session = user.session().await;
        service.queue(refusal(INTERNAL)).queue(refusal(INTERNAL));
        let action = json!({"thread_id": session, "action": {"type": "orders", "payload": {}}});
        let refused = user.rpc("threads.sync_custom_action", action).await;
        assert!(!refused.to_string().contains("psql") && refused["error"]["message"].is_string(), "{refused}");
        upstream.queue(Script::calls(&[("orders", json!({}))])).queue(Script::says(&["It did not work."]));
        let stream = user.say(session, "Orders!").await;
        assert!(stream.events.iter().all(|(_, event)| !event.to_string().contains("psql")), "{:?}", stream.events);
        assert!(upstream.requests()[1]["messages"].to_string().contains("psql"), "the model can explain it");
        let is_logged = || app.log().iter().any(|line| line["error"].to_string().contains("psql"));
        eventually("it is in the log", || async { is_logged().then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_argument_that_the_url_sets_is_an_error_of_the_file() {
    let service = Upstream::start().await;
    let file = file(&service, r#"{"type": "object", "properties": {"tenant": {"type": "string"}}}"#);
    let output =
        crate::support::process::run(&["doctor"], &[("AGENTS_FILE", file.name()), ("SERVICE_KEY", KEY.to_owned())]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("the query sets tenant"), "{said}");
}
