//! Health checks. Their body has no envelope.

use super::{Envelope, ResponseData};
use schemars::{Schema, SchemaGenerator};
use serde_json::value::RawValue;
use threadline_schema::system::Health;

/// The health of the service or of a component. `degraded` is 200.
#[derive(Debug, Clone, Copy)]
pub struct LenientHealth;

impl ResponseData<Health> for LenientHealth {
    const ENVELOPE: Envelope = Envelope::Health { degraded_is_ok: true };

    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Health>()
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.extend_from_slice(result.get().as_bytes());
        Ok(())
    }
}

/// The health of one component. `degraded` is 503: the service is degraded when the component is down.
#[derive(Debug, Clone, Copy)]
pub struct StrictHealth;

impl ResponseData<Health> for StrictHealth {
    const ENVELOPE: Envelope = Envelope::Health { degraded_is_ok: false };

    fn data(generator: &mut SchemaGenerator) -> Schema {
        LenientHealth::data(generator)
    }

    fn write(result: &RawValue, path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        LenientHealth::write(result, path_id, out)
    }
}
