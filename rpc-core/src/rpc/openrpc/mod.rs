//! The OpenRPC document, generated from the contract alone.

mod markdown;

pub use markdown::markdown;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use threadline_schema::plain_text::refuse_nul_in;
use threadline_schema::{Access, ErrorCode, Kind, MethodInfo, rpc};

/// Version of the OpenRPC specification that the document follows.
const OPENRPC: &str = "1.3.2";

/// Returns the OpenRPC document of all methods.
pub fn document() -> Map<String, Value> {
    let mut settings = SchemaSettings::draft07();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut schemas = settings.into_generator();
    let mut methods: Vec<&MethodInfo> = rpc::all().collect();
    methods.sort_by_key(|method| method.name);
    let mut methods: Vec<Value> = methods.into_iter().map(|method| describe(method, &mut schemas)).collect();
    let mut definitions = schemas.take_definitions(true);
    for params in methods.iter_mut().filter_map(|method| method.get_mut("params")) {
        refuse_nul_in(params, &mut definitions, "#/components/schemas/");
    }
    let mut components = Map::new();
    components.insert("schemas".to_owned(), Value::Object(definitions));
    components.insert("errors".to_owned(), Value::Object(errors()));
    let mut document = Map::new();
    document.insert("openrpc".to_owned(), OPENRPC.into());
    document.insert(
        "info".to_owned(),
        json!({
            "title": "Threadline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Durable conversations, streamed responses, server-side tools. JSON-RPC 2.0 over HTTP POST \
                and WebSocket; params are by name. Send the token as `Authorization: Bearer <token>`. Browsers send it \
                as the WebSocket subprotocols `bearer`, `<token>`.",
            "license": {"name": "MIT OR Apache-2.0"},
        }),
    );
    document.insert("methods".to_owned(), methods.into());
    document.insert("components".to_owned(), Value::Object(components));
    document
}

fn describe(method: &MethodInfo, schemas: &mut SchemaGenerator) -> Value {
    let schema = (method.params)(schemas).to_value();
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut params: Vec<Value> = properties
        .map(|(name, schema)| {
            let mut param = json!({"name": name, "required": required.contains(&name.as_str()), "schema": schema});
            if let (Some(description), Some(members)) = (schema.get("description"), param.as_object_mut()) {
                members.insert("description".to_owned(), description.clone());
            }
            param
        })
        .collect();
    // The specification demands required params first.
    params.sort_by_key(|param| param.get("required") != Some(&Value::Bool(true)));
    let mut described = json!({
        "name": method.name,
        "summary": method.summary(),
        "description": method.description(),
        "tags": [{"name": method.name.split('.').next().unwrap_or_default()}],
        "paramStructure": "by-name",
        "params": params,
        "result": {"name": "result", "schema": (method.result)(schemas)},
        "errors": error_refs(method),
    });
    if let (Kind::Subscription { notification, unsubscribe }, Some(members)) = (method.kind, described.as_object_mut())
    {
        members.insert(
            "x-subscription".to_owned(),
            json!({"notification": notification, "unsubscribe": unsubscribe, "transport": "websocket"}),
        );
        members.insert(
            "result".to_owned(),
            json!({"name": "subscription", "schema": {"type": ["string", "integer"], "description": "The id of the subscription."}}),
        );
        members.insert("x-notification".to_owned(), json!((method.result)(schemas)));
    }
    described
}

/// Returns the errors of every method with this access. A method's description lists its own errors.
fn error_refs(method: &MethodInfo) -> Vec<Value> {
    let mut codes = vec![ErrorCode::InvalidRequest, ErrorCode::InternalError, ErrorCode::ServiceUnavailable];
    match method.access {
        Access::User | Access::Signed => codes.extend([ErrorCode::Unauthorized, ErrorCode::RateLimited]),
        Access::Admin => codes.extend([ErrorCode::Unauthorized, ErrorCode::Forbidden, ErrorCode::RateLimited]),
        Access::Public => codes.push(ErrorCode::RateLimited),
        Access::Probe => {}
    }
    codes.into_iter().map(|code| json!({"$ref": format!("#/components/errors/{}", code.name())})).collect()
}

fn errors() -> Map<String, Value> {
    let row = |code: &ErrorCode| {
        let error = json!({"code": code.rpc_code(), "message": code.meaning().trim(), "data": {"code": code.name()}});
        (code.name().to_owned(), error)
    };
    ErrorCode::ALL.iter().map(row).collect()
}
