//! Columns of text with a narrower type in Rust: enums by name, and a list of strings.

use crate::chatkit::FeedbackKind;
use crate::items::ItemKind;
use crate::runs::{FinishReason, RunStatus};
use crate::tasks::Priority;
use crate::threads::ThreadState;
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use std::io::Write;

/// A list of strings, stored as a JSON array.
#[derive(Debug, Clone, Default, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct TextList(pub Vec<String>);

impl ToSql<Text, Pg> for TextList {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&serde_json::to_vec(&self.0)?)?;
        Ok(IsNull::No)
    }
}

impl ToSql<Text, Sqlite> for TextList {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}

impl<DB: Backend> FromSql<Text, DB> for TextList
where
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_str(&String::from_sql(value)?)?))
    }
}

/// Stores an enum by its name.
macro_rules! stored_by_name {
    ($type:ty, $description:literal) => {
        impl<DB: Backend> ToSql<Text, DB> for $type
        where
            str: ToSql<Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                ToSql::<Text, DB>::to_sql(self.name(), out)
            }
        }

        impl<DB: Backend> FromSql<Text, DB> for $type
        where
            String: FromSql<Text, DB>,
        {
            fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
                let name = String::from_sql(value)?;
                Self::from_name(&name).ok_or_else(|| format!(concat!("{:?} is no ", $description), name).into())
            }
        }
    };
}

stored_by_name!(RunStatus, "status of a run");
stored_by_name!(FinishReason, "finish reason of a run");
stored_by_name!(Priority, "priority of a task");
stored_by_name!(FeedbackKind, "kind of feedback");
stored_by_name!(ItemKind, "kind of an item");
stored_by_name!(ThreadState, "state of a thread");
