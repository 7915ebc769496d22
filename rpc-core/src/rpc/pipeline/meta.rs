//! The reserved member `_meta` of by-name params: on a connection that many users share, each call says in it whose it
//! is. It is read here and taken out, so that no method ever sees it.

use crate::error::Error;
use crate::rpc::context::{Call, Connection, Transport};
use jsonrpsee::core::middleware::Request;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use threadline_schema::call::{Caller, ClientHints, META};
use threadline_schema::head::is_request_id;
use uuid::Uuid;

/// What a gateway, or a direct client, may say beside its params.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Meta<'a> {
    #[serde(borrow)]
    auth: Option<Cow<'a, str>>,
    ip: Option<IpAddr>,
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    languages: Option<Cow<'a, str>>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    facts: bool,
}

const TAKES: &str = "`_meta` takes `auth`, `ip`, `request_id`, `languages`, `metadata` and `facts`.";

/// Makes the [`Call`] of a request: what its connection knows, and what `_meta` adds to it.
pub(super) fn open(request: &mut Request<'_>) -> Result<Arc<Call>, (Arc<Call>, Error)> {
    if let Some(call) = request.extensions.remove::<Arc<Call>>() {
        return Ok(call);
    }
    let connection = request.extensions.remove::<Connection>().unwrap_or_else(nobody);
    let with = |caller, facts| Arc::new(Call::new(caller, connection.transport, facts));
    let mut caller = connection.caller.clone();
    if connection.transport == Transport::WebSocket {
        // One socket carries many requests; each gets a name of its own.
        caller.request_id = Uuid::now_v7().to_string().into();
    }

    let Some(params) = request.params.as_ref().filter(|params| mentions_meta(params.get())) else {
        return Ok(with(caller, false));
    };
    let Ok(mut members) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(params.get()) else {
        // Not an object: the method will say so.
        return Ok(with(caller, false));
    };
    let Some(raw) = members.remove(META) else { return Ok(with(caller, false)) };
    let meta: Meta<'_> = match serde_json::from_str(raw.get()) {
        Ok(meta) => meta,
        Err(_) => {
            return Err((with(caller, false), Error::invalid(TAKES)));
        }
    };
    match ClientHints::new(meta.languages.as_deref(), meta.metadata) {
        Ok(client) => caller.hints = client.or(caller.hints.take()),
        Err(error) => return Err((with(caller, false), Error::invalid(error.to_string()))),
    }
    if let Some(auth) = meta.auth {
        caller.token = Some(auth.into());
    }
    if let Some(request_id) = meta.request_id.filter(|id| is_request_id(id)) {
        caller.request_id = request_id.into();
    }
    if let Some(ip) = meta.ip.filter(|_| connection.trusted) {
        caller.ip = ip;
    }
    match to_raw_value(&members) {
        Ok(rest) => {
            let call = with(caller, meta.facts);
            request.params = Some(Cow::Owned(rest));
            Ok(call)
        }
        Err(error) => Err((with(caller, false), Error::internal(error))),
    }
}

fn mentions_meta(params: &str) -> bool {
    memchr::memmem::find(params.as_bytes(), b"\"_meta\"").is_some()
}

/// A request without a connection cannot come from a transport of ours; it gets no rights.
fn nobody() -> Connection {
    Connection {
        caller: Caller { token: None, ip: Ipv4Addr::UNSPECIFIED.into(), request_id: "unknown".into(), hints: None },
        transport: Transport::Http,
        trusted: false,
    }
}
