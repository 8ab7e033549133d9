//! Instants of the two clocks.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant, written as RFC 3339 in UTC with microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub unix_us: i64,
}

impl UtcTime {
    /// Real time, now.
    pub fn now() -> Self {
        Self {
            unix_us: Timestamp::now().as_microsecond(),
        }
    }

    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse::<Timestamp>()
            .map(|t| Self {
                unix_us: t.as_microsecond(),
            })
            .map_err(|e| e.to_string())
    }

    /// This much later (or earlier, when negative); saturates.
    #[must_use]
    pub fn plus_us(self, us: i64) -> Self {
        Self {
            unix_us: self.unix_us.saturating_add(us),
        }
    }
}

impl UtcTime {
    /// To the second, for a reader: `2026-03-01 09:00:00 UTC`.
    pub fn to_seconds(self) -> String {
        self.for_reader(0)
    }

    /// To the millisecond, for a reader: `2026-03-01 09:00:00.007 UTC`.
    pub fn to_millis(self) -> String {
        self.for_reader(3)
    }

    fn for_reader(self, digits: usize) -> String {
        match Timestamp::from_microsecond(self.unix_us) {
            Ok(instant) => {
                let text = format!("{instant:.digits$}");
                format!("{} UTC", text.trim_end_matches('Z').replacen('T', " ", 1))
            }
            Err(_) => self.to_string(),
        }
    }
}

impl std::fmt::Display for UtcTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Timestamp::from_microsecond(self.unix_us) {
            Ok(instant) => write!(f, "{instant:.6}"),
            Err(_) => write!(f, "{} µs after 1970", self.unix_us),
        }
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for UtcTime {
    fn schema_name() -> Cow<'static, str> {
        "UtcTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// An instant of the SUT's store clock, as far as the harness knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreTime {
    /// Best estimate.
    pub at: UtcTime,
    /// The true value lies within this many milliseconds either side.
    pub uncertainty_ms: u32,
}
