//! The matrix of direct object references: each method and each REST operation, with each id and cursor of another
//! user, by each kind of caller who has no right to it, over each transport.
//!
//! It is made from the OpenRPC and OpenAPI documents, so a new method is in it by itself. A new kind of id fails the
//! test, until `possessions.rs` says what it can be.

mod possessions;
mod rest;
mod rpc;

use self::possessions::Possessions;
use super::by_schema::{Member, Schemas};
use crate::in_variants;
use crate::rest::registration::command;
use crate::support::{App, Client, Setup, token};
use serde_json::{Value, json};
use std::time::Duration;

/// Calls that take their caller's own access away, which the other calls need. They name nobody else.
const END_THE_CALLER: [&str; 4] =
    ["auth.change_password", "auth.delete_account", "auth.logout_everywhere", "auth.cancel_client_token"];

/// Who calls without a right to Ada's things, and what each call must be answered with.
struct Caller {
    name: &'static str,
    client: Client,
    /// For whom a service calls.
    acts_for: Option<String>,
    refusal: Refusal,
    /// What it has as a token is none.
    is_no_token: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// Whose call is right in itself: whatever names Ada's things is refused.
    OfIds,
    /// Who may not make the call at all: each is refused with this code.
    OfEach(&'static str),
}

/// A call that names something of another user.
struct Case {
    what: String,
    params: Value,
    /// Everything that the call must name belongs to somebody else.
    is_all_foreign: bool,
    /// The call must name what belongs to somebody else, so it cannot succeed.
    must_fail: bool,
}

/// Returns the members of params that name something of a user, with the values that Ada's things have.
fn ids<'a>(schemas: &'a Schemas, schema: &'a Value, ada: &Possessions) -> Vec<(Member<'a>, Vec<Value>)> {
    let mut found = Vec::new();
    for member in schemas.members(schema, 4) {
        let name = member.path.last().unwrap();
        match ada.by_name(name) {
            Some(values) => found.push((member, values)),
            // Tokens in URLs have a test of their own.
            None if name == "token" => {}
            None => {
                let is_id = schemas.resolve(member.schema)["format"] == "uuid"
                    || ["_id", "_ids", "_token", "cursor"].iter().any(|end| name.ends_with(end));
                assert!(!is_id, "{name} looks like an id of a new kind: add it to possessions.rs");
            }
        }
    }
    found
}

/// Returns the calls with these params that name something of Ada's, and one that names nothing of hers.
fn cases(schemas: &Schemas, schema: &Value, ada: &Possessions, eve: &Possessions) -> Vec<Case> {
    let ids = ids(schemas, schema, ada);
    let mut own = schemas.example("", schema);
    let mut foreign = own.clone();
    let mut has_required = false;
    for (member, values) in ids.iter().filter(|(member, _)| member.is_required) {
        has_required = true;
        let name = member.path.last().unwrap();
        schemas.set(schema, &mut own, &member.path, eve.by_name(name).unwrap()[0].clone());
        schemas.set(schema, &mut foreign, &member.path, values[0].clone());
    }
    let has_action = own.get("action").is_some();
    let mut cases = vec![if has_required {
        Case { what: "all ids".to_owned(), params: foreign, is_all_foreign: true, must_fail: true }
    } else {
        Case { what: "no id".to_owned(), params: own.clone(), is_all_foreign: false, must_fail: false }
    }];
    for (member, values) in &ids {
        for value in values {
            let mut params = own.clone();
            schemas.set(schema, &mut params, &member.path, value.clone());
            let what = format!("{} = {value}", member.path.join("."));
            cases.push(Case { what, params, is_all_foreign: false, must_fail: member.is_required });
        }
    }
    if has_action {
        // The arguments of an action are not part of the schema.
        let mut params = own;
        params["action"]["payload"] = json!({"task_id": ada.task});
        cases.push(Case { what: "a task".to_owned(), params, is_all_foreign: false, must_fail: false });
    }
    cases
}

/// Checks the answer to a call of a caller: its code if it is an error, and its whole text.
fn check(caller: &Caller, case: &Case, ada: &Possessions, code: Option<&str>, text: &str, what: &str) {
    let shown = || format!("{}: {what}, {}: {text}", caller.name, case.what);
    for secret in [ada.word, ada.user.email.as_str()] {
        assert!(!text.contains(secret), "Ada's {secret} is told. {}", shown());
    }
    assert_ne!(code, Some("INTERNAL_ERROR"), "{}", shown());
    match caller.refusal {
        Refusal::OfEach(wanted) => assert_eq!(code, Some(wanted), "{}", shown()),
        Refusal::OfIds if case.is_all_foreign => assert_eq!(code, Some("FORBIDDEN"), "{}", shown()),
        Refusal::OfIds if case.must_fail => assert!(code.is_some(), "{}", shown()),
        Refusal::OfIds => {}
    }
}

/// Creates a service key. Returns its client.
async fn key(app: &App, name: &str, methods: &str, users: &str) -> Client {
    let printed = command(app, &["key", "create", name, "--methods", methods, "--users", users]).await;
    app.anonymous().with_token(printed.lines().next().unwrap())
}

/// Returns everybody who has no right to what is Ada's.
async fn callers(app: &App, ada: &Possessions, eve: &Possessions) -> Vec<Caller> {
    let caller = |name, client: &Client, acts_for: Option<&str>, refusal| Caller {
        name,
        client: client.clone(),
        acts_for: acts_for.map(str::to_owned),
        refusal,
        is_no_token: false,
    };
    let of_page = eve.user.rpc_ok("auth.create_client_token", json!({"scopes": ["*"]})).await;
    let of_page = eve.user.with_token(of_page["token"].as_str().unwrap());
    let of_eve = key(app, "of-eve", "*", &eve.id()).await;
    let narrow = key(app, "narrow", "auth.me", "*").await;
    let nobody = app.anonymous();
    let forbidden = Refusal::OfEach("FORBIDDEN");
    vec![
        caller("another user", &eve.user, None, Refusal::OfIds),
        caller("a page of another user", &of_page, None, Refusal::OfIds),
        caller("a service for another user", &of_eve, Some(&eve.id()), Refusal::OfIds),
        caller("another user who claims to act for her", &eve.user, Some(&ada.id()), forbidden),
        caller("a service for a user that is not of its key", &of_eve, Some(&ada.id()), forbidden),
        caller("a service without the scope", &narrow, Some(&ada.id()), forbidden),
        caller("a service for nobody", &of_eve, None, Refusal::OfEach("INVALID_REQUEST")),
        caller("nobody", &nobody, None, Refusal::OfEach("UNAUTHORIZED")),
        Caller {
            name: "who has the URL of a preview",
            client: nobody.with_token(ada.preview_token.as_str()),
            acts_for: None,
            refusal: Refusal::OfEach("UNAUTHORIZED"),
            is_no_token: true,
        },
    ]
}

/// Her own client token that may call nothing but `auth.me`.
fn own_page(ada: &Possessions) -> Caller {
    let client = ada.user.with_token(ada.client_token.as_str());
    let refusal = Refusal::OfEach("FORBIDDEN");
    Caller { name: "her page without the scope", client, acts_for: None, refusal, is_no_token: false }
}

in_variants! {
    [
        serve_sqlite { Some(Setup::new().await) }
        split_postgres { Setup::postgres().await.map(Setup::split) }
    ]
    async fn nobody_reaches_what_is_somebody_elses(setup: Setup) {
        let setup = setup.with("MAX_SESSIONS_PER_USER", 0).with("MAX_CONNECTIONS_PER_ADDRESS", 0);
        let app = setup.with("MAX_STREAMS_PER_USER", 0).start().await;
        let ada = Possessions::of_a_new_user(&app, "xylophone").await;
        let eve = Possessions::of_a_new_user(&app, "trumpet").await;
        let mut callers = callers(&app, &ada, &eve).await;
        callers.push(own_page(&ada));
        let before = ada.everything().await;
        assert!(before.contains("xylophone") && !before.contains("trumpet"));

        let openrpc = Schemas::new(eve.user.rpc_ok("rpc.discover", json!({})).await);
        let openapi = Schemas::new(eve.user.get("/openapi.json").await.body);
        let (over_rpc, over_rest) = tokio::join!(
            rpc::call_all(&app, &openrpc, &callers, &ada, &eve),
            rest::request_all(&openapi, &callers, &ada, &eve),
        );
        assert!(over_rpc > 1_000 && over_rest > 300, "{over_rpc} calls, {over_rest} requests");

        // What began meanwhile has ended, and nothing of Ada's is other than before.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let after = ada.everything().await;
        assert_eq!(after, before);
        let page = ada.user.with_token(ada.client_token.as_str());
        assert_eq!(page.get("/api/v1/auth/me").await.status, 200, "her client token is not cancelled");
        assert!(!eve.everything().await.contains(ada.word));
        crate::rpc::nobody_panicked(&app);
    }

    async fn a_signed_url_is_for_one_file_and_one_purpose(setup: Setup) {
        let app = setup.start().await;
        let ada = Possessions::of_a_new_user(&app, "xylophone").await;
        let eve = Possessions::of_a_new_user(&app, "trumpet").await;
        let expired = json!({"sub": ada.attachment, "usr": ada.id(), "use": "preview", "exp": 1});
        let unlimited = json!({"sub": ada.attachment, "usr": ada.id(), "use": "preview"});
        let of_eve = json!({"sub": ada.attachment, "usr": eve.id(), "use": "preview", "exp": 4_000_000_000_u64});
        let tokens = [
            ("another user's upload", eve.upload_token.clone()),
            ("another user's preview", eve.preview_token.clone()),
            ("the upload of another file", ada.upload_token.clone()),
            ("a token of its user", ada.user.token.clone().unwrap()),
            ("an expired one", token::capability(&expired)),
            ("one without an end", token::capability(&unlimited)),
            ("one for another user", token::capability(&of_eve)),
            ("nothing", String::new()),
        ];
        let nobody = app.anonymous();
        let before = ada.everything().await;
        let upload = json!({"attachment_id": ada.attachment, "data": "AAAA", "last": true});
        let attempts = [
            ("attachments.write", upload),
            ("attachments.read", json!({"attachment_id": ada.attachment, "preview": true})),
            ("attachments.read", json!({"attachment_id": ada.attachment})),
        ];
        for client in [&nobody, &eve.user] {
            for (what, token) in &tokens {
                for (method, params) in &attempts {
                    let mut params = params.clone();
                    params["token"] = json!(token);
                    let answer = client.rpc(method, params.clone()).await;
                    let code = answer["error"]["data"]["code"].as_str().unwrap_or_default();
                    assert!(["UNAUTHORIZED", "FORBIDDEN"].contains(&code), "{what}: {method} {params}: {answer}");
                }
                for path in ["content", "preview"] {
                    let path = format!("/api/v1/chatkit/attachments/{}/{path}?token={token}", ada.attachment);
                    let reply = client.get(&path).await;
                    // Downloads of the file itself know no `token`.
                    assert!([400, 401, 403].contains(&reply.status), "{what}: {path}: {}", reply.text);
                }
                let path = format!("/api/v1/chatkit/attachments/{}/content?token={token}", ada.attachment);
                let request = client.request(reqwest::Method::PUT, &path).body("x");
                let reply = crate::support::client::read(request).await;
                assert!([401, 403].contains(&reply.status), "{what}: PUT {path}: {}", reply.text);
            }
        }
        // The URL of the preview is for the preview, and for nothing else.
        let preview = json!({"attachment_id": ada.attachment, "preview": true, "token": ada.preview_token});
        nobody.rpc_ok("attachments.read", preview).await;
        let mut file = attempts[2].1.clone();
        file["token"] = json!(ada.preview_token);
        assert_eq!(nobody.rpc("attachments.read", file).await["error"]["data"]["code"], "UNAUTHORIZED");
        let mut write = attempts[0].1.clone();
        write["token"] = json!(ada.preview_token);
        let refused = nobody.rpc("attachments.write", write).await;
        let code = refused["error"]["data"]["code"].as_str().unwrap_or_default();
        assert!(["UNAUTHORIZED", "FORBIDDEN"].contains(&code), "{refused}");
        assert_eq!(ada.everything().await, before);
    }
}
