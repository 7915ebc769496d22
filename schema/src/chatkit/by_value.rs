//! Deserialises large types in one piece of code, for all formats and crates.

/// Implements `Deserialize` and `Serialize` of a type with `#[serde(remote = "Self")]`.
///
/// serde's derive makes code for each format, error type and crate that reads the type. For a type with tens of
/// variants that is much code. Here everything is read into a [`serde_json::Value`] first, so the large part is
/// compiled once. A type with a tag is read into such a value in any case.
macro_rules! by_value {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[inline(never)]
                fn read(value: serde_json::Value) -> Result<$type, serde_json::Error> {
                    <$type>::deserialize(value)
                }
                let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
                read(value).map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$type>::serialize(self, serializer)
            }
        }
    };
}

pub(super) use by_value;
