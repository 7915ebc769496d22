//! A query of diesel as text and bytes, ready to be sent.

use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{QueryBuilder, QueryFragment};
use diesel::result::{Error, QueryResult};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A statement with the values of its parameters.
pub(super) struct PgStatement {
    pub(super) sql: String,
    pub(super) parameters: Vec<(Parameter, Type)>,
    /// Whether the text is the same each time: otherwise preparing it by name is of no use.
    pub(super) is_fixed: bool,
}

/// The value of a parameter in PostgreSQL's binary form; `None` is NULL.
#[derive(Debug)]
pub(super) struct Parameter(Option<Vec<u8>>);

impl PgStatement {
    /// # Errors
    /// When a value cannot be serialised, or has a type that is not PostgreSQL's own.
    pub(super) fn new(query: &impl QueryFragment<Pg>) -> QueryResult<Self> {
        let mut builder = PgQueryBuilder::default();
        query.to_sql(&mut builder, &Pg)?;
        let mut collected = RawBytesBindCollector::<Pg>::new();
        query.collect_binds(&mut collected, &mut NoTypesOfOurOwn, &Pg)?;
        let types = collected.metadata.iter().map(|metadata| {
            let oid = metadata.oid().map_err(|error| Error::SerializationError(Box::new(error)))?;
            Type::from_oid(oid).ok_or_else(|| Error::SerializationError(format!("no type has the oid {oid}").into()))
        });
        let types = types.collect::<QueryResult<Vec<_>>>()?;
        Ok(Self {
            sql: builder.finish(),
            parameters: collected.binds.into_iter().map(Parameter).zip(types).collect(),
            is_fixed: query.is_safe_to_cache_prepared(&Pg)?,
        })
    }

    pub(super) fn types(&self) -> Vec<Type> {
        self.parameters.iter().map(|(_, r#type)| r#type.clone()).collect()
    }
}

/// The tables have types of PostgreSQL's own only, whose numbers are known.
struct NoTypesOfOurOwn;

impl PgMetadataLookup for NoTypesOfOurOwn {
    fn lookup_type(&mut self, _: &str, _: Option<&str>) -> PgTypeMetadata {
        // No type has this number: the statement is refused before it is sent.
        PgTypeMetadata::new(u32::MAX, u32::MAX)
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match &self.0 {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
