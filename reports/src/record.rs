//! The run record: what `run.json` holds, one type a subject.

pub mod octets;
pub mod plan;
pub mod protocol;
pub mod stored;
pub mod time;
pub mod trace;
pub mod verdict;
pub mod waiver;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use octets::Octets;
pub use plan::{Joined, PlanRecord, Shard};
pub use protocol::{ProtocolFinding, ProtocolPlace, ProtocolWeight};
pub use stored::{
    BodyDigest, Expire, Field, FurtherMessage, Mode, State, StoredHeader, StoredMessage, StoredPart,
};
pub use time::{StoreTime, UtcTime};
pub use trace::{
    ConnectionChange, Direction, Elided, Event, EventKind, Outcome, Packet, Protocol, StoreResult,
    Trace, Transfer,
};
pub use verdict::{Basis, FindingKind, Level, Observation, Verdict};
pub use waiver::{WaiverRecord, WaiverState};

/// Version of the record's format. It grows by one when an older reader could misunderstand a record.
pub const FORMAT: u32 = 2;

/// Everything about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Version of imspec that ran.
    pub tool: String,
    /// When the run began, real time.
    pub started: UtcTime,
    /// How long it took, in microseconds of real time.
    pub duration_us: u64,
    /// How far the store clock moved in the run, in seconds, summed over all lanes.
    pub store_time_s: f64,
    /// Whether the run was ended before all cases were done, and by what.
    pub interrupted: Option<String>,
    /// Who judged it again, and when; its verdicts, plan and requirements are those of that day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_again: Option<JudgedAgain>,
    /// What was planned, and which part of it this record holds.
    pub plan: PlanRecord,
    /// The server under test as its profile describes it.
    pub profile: ProfileRecord,
    /// The requirements that the cases refer to, in the order of the clauses.
    pub requirements: Vec<RequirementRecord>,
    /// Every selected case, in the order of ids.
    pub cases: Vec<CaseRecord>,
    /// Weighed failures and everything else that a reader must know, worst first.
    pub findings: Vec<Finding>,
    /// Rules of the base protocols that messages of the server break, errors first.
    #[serde(default)]
    pub protocol: Vec<ProtocolFinding>,
    /// Named meanings of unclear statements that the server was seen to follow: wording defect → reading → cases.
    pub readings: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// Accepted findings, in the order of their file.
    pub waivers: Vec<WaiverRecord>,
}

/// A second judgement of a record, without the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JudgedAgain {
    /// Version of imspec that judged.
    pub tool: String,
    /// When, real time.
    pub at: UtcTime,
}

/// One server under test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileRecord {
    /// Name of the profile.
    pub name: String,
    /// Product and version of the SUT, as declared.
    pub sut: String,
    /// PICS: key → declared value.
    pub pics: BTreeMap<String, serde_json::Value>,
    /// PIXIT: what the tester was told, secrets masked.
    pub pixit: BTreeMap<String, serde_json::Value>,
    /// Adapter in use: `store`, `clock`, `policy`, `process` → its kind.
    pub adapters: BTreeMap<String, String>,
}

/// One requirement, as it was when judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequirementRecord {
    /// `DM-STORE-02`
    pub id: String,
    /// Clause and bullet, e.g. `9.3.2.4 b1`, or `RFC 3428 §7`.
    pub clause: String,
    /// How binding it is.
    pub level: Level,
    /// Where it comes from.
    pub basis: Basis,
    /// When it applies, in our words.
    #[serde(default)]
    pub condition: String,
    /// What must hold then, in our words.
    pub statement: String,
    /// Worst verdict of its checks, `none` when nothing checked it.
    pub verdict: Verdict,
    /// Number of checks by verdict name.
    pub checks: BTreeMap<String, u32>,
    /// Wording defects that touch it.
    pub wording: Vec<String>,
}

impl RequirementRecord {
    /// Condition and statement: the second alone may speak of somebody whom only the first names.
    pub fn in_words(&self) -> String {
        format!("{} {}", self.condition, self.statement)
            .trim_start()
            .to_owned()
    }
}

/// One case: a scenario with its matrix values filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseRecord {
    /// `PG-05` or `PG-05[transport=tcp]`.
    pub id: String,
    /// `PG-05`
    pub scenario: String,
    /// Short title.
    pub title: String,
    /// Test purpose.
    pub purpose: String,
    /// Requirements that the scenario covers.
    pub covers: Vec<String>,
    /// Where the scenario stands.
    pub source: Location,
    /// Fingerprint of the scenario's text, by which a later judge knows whether it was changed; empty where the
    /// record does not tell.
    #[serde(default)]
    pub text: String,
    /// Matrix values of this case, in order.
    pub matrix: Vec<(String, serde_json::Value)>,
    /// The worst verdict of its checks.
    pub verdict: Verdict,
    /// Why the verdict is not `pass`: the first reason of that verdict.
    pub reason: Option<String>,
    /// How it went before, when the case was run again because something had not come in time. Everything else
    /// in this record is about the second time.
    #[serde(default)]
    pub earlier: Option<Earlier>,
    /// Everything that was judged, in the order of the steps.
    pub checks: Vec<Check>,
    /// Everything that happened.
    pub trace: Trace,
    /// Real time from first to last event, in microseconds.
    pub duration_us: u64,
}

impl CaseRecord {
    /// How it went before, if it went otherwise.
    pub fn unsteady(&self) -> Option<&Earlier> {
        let other = |earlier: &&Earlier| earlier.verdict != self.verdict;
        self.earlier.as_ref().filter(other)
    }
}

impl RunRecord {
    /// Waivers whose time is over, or that nothing needs any more.
    pub fn stale_waivers(&self) -> impl Iterator<Item = &WaiverRecord> {
        self.waivers.iter().filter(|waiver| waiver.is_stale())
    }

    /// Cases that came out otherwise when they were run again.
    pub fn unsteady(&self) -> impl Iterator<Item = (&CaseRecord, &Earlier)> {
        let both = |case| CaseRecord::unsteady(case).map(|earlier| (case, earlier));
        self.cases.iter().filter_map(both)
    }
}

/// What came out of a case before it was run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Earlier {
    /// The verdict.
    pub verdict: Verdict,
    /// Its reason.
    pub reason: String,
}

/// A place in a scenario or profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    /// File as the user would name it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One judged expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Step that asked for it, e.g. `steps[3]`.
    pub step: String,
    /// Where it is written.
    pub source: Location,
    /// What was looked at: `status`, `header Subject`, `body`, `mark`, …
    pub subject: String,
    /// Outcome.
    pub verdict: Verdict,
    /// Requirements it speaks for.
    pub requirements: Vec<String>,
    /// What had to hold, in words.
    pub expected: String,
    /// What was seen, in words.
    pub observed: String,
    /// How the evidence was seen.
    pub observation: Observation,
    /// Where in the trace the evidence lies.
    pub evidence: Option<Evidence>,
    /// More for the reader: the clause that makes two values equal, why it is inconclusive, what to do.
    pub note: Option<String>,
}

/// A place in the trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Id of the event.
    pub event: u32,
    /// Octets of the event's message that the check looked at: start and end (exclusive).
    pub range: Option<(u32, u32)>,
    /// The event with the octets that were expected instead, e.g. the message as it was sent.
    pub against: Option<u32>,
}

/// A check weighed by the level of a requirement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Weight.
    pub kind: FindingKind,
    /// Requirement id.
    pub requirement: String,
    /// Case id.
    pub case: String,
    /// Index into the case's checks; absent for a finding about the case as a whole.
    pub check: Option<u32>,
    /// One sentence.
    pub summary: String,
    /// The waiver that accepts it.
    pub waiver: Option<String>,
}
