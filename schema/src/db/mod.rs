//! Tables and column types: one hand-written schema that means the same on PostgreSQL and SQLite.

#[allow(missing_docs, reason = "`table!` makes a struct per column; the columns that need words have them")]
pub mod tables;
pub mod text;
pub mod types;
