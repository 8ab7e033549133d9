//! Octets in JSON: text where they are UTF-8, base64 where not; never lossy.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Octets as they were on the wire or in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Octets(pub Bytes);

impl<T: Into<Bytes>> From<T> for Octets {
    fn from(octets: T) -> Self {
        Self(octets.into())
    }
}

impl std::ops::Deref for Octets {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form<'a> {
    Text(Cow<'a, str>),
    Binary { base64: Cow<'a, str> },
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => Form::Text(Cow::Borrowed(text)),
            Err(_) => Form::Binary {
                base64: Cow::Owned(STANDARD.encode(&self.0)),
            },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(Bytes::from(text.into_owned()))),
            Form::Binary { base64 } => STANDARD
                .decode(base64.as_bytes())
                .map(|octets| Self(octets.into()))
                .map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for Octets {
    fn schema_name() -> Cow<'static, str> {
        "Octets".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Octets: a string where they are UTF-8, else base64.",
            "oneOf": [
                { "type": "string" },
                { "type": "object", "properties": { "base64": { "type": "string" } }, "required": ["base64"], "additionalProperties": false }
            ]
        })
    }
}
