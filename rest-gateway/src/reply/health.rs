//! The form of `/health`.

use super::{Form, Reply};
use schemars::{Schema, SchemaGenerator};
use serde_json::value::RawValue;
use threadline_schema::system::Health;

/// Health as it is; what works in part answers 200.
#[derive(Debug, Clone, Copy)]
pub struct AnyHealth;

impl Reply<Health> for AnyHealth {
    const FORM: Form = Form::Health { tolerant: true };

    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Health>()
    }

    fn write(result: &RawValue, _named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.extend_from_slice(result.get().as_bytes());
        Ok(())
    }
}

/// Health as it is; anything but well answers 503. For a part asked for by itself, where a degraded whole would hide
/// that the part is down.
#[derive(Debug, Clone, Copy)]
pub struct StrictHealth;

impl Reply<Health> for StrictHealth {
    const FORM: Form = Form::Health { tolerant: false };

    fn data(generator: &mut SchemaGenerator) -> Schema {
        AnyHealth::data(generator)
    }

    fn write(result: &RawValue, named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        AnyHealth::write(result, named, out)
    }
}
