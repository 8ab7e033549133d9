//! Records that older versions wrote, brought up to today's format one step after the other.

use serde_json::{Map, Value, json};

use super::Error;
use crate::record::{FORMAT, RunRecord};

/// Reads a record of an older format.
pub(super) fn read(text: &str, found: u64, tool: String) -> Result<RunRecord, Error> {
    let mut record: Map<String, Value> = serde_json::from_str(text).map_err(Error::NotARecord)?;
    for format in found..u64::from(FORMAT) {
        match format {
            1 => second(&mut record),
            _ => return Err(Error::Older { found, tool }),
        }
    }
    record.insert("format".to_owned(), FORMAT.into());
    serde_json::from_value(Value::Object(record)).map_err(Error::Damaged)
}

/// Format 2 tells what was planned, and every waiver with its state; format 1 had the stale ones only, in words.
fn second(record: &mut Map<String, Value>) {
    let cases = record
        .get("cases")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    record.insert(
        "plan".to_owned(),
        json!({
            "suite": "", "catalogue": "", "selection": [], "cases": cases, "ids": "",
            "time_budget_ms": 0, "seed": null, "shard": null,
        }),
    );
    let stale = record.remove("stale_waivers");
    let stale = stale
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let waivers = stale.filter_map(Value::as_str).map(|line| {
        // `PG-12: the reason (https://…, until 2026-06-30)`
        let (subject, rest) = line.split_once(": ").unwrap_or(("", line));
        let (reason, rest) = rest.rsplit_once(" (").unwrap_or((rest, ""));
        let (issue, until) = rest
            .trim_end_matches(')')
            .rsplit_once(", until ")
            .unwrap_or((rest, ""));
        json!({
            "requirement": null, "case": subject, "reason": reason, "issue": issue, "until": until,
            "source": { "file": "", "line": 0, "column": 0 },
            "state": "stale", "why": null, "fits": 0, "scope": [],
        })
    });
    let waivers: Vec<Value> = waivers.collect();
    record.insert("waivers".to_owned(), waivers.into());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_stale_waiver_of_format_1_is_one_today() {
        let mut old = Map::new();
        let line =
            "PG-12: the gateway was replaced (https://example.org/issues/7, until 2026-06-30)";
        old.insert("stale_waivers".to_owned(), json!([line]));
        second(&mut old);
        let waivers = old.remove("waivers").unwrap();
        let waivers: Vec<crate::record::WaiverRecord> = serde_json::from_value(waivers).unwrap();
        assert_eq!(waivers[0].describe(), line);
        assert!(waivers[0].is_stale());
    }
}
