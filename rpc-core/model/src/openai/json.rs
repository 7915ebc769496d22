//! Tolerant readers of JSON values, on top of serde.
//!
//! A value that is valid JSON never fails a reader: one of another type than expected is read as what it unambiguously
//! means, or counted as not understood. Text is read as bytes, because JSON can escape halves of surrogate pairs, which
//! are not UTF-8 (RFC 8259, section 8.2); [`super::clean_text`] joins them.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Text of a JSON string as bytes. Borrowed if it has no escape sequence.
#[derive(Default)]
pub(super) struct RawText<'a>(pub(super) Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for RawText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;

        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = RawText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(RawText(Cow::Borrowed(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(RawText(Cow::Owned(bytes.to_vec())))
            }
        }

        deserializer.deserialize_bytes(BytesVisitor)
    }
}

/// How a value that came later under the same name replaces an earlier one: `null` does not.
pub(super) trait Merge {
    fn merge(&mut self, later: Self);
}

impl<T> Merge for Option<T> {
    fn merge(&mut self, later: Self) {
        if later.is_some() {
            *self = later;
        }
    }
}

/// Declares a wire type. Unknown names are skipped, or kept in the field behind `..`. Of a name that occurs twice the
/// last value that is not `null` counts, a list stands for its first element, and a value of any other type for an
/// empty object.
macro_rules! wire_object {
    (@unknown $object:ident, $key:ident, $map:ident) => {{
        $map.next_value::<serde::de::IgnoredAny>()?;
    }};
    (@unknown $object:ident, $key:ident, $map:ident, $unknown:ident) => {{
        let value: &serde_json::value::RawValue = $map.next_value()?;
        // Every call has `type`, which says nothing.
        if *$key.0 != *b"type" && value.get() != "null" {
            $object.$unknown.push((String::from_utf8_lossy(&$key.0).into_owned(), value));
        }
    }};
    ($(#[$doc:meta])* $name:ident {
        $( $(#[$field_doc:meta])* $field:ident: $type:ty = $key:literal, )* $(..$unknown:ident)?
    }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name<'a> {
            $( $(#[$field_doc])* pub(super) $field: $type, )*
            $(
                /// Members with other names.
                pub(super) $unknown: Vec<(String, &'a serde_json::value::RawValue)>,
            )?
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor;

                impl<'de> serde::de::Visitor<'de> for ObjectVisitor {
                    type Value = $name<'de>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<$crate::openai::json::RawText<'de>>()? {
                            match &*key.0 {
                                $( $key => $crate::openai::json::Merge::merge(&mut object.$field, map.next_value()?), )*
                                _ => $crate::openai::json::wire_object!(@unknown object, key, map $(, $unknown)?),
                            }
                        }
                        Ok(object)
                    }

                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                        let first = list.next_element()?;
                        while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                        Ok(first.unwrap_or_default())
                    }

                    fn visit_unit<E>(self) -> Result<Self::Value, E> {
                        Ok($name::default())
                    }

                    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                        Ok($name::default())
                    }

                    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                        Ok($name::default())
                    }

                    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                        Ok($name::default())
                    }

                    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                        Ok($name::default())
                    }

                    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                        Ok($name::default())
                    }
                }

                deserializer.deserialize_any(ObjectVisitor)
            }
        }
    };
}
pub(super) use wire_object;

/// Returns values of an object by their names, or `None` if it is not an object.
pub(super) fn fields<'a, const N: usize>(object: &'a RawValue, names: [&str; N]) -> Option<[Option<&'a RawValue>; N]> {
    struct FieldsVisitor<'n, const N: usize>([&'n str; N]);

    impl<'de, const N: usize> Visitor<'de> for FieldsVisitor<'_, N> {
        type Value = [Option<&'de RawValue>; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut values = [None; N];
            while let Some(key) = map.next_key::<RawText<'de>>()? {
                let slot = self.0.iter().zip(&mut values).find(|(name, _)| name.as_bytes() == &*key.0);
                match slot {
                    Some((_, slot)) => slot.merge(map.next_value()?),
                    None => {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
            Ok(values)
        }
    }

    serde_json::Deserializer::from_str(object.get()).deserialize_map(FieldsVisitor(names)).ok()
}

/// Returns the elements of a list. Any other value but `null` is a list of one.
pub(super) fn elements(list: &RawValue) -> Vec<&RawValue> {
    match list.get().as_bytes().first() {
        Some(b'[') => serde_json::from_str(list.get()).unwrap_or_default(),
        Some(b'n') => Vec::new(),
        _ => vec![list],
    }
}

/// Returns the text of a string, and of a number or a boolean as they are written. `None` for all else.
pub(super) fn scalar(value: &RawValue) -> Option<Cow<'_, [u8]>> {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'"') => {
            // Most strings have no escape sequence.
            let inner = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
            if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
                return Some(Cow::Borrowed(inner.as_bytes()));
            }
            serde_json::from_str::<RawText<'_>>(json).ok().map(|text| text.0)
        }
        Some(b'0'..=b'9' | b'-' | b't' | b'f') => Some(Cow::Borrowed(json.as_bytes())),
        _ => None,
    }
}

/// Returns the text of a scalar that is a name or a code: not empty, without blanks around it.
pub(super) fn word(value: &RawValue) -> Option<String> {
    let text = scalar(value)?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim().replace('\0', "\u{fffd}");
    (!text.is_empty()).then_some(text)
}

/// Returns a count: a number, also with a fraction or as text. Saturates. `None` if it is negative or no number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and drops the fraction"
)]
pub(super) fn count(value: &RawValue) -> Option<u64> {
    let text = word(value)?;
    if let Ok(count) = text.parse::<u64>() {
        return Some(count);
    }
    let number = text.parse::<f64>().ok().filter(|number| !number.is_nan() && *number >= 0.0)?;
    Some(number as u64)
}

/// Returns whether a value says nothing: `null`, `false`, `0`, `""`, `[]`, `{}`.
pub(super) fn is_blank(value: &RawValue) -> bool {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'[' | b'{') => json.bytes().skip(1).all(|byte| byte.is_ascii_whitespace() || matches!(byte, b']' | b'}')),
        Some(b'"') => json.trim_matches('"').trim().is_empty(),
        _ => matches!(json, "null" | "false" | "0"),
    }
}

/// Returns JSON text in which what serializers of other languages write is valid: control characters inside strings are
/// escaped, halves of surrogate pairs are U+FFFD, and `NaN` and `Infinity` are `null`. `None` if nothing had to be
/// changed.
pub fn repair(json: &str) -> Option<String> {
    let mut out = String::with_capacity(json.len() + 16);
    let mut rest = json;
    let mut is_in_string = false;
    let mut has_changed = false;
    while let Some(char) = rest.chars().next() {
        let mut length = char.len_utf8();
        match char {
            '"' => {
                is_in_string = !is_in_string;
                out.push(char);
            }
            '\\' if is_in_string => {
                let (escape, is_changed) = escape(rest);
                length = escape.len();
                has_changed |= is_changed;
                out.push_str(if is_changed { "\\ufffd" } else { escape });
            }
            '\0'..='\u{1f}' if is_in_string => {
                has_changed = true;
                out.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            'N' | 'I' | '-' if !is_in_string => {
                match ["NaN", "Infinity", "-Infinity", "-NaN"].iter().find(|word| rest.starts_with(**word)) {
                    Some(word) => {
                        has_changed = true;
                        length = word.len();
                        out.push_str("null");
                    }
                    None => out.push(char),
                }
            }
            _ => out.push(char),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    has_changed.then_some(out)
}

/// Returns the escape sequence, or pair of them, at the start of `text`, and whether it is half of a surrogate pair.
fn escape(text: &str) -> (&str, bool) {
    let unit = |at: usize| u16::from_str_radix(text.get(at..at + 6)?.strip_prefix("\\u")?, 16).ok();
    let end = match (unit(0), unit(6)) {
        (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => return (text.get(..12).unwrap_or_default(), false),
        (Some(0xd800..=0xdfff), _) => return (text.get(..6).unwrap_or_default(), true),
        _ => text.char_indices().nth(2).map_or(text.len(), |(at, _)| at),
    };
    (text.get(..end).unwrap_or_default(), false)
}
