//! From marker types and handlers to what the transports dispatch on.

use crate::core::Core;
use crate::error::Error;
use crate::rpc::Feed;
use crate::rpc::context::{Call, Cx};
use futures::future::BoxFuture;
use jsonrpsee::core::server::SubscriptionCloseResponse;
use jsonrpsee::server::Methods;
use jsonrpsee::types::Params;
use jsonrpsee::{Extensions, PendingSubscriptionSink, RpcModule};
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashMap;
use std::sync::Arc;
use threadline_schema::call::META;
use threadline_schema::{Kind, MethodInfo, RpcMethod};

/// Opens the feed of a subscription.
pub(crate) type Opener = Arc<dyn Fn(Cx, Params<'static>) -> BoxFuture<'static, Result<Feed, Error>> + Send + Sync>;

/// The methods while they are being registered.
pub(crate) struct Registry {
    module: RpcModule<Core>,
    openers: HashMap<&'static str, Opener>,
    infos: Vec<MethodInfo>,
    problem: Option<String>,
}

/// The methods, ready to be called.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) methods: Methods,
    pub(crate) openers: Arc<HashMap<&'static str, Opener>>,
    infos: Arc<HashMap<&'static str, MethodInfo>>,
}

impl Registered {
    pub(crate) fn info(&self, method: &str) -> Option<&MethodInfo> {
        self.infos.get(method)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.infos.keys().copied()
    }
}

impl Registry {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { module: RpcModule::from_arc(core), openers: HashMap::new(), infos: Vec::new(), problem: None }
    }

    /// Registers a method that answers once.
    pub(crate) fn method<M, F, Fut>(&mut self, handler: F) -> &mut Self
    where
        M: RpcMethod,
        F: Fn(Cx, M::Params) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<M::Result, Error>> + Send + 'static,
    {
        let registered = self.module.register_async_method(M::NAME, move |params, core, extensions| {
            let handler = handler.clone();
            async move {
                let call = call_of(&extensions)?;
                let answer = match read_params::<M::Params>(&params) {
                    Ok(params) => handler(Cx { core, call: call.clone() }, params).await,
                    Err(error) => Err(error),
                };
                call.answer(M::NAME, answer.and_then(|result| Ok(to_raw_value(&result)?)))
            }
        });
        let registered = registered.map(|_| ()).map_err(|error| error.to_string());
        self.note::<M>(registered)
    }

    /// Registers a method that starts a stream.
    pub(crate) fn subscription<M, F, Fut>(&mut self, open: F) -> &mut Self
    where
        M: RpcMethod,
        F: Fn(Cx, M::Params) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Feed, Error>> + Send + 'static,
    {
        let Kind::Subscription { notification, unsubscribe } = M::KIND else {
            return self.note::<M>(Err("is no subscription".to_owned()));
        };
        let opener: Opener = Arc::new(move |cx, params| {
            let open = open.clone();
            Box::pin(async move { open(cx, read_params::<M::Params>(&params)?).await })
        });
        self.openers.insert(M::NAME, opener.clone());
        let registered = self.module.register_subscription(
            M::NAME,
            notification,
            unsubscribe,
            move |params, pending, core, extensions| {
                let opener = opener.clone();
                let params = params.into_owned();
                async move { serve_socket(M::NAME, opener, params, pending, core, extensions).await }
            },
        );
        let registered = registered.map(|_| ()).map_err(|error| error.to_string());
        self.note::<M>(registered)
    }

    fn note<M: RpcMethod>(&mut self, registered: Result<(), String>) -> &mut Self {
        match registered {
            Ok(()) => self.infos.push(MethodInfo::of::<M>()),
            Err(error) => self.problem = Some(format!("{}: {error}", M::NAME)),
        }
        self
    }

    /// The methods, if each could be registered.
    pub(crate) fn finish(self) -> Result<Registered, String> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        Ok(Registered {
            methods: self.module.into(),
            openers: Arc::new(self.openers),
            infos: Arc::new(self.infos.into_iter().map(|info| (info.name, info)).collect()),
        })
    }
}

/// Sends a feed to a subscriber on a socket, each event when the socket has room for it.
async fn serve_socket(
    method: &'static str,
    opener: Opener,
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    core: Arc<Core>,
    extensions: Extensions,
) -> SubscriptionCloseResponse {
    let call = match call_of(&extensions) {
        Ok(call) => call,
        Err(error) => {
            pending.reject(error).await;
            return SubscriptionCloseResponse::None;
        }
    };
    let mut feed = match opener(Cx { core, call: call.clone() }, params).await {
        Ok(feed) => feed,
        Err(error) => {
            pending.reject(call.refuse(method, error)).await;
            return SubscriptionCloseResponse::None;
        }
    };
    // The socket is gone: nobody to tell.
    let Ok(sink) = pending.accept().await else { return SubscriptionCloseResponse::None };
    if let Some(facts) = call.requested_meta() {
        // A gateway needs them for the head of its answer, and the first event may be long in coming.
        let since = feed.begins_after().map_or_else(String::new, |since| format!(r#","begins_after":"{since}""#));
        let greeting = format!(r#"{{"{META}":{facts},"seq":0,"event":null{since}}}"#);
        let Ok(greeting) = RawValue::from_string(greeting) else { return SubscriptionCloseResponse::None };
        if sink.send(greeting).await.is_err() {
            return SubscriptionCloseResponse::None;
        }
    }
    let gauge = metrics::gauge!("threadline_streams", "transport" => "websocket");
    gauge.increment(1);
    loop {
        let frame = tokio::select! {
            frame = feed.next() => frame,
            () = sink.closed() => None,
        };
        let Some(frame) = frame else { break };
        let Ok(json) = RawValue::from_string(feed.notification(&frame)) else { break };
        if sink.send(json).await.is_err() {
            break;
        }
    }
    gauge.decrement(1);
    // The last event says that nothing more comes. Where something might have, the end of the subscription is announced
    // as one: a gateway would otherwise wait for more.
    match feed.broke_off().map(|error| to_raw_value(error.public().message.as_str())) {
        Some(Ok(words)) => SubscriptionCloseResponse::NotifErr(words.into()),
        _ => SubscriptionCloseResponse::None,
    }
}

/// The call the pipeline put there. There is no other way in, so its absence is a fault of ours.
fn call_of(extensions: &Extensions) -> Result<Arc<Call>, jsonrpsee::types::ErrorObjectOwned> {
    extensions.get::<Arc<Call>>().cloned().ok_or_else(|| {
        tracing::error!("a call did not pass the pipeline");
        jsonrpsee::types::ErrorCode::InternalError.into()
    })
}

/// Reads by-name params.
pub(crate) fn read_params<P: DeserializeOwned>(params: &Params<'_>) -> Result<P, Error> {
    let text = match params.as_str().map(str::trim) {
        None | Some("" | "null") => "{}",
        Some(text) if text.starts_with('[') => {
            return Err(Error::invalid("Params go by name: send an object, not an array."));
        }
        Some(text) => text,
    };
    serde_json::from_str(text).or_else(|_| {
        // Once more, now with the path to what is wrong: errors may be slow.
        let mut reader = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let what = error.inner().to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            if path == "." {
                Error::invalid(format!("Params: {what}."))
            } else {
                Error::invalid(format!("`{path}`: {what}."))
            }
        })
    })
}
