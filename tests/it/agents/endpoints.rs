//! Tools of internal services: requests, user context, and results.

use super::file::AgentsFile;
use crate::serve_and_split;
use crate::support::{Script, Upstream};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

pub const KEY: &str = "the-key-of-the-service-0123456789-0123456789";
const TOKEN: &str = "hunter2-of-the-service";

/// An agents file with tools of the service at this address.
fn file(service: &Upstream) -> AgentsFile {
    let base = service.base_url();
    AgentsFile::new(&format!(
        r#"
[agents.a]
tools = ["order", "act", "look", "act_in_time", "look_in_time", "rpc", "away"]

[tools.order]
kind = "http"
method = "GET"
url = "{base}/orders/{{id}}"
description = "An order."
acts = false
headers = {{ Authorization = {{ env = "SERVICE_TOKEN", prefix = "Bearer " }}, X-Team = "chat" }}
user_context = {{ env = "SERVICE_KEY" }}
parameters = '{{"type": "object", "required": ["id"], "properties": {{"id": {{"type": "string"}}, "page": {{"type": "integer"}}}}, "additionalProperties": false}}'

[tools.act]
kind = "http"
url = "{base}/act"
description = "Acts."
max_result_bytes = 1000
parameters = {{ type = "object" }}

[tools.look]
kind = "http"
url = "{base}/look"
description = "Looks."
acts = false
parameters = {{ type = "object" }}

[tools.act_in_time]
kind = "http"
url = "{base}/act"
description = "Acts, or is given up."
timeout_seconds = 1
parameters = {{ type = "object" }}

[tools.look_in_time]
kind = "http"
url = "{base}/look"
description = "Looks, or is given up."
acts = false
timeout_seconds = 1
parameters = {{ type = "object" }}

[tools.rpc]
kind = "jsonrpc"
method = "do.it"
url = "{base}/rpc"
description = "Does it."
parameters = {{ type = "object" }}

[tools.away]
kind = "http"
url = "http://127.0.0.1:9/away"
description = "Is not there."
"#
    ))
}

/// Returns a response with this status, further headers and body.
fn answers(status: u16, headers: &str, body: &str) -> Script {
    Script::default().raw(format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    ))
}

/// Returns a header.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Returns the user context of a call, which is signed with [`KEY`].
pub fn claims(head: &str) -> Value {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_required_spec_claims(&["exp", "sub"]);
    let token = header(head, "x-threadline-context").unwrap();
    jsonwebtoken::decode(token, &DecodingKey::from_secret(KEY.as_bytes()), &validation).unwrap().claims
}

fn result(request: &Value, place: usize) -> Value {
    let told: Vec<&Value> =
        request["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "tool").collect();
    serde_json::from_str(told[place]["content"].as_str().unwrap()).unwrap()
}

fn query(case: &str) -> Value {
    json!({ "case": case })
}

serve_and_split! {
    async fn a_service_gets_the_user_of_the_call(setup: Setup) {
        let (upstream, service) = (Upstream::start().await, Upstream::start().await);
        service.queue(answers(200, "", r#"{"state": "shipped"}"#));
        upstream.queue(Script::calls(&[("order", json!({"id": "7/8", "page": 2}))]));
        let file = file(&service);
        let app = file
            .of(setup)
            .upstream(&upstream)
            .with("SERVICE_TOKEN", TOKEN)
            .with("SERVICE_KEY", KEY)
            .with("LOG_LEVEL", "trace")
            .start()
            .await;
        let user = app.user().await;
        let session = user.session().await;
        let answer = user.say(session, "Where is it?").await;
        assert_eq!(answer.terminal()["type"], "run.completed");
        assert_eq!(result(&upstream.requests()[1], 0), json!({"state": "shipped"}));

        let head = service.heads().remove(0);
        assert!(head.starts_with("GET /v1/orders/7%2F8?page=2 HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "authorization").unwrap(), format!("Bearer {TOKEN}"));
        assert_eq!(header(&head, "x-team").unwrap(), "chat");
        assert!(header(&head, "x-request-id").is_some());
        let (token, claims) = (header(&head, "x-threadline-context").unwrap(), claims(&head));
        assert_eq!(
            (&claims["sub"], &claims["thread"], &claims["run"], &claims["tool"]),
            (&json!(user.user_id), &json!(session), &json!(answer.run_id()), &json!("order"))
        );
        assert!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 60, "{claims}");
        // It speaks for the user there, and not here.
        user.with_token(token).get("/api/v1/auth/me").await.fails(401, "UNAUTHORIZED");
        for process in &app.processes {
            let log = process.stderr();
            for secret in [TOKEN, KEY, token] {
                assert!(!log.contains(secret), "a secret is in the log");
            }
        }
    }

    async fn arguments_are_checked_before_the_request(setup: Setup) {
        let (upstream, service) = (Upstream::start().await, Upstream::start().await);
        let wrong = [json!({}), json!({"id": 7}), json!({"id": "7", "page": "2"}), json!({"id": "7", "x": 1}), json!({"id": ".."})];
        upstream.queue(Script::calls(&wrong.clone().map(|arguments| ("order", arguments))));
        let file = file(&service);
        let app = file.of(setup).upstream(&upstream).with("SERVICE_TOKEN", TOKEN).with("SERVICE_KEY", KEY).start().await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Go").await.terminal();
        for (place, arguments) in wrong.iter().enumerate() {
            let told = result(&upstream.requests()[1], place);
            assert!(told["error"].as_str().is_some_and(|error| error.starts_with("Bad arguments")), "{arguments}: {told}");
        }
        assert!(service.heads().is_empty());
    }

    async fn a_lost_response_of_a_tool_that_acts_is_unknown(setup: Setup) {
        let (upstream, service) = (Upstream::start().await, Upstream::start().await);
        let elsewhere = Upstream::start().await;
        let to = format!("location: {}/elsewhere\r\n", elsewhere.base_url());
        service.answer_with(move |request| {
            let case = request["case"].as_str().or(request["params"]["case"].as_str()).unwrap();
            match case {
                "hangs" => Script::default().hang(),
                "breaks" => Script::default().raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\""),
                "500" => answers(500, "", "oh no"),
                "503" => answers(503, "", "later"),
                "404" => answers(404, "", "no such order"),
                "redirects" => answers(307, &to, ""),
                "302" => answers(302, &to, ""),
                "303" => answers(303, &to, ""),
                "long" => answers(200, "", &format!("[{}1]", "1,".repeat(100_000))),
                "text" => answers(200, "", "all fine"),
                "refuses" => answers(200, "", r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"not yours"}}"#),
                "empty" => answers(200, "", ""),
                "answers" => answers(200, "", r#"{"jsonrpc":"2.0","id":1,"result":[1,2]}"#),
                case => panic!("{case}"),
            }
        });
        let unknown = |told: &Value| told["status"] == "unknown";
        let says = |words: &'static str| move |told: &Value| {
            let error = told["error"].as_str().unwrap_or_default();
            error.contains(words) && told["status"] != "unknown"
        };
        let is = |wanted: Value| move |told: &Value| *told == wanted;
        type Check = Box<dyn Fn(&Value) -> bool>;
        let cases: Vec<(&str, Value, Check)> = vec![
            ("act_in_time", query("hangs"), Box::new(unknown)),
            ("look_in_time", query("hangs"), Box::new(says("in time"))),
            ("act", query("breaks"), Box::new(unknown)),
            ("look", query("breaks"), Box::new(says("broke"))),
            ("act", query("500"), Box::new(unknown)),
            ("look", query("500"), Box::new(says("status 500"))),
            ("act", query("503"), Box::new(says("status 503"))),
            ("act", query("404"), Box::new(says("no such order"))),
            ("act", query("redirects"), Box::new(says("status 307"))),
            ("act", query("302"), Box::new(unknown)),
            ("act", query("303"), Box::new(unknown)),
            ("look", query("303"), Box::new(says("status 303"))),
            ("act", query("long"), Box::new(says("more than 1000 bytes"))),
            ("act", query("text"), Box::new(is(json!("all fine")))),
            ("act", query("empty"), Box::new(is(json!({"ok": true})))),
            ("rpc", query("refuses"), Box::new(says("not yours"))),
            ("rpc", query("answers"), Box::new(is(json!([1, 2])))),
            ("rpc", query("empty"), Box::new(unknown)),
            ("away", json!({}), Box::new(says("Nothing was done"))),
        ];
        let calls: Vec<_> = cases.iter().map(|(tool, arguments, _)| (*tool, arguments.clone())).collect();
        upstream.queue(Script::calls(&calls));
        let file = file(&service);
        let app = file.of(setup).upstream(&upstream).with("SERVICE_TOKEN", TOKEN).with("SERVICE_KEY", KEY).start().await;
        let user = app.user().await;
        let session = user.session().await;
        assert_eq!(user.say(session, "Go").await.terminal()["type"], "run.completed");
        for (place, (tool, arguments, right)) in cases.iter().enumerate() {
            let told = result(&upstream.requests()[1], place);
            assert!(right(&told), "{tool}({arguments}): {told}");
        }
        assert!(elsewhere.heads().is_empty(), "a redirect is not followed");
        let metrics = app.metrics().await;
        assert!(metrics.contains("threadline_tool_calls_total{tool=\"act\",outcome=\"unknown\"} 4"), "{metrics}");
    }
}
