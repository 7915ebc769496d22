//! The contract of one RPC method, as a type.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

/// One JSON-RPC method: its wire name, params, result and documentation.
///
/// Marker types implement it, through [`methods!`](crate::methods). The core registers the marker, the gateway's rules
/// refer to it, and the OpenRPC and OpenAPI documents are generated from it.
pub trait RpcMethod: 'static {
    /// The wire name, such as `threads.create`.
    const NAME: &'static str;
    /// The doc comment of the marker type. It becomes summary and description in both API documents.
    const DOC: &'static str;
    /// Who may call it.
    const ACCESS: Access;
    /// Whether it returns one result or a stream.
    const KIND: Kind;
    /// Params, by name: a JSON object.
    type Params: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// Result of a call; for a subscription, the payload of each notification.
    type Result: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone. Calls are limited per client address.
    Public,
    /// Users, with a valid token. Calls are limited per user.
    User,
    /// Holders of a capability, which is the param `token`; without it, users with a valid token. Calls are limited per
    /// user.
    Signed,
    /// Users with the role [`ADMIN`](crate::admin::ADMIN). Calls are limited per user.
    Admin,
    /// Everyone, without a limit: for load balancers.
    Probe,
}

/// Whether a method returns one result or a stream.
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

/// [`RpcMethod`] as data, for tables of methods: the registry, the rules, the documents.
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
    /// Schema of the result; a reference if the type has a name.
    pub result: fn(&mut SchemaGenerator) -> Schema,
}

impl MethodInfo {
    /// Returns the data of `M`.
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

    /// Returns the first line of the doc, for lists.
    pub fn summary(&self) -> &'static str {
        let line = self.doc.trim_start().lines().next().unwrap_or_default().trim();
        line.strip_suffix('.').unwrap_or(line)
    }

    /// Returns the doc without the leading blanks of `///`.
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
/// A subscription adds `as "notification" until "unsubscribe"` after its access. The macro also declares the constant
/// `METHODS`, the list of its methods.
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

/// Returns all methods, by namespace.
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
        crate::admin::METHODS,
        crate::system::METHODS,
    ]
    .into_iter()
    .flatten()
}

/// Returns the method with this name.
pub fn find(name: &str) -> Option<&'static MethodInfo> {
    all().find(|method| method.name == name)
}
