//! Ids with types: a function that takes a [`ThreadId`] cannot be given a [`UserId`].
//!
//! Each is a UUID, on the wire, in the schemas and in the database alike. The clock of the store makes the ids that
//! rows are sorted by.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// An id of some kind of thing.
pub trait Id: Copy + Ord + std::hash::Hash + fmt::Debug + fmt::Display + FromStr<Err = uuid::Error> {
    /// Returns the id with this UUID.
    fn from_uuid(uuid: Uuid) -> Self;
}

macro_rules! ids {
    ($( $(#[$meta:meta])* $name:ident )+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
            #[cfg_attr(
                feature = "db",
                derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow),
                diesel(sql_type = crate::db::types::sql::Id)
            )]
            #[serde(transparent)]
            pub struct $name(Uuid);

            impl Id for $name {
                fn from_uuid(uuid: Uuid) -> Self {
                    Self(uuid)
                }
            }

            impl $name {
                /// Returns the id with this UUID. For a database, a wire format or a generator of ids; other code gets
                /// its ids from those.
                pub const fn from_uuid(uuid: Uuid) -> Self {
                    Self(uuid)
                }

                /// Returns an id that no row has: all its bits are 0.
                pub const fn nil() -> Self {
                    Self(Uuid::nil())
                }

                /// Makes an id of random bits (UUIDv4). Its order means nothing.
                pub fn random() -> Self {
                    Self(Uuid::new_v4())
                }

                /// Returns the UUID.
                pub const fn as_uuid(&self) -> &Uuid {
                    &self.0
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!(stringify!($name), "({})"), self.0)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(&self.0, f)
                }
            }

            impl FromStr for $name {
                type Err = uuid::Error;

                fn from_str(text: &str) -> Result<Self, Self::Err> {
                    text.parse().map(Self)
                }
            }

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    Uuid::inline_schema()
                }

                fn schema_name() -> Cow<'static, str> {
                    Uuid::schema_name()
                }

                fn schema_id() -> Cow<'static, str> {
                    Uuid::schema_id()
                }

                fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                    Uuid::json_schema(generator)
                }
            }

            #[cfg(feature = "db")]
            crate::db::types::id_column!($name);
        )+
    };
}

ids! {
    /// Id of a user.
    UserId
    /// Id of a thread.
    ThreadId
    /// Id of an item.
    ItemId
    /// Id of a run.
    RunId
    /// Id of a task of a to-do list.
    TaskId
    /// Id of an attachment.
    AttachmentId
    /// Id of one upload of an attachment's bytes. A new upload supersedes the one before it.
    UploadId
    /// Id of an invitation.
    InvitationId
    /// Id of a service key.
    ServiceKeyId
    /// Id of a client token.
    ClientTokenId
    /// Id of an entry of the audit log.
    AuditId
    /// Id of the record of a change of access.
    AccessChangeId
    /// Id of what has access: a user, a service key or a client token.
    AccessSubjectId
    /// Id of a process: the owner of the runs that it executes. Each start of the service makes a new one.
    ProcessId
    /// Id of what work holds of budgets.
    HoldId
    /// Id of a job that writes the summary of a thread.
    SummaryJobId
}

impl From<UserId> for AccessSubjectId {
    fn from(id: UserId) -> Self {
        Self(id.0)
    }
}

impl From<RunId> for HoldId {
    fn from(id: RunId) -> Self {
        Self(id.0)
    }
}

impl From<ServiceKeyId> for AccessSubjectId {
    fn from(id: ServiceKeyId) -> Self {
        Self(id.0)
    }
}

impl From<ClientTokenId> for AccessSubjectId {
    fn from(id: ClientTokenId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_looks_like_its_uuid() {
        let uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        let id = ThreadId::from_uuid(uuid);
        assert_eq!(serde_json::to_value(id).unwrap(), serde_json::to_value(uuid).unwrap());
        assert_eq!(serde_json::from_value::<ThreadId>(serde_json::to_value(uuid).unwrap()).unwrap(), id);
        assert_eq!(id.to_string(), uuid.to_string());
        assert_eq!(uuid.to_string().parse::<ThreadId>().unwrap(), id);
        assert_eq!(schemars::schema_for!(Vec<ThreadId>), schemars::schema_for!(Vec<Uuid>));
    }
}
