//! The contract of one RPC method, as a type.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

/// One JSON-RPC method: its wire name, what it takes, what it gives, and what it is for.
///
/// A marker type implements it once, through [`methods!`](crate::methods). The core registers the marker, the
/// gateway's rules name it, and OpenRPC and OpenAPI are generated from it.
pub trait RpcMethod: 'static {
    /// The wire name, such as `threads.create`.
    const NAME: &'static str;
    /// The doc comment of the marker type; becomes the summary and description in both API documents.
    const DOC: &'static str;
    /// Who may call it.
    const ACCESS: Access;
    /// Whether it answers once or starts a stream.
    const KIND: Kind;
    /// Params, always by name: a JSON object.
    type Params: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// What a call answers; for a subscription, what each notification carries.
    type Result: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody; calls are limited per client address.
    Public,
    /// Holders of a valid token; calls are limited per user.
    User,
    /// Holders of something the service has signed for one thing and one purpose, which is then among the params as
    /// `token`, and without it holders of a valid token; calls are limited per user.
    Signed,
    /// Anybody, and not counted against a limit: what load balancers ask.
    Probe,
}

/// Whether a method answers once or starts a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One request, one response.
    Command,
    /// A subscription: notifications under another name until the peer unsubscribes.
    Subscription {
        /// Method name in each notification.
        notification: &'static str,
        /// Method that ends the subscription.
        unsubscribe: &'static str,
    },
}

/// [`RpcMethod`] as data, for whoever holds many methods at once: a table, a registry, a document.
#[derive(Clone, Copy)]
pub struct MethodInfo {
    /// See [`RpcMethod::NAME`].
    pub name: &'static str,
    /// See [`RpcMethod::DOC`].
    pub doc: &'static str,
    /// See [`RpcMethod::ACCESS`].
    pub access: Access,
    /// See [`RpcMethod::KIND`].
    pub kind: Kind,
    /// Schema of the params, inlined: its `properties` are the method's arguments.
    pub params: fn(&mut SchemaGenerator) -> Schema,
    /// Schema of the result, as a reference where the type has a name.
    pub result: fn(&mut SchemaGenerator) -> Schema,
}

impl MethodInfo {
    /// The facts of `M`.
    pub const fn of<M: RpcMethod>() -> Self {
        Self {
            name: M::NAME,
            doc: M::DOC,
            access: M::ACCESS,
            kind: M::KIND,
            params: |generator| M::Params::json_schema(generator),
            result: |generator| generator.subschema_for::<M::Result>(),
        }
    }

    /// The first sentence or line of the doc: one line for a list.
    pub fn summary(&self) -> &'static str {
        let line = self.doc.trim_start().lines().next().unwrap_or_default().trim();
        line.strip_suffix('.').unwrap_or(line)
    }

    /// The doc as a paragraph, without the leading blanks of `///`.
    pub fn description(&self) -> String {
        self.doc
            .lines()
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n")
            .trim()
            .to_owned()
    }
}

impl std::fmt::Debug for MethodInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MethodInfo").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Declares marker types: `/// doc`, then `Marker = "wire.name" (access): Params => Result;`.
///
/// A subscription adds `as "notification" until "unsubscribe"` after its access. The macro also makes a constant
/// `METHODS`, the list of everything declared in it.
#[macro_export]
macro_rules! methods {
    ($(
        $(#[doc = $doc:literal])+
        $marker:ident = $name:literal ($access:ident) $(as $note:literal until $end:literal)? : $params:ty => $result:ty;
    )+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Clone, Copy)]
            pub struct $marker;

            impl $crate::rpc::RpcMethod for $marker {
                const NAME: &'static str = $name;
                const DOC: &'static str = concat!($($doc, "\n"),+);
                const ACCESS: $crate::rpc::Access = $crate::rpc::Access::$access;
                const KIND: $crate::rpc::Kind = $crate::methods!(@kind $($note $end)?);
                type Params = $params;
                type Result = $result;
            }
        )+

        /// Every method of this namespace.
        pub const METHODS: &[$crate::rpc::MethodInfo] = &[$($crate::rpc::MethodInfo::of::<$marker>()),+];
    };
    (@kind) => { $crate::rpc::Kind::Command };
    (@kind $note:literal $end:literal) => {
        $crate::rpc::Kind::Subscription { notification: $note, unsubscribe: $end }
    };
}

/// Every method there is, namespace by namespace.
pub fn all() -> impl Iterator<Item = &'static MethodInfo> {
    [
        crate::auth::METHODS,
        crate::threads::METHODS,
        crate::items::METHODS,
        crate::runs::METHODS,
        crate::tasks::METHODS,
        crate::usage::METHODS,
        crate::attachments::METHODS,
        crate::input::METHODS,
        crate::system::METHODS,
    ]
    .into_iter()
    .flatten()
}

/// The facts of the method called `name`, if there is one.
pub fn find(name: &str) -> Option<&'static MethodInfo> {
    all().find(|method| method.name == name)
}
