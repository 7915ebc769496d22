//! Rows of tokio-postgres as diesel reads them.

use diesel::pg::{Pg, PgValue, TypeOidLookup};
use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};
use std::error::Error;
use std::num::NonZeroU32;
use std::ops::Range;
use tokio_postgres::types::{FromSql, Type};

/// A row of a result.
pub(crate) struct PgRow(pub(super) tokio_postgres::Row);

/// A column of a row.
pub(crate) struct PgField<'a> {
    row: &'a tokio_postgres::Row,
    index: usize,
    oid: Oid,
}

/// The type of a column.
struct Oid(NonZeroU32);

/// The bytes of a value, whatever its type.
struct Bytes<'a>(&'a [u8]);

impl RowSealed for PgRow {}

impl<'a> Row<'a, Pg> for PgRow {
    type Field<'b>
        = PgField<'b>
    where
        'a: 'b,
        Self: 'b;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        self.0.len()
    }

    fn get<'b, I>(&'b self, index: I) -> Option<Self::Field<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        let oid = NonZeroU32::new(self.0.columns().get(index)?.type_().oid())?;
        Some(PgField { row: &self.0, index, oid: Oid(oid) })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self::InnerPartialRow> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for PgRow {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.0.len()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for PgRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        self.0.columns().iter().position(|column| column.name() == name)
    }
}

impl<'a> Field<'a, Pg> for PgField<'a> {
    fn field_name(&self) -> Option<&str> {
        self.row.columns().get(self.index).map(tokio_postgres::Column::name)
    }

    fn value(&self) -> Option<PgValue<'_>> {
        let bytes = self.row.try_get::<_, Option<Bytes<'_>>>(self.index).ok()??;
        Some(PgValue::new(bytes.0, &self.oid))
    }
}

impl TypeOidLookup for Oid {
    fn lookup(&self) -> NonZeroU32 {
        self.0
    }
}

impl<'a> FromSql<'a> for Bytes<'a> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(bytes))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
