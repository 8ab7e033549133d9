//! What was planned, and which part of it a record holds: enough to tell whether records belong together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::UtcTime;

/// The plan of a run, before it was split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanRecord {
    /// Fingerprint of the scenarios: two runs with the same one had the same suite.
    pub suite: String,
    /// Fingerprint of the requirements and rules that they are judged by.
    pub catalogue: String,
    /// What was asked for: ids, globs, requirements, PICS values as `key=value`, sorted. Empty is everything.
    pub selection: Vec<String>,
    /// How many cases were planned, those that are not run included.
    pub cases: u32,
    /// Fingerprint of their ids.
    pub ids: String,
    /// Longest wait of a case where time cannot be moved, in milliseconds.
    pub time_budget_ms: u64,
    /// Seed of random texts and user names; of shards that were joined, where all had the same.
    pub seed: Option<u64>,
    /// The part of the cases that this record holds; absent when it holds all.
    pub shard: Option<Shard>,
    /// The shards of which this record was joined, in their order.
    #[serde(default)]
    pub joined: Vec<Joined>,
}

/// One of several parts of a plan, `2/5`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Shard {
    /// Which one, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// A shard that became a part of this record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Joined {
    /// Which one.
    pub shard: Shard,
    /// How many cases it brought.
    pub cases: u32,
    /// Its seed.
    pub seed: Option<u64>,
    /// When it began.
    pub started: UtcTime,
    /// How long it took, in microseconds of real time.
    pub duration_us: u64,
}
