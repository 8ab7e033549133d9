//! Joins the records of shards into the one that an unsplit run would have written.
//!
//! Cases and the findings about them are taken over; everything else follows from them and is made anew, by
//! the same function that makes the record of an unsplit run. What does not fit together is refused: a total
//! over half a suite looks like a total over a whole one.

use std::collections::{BTreeMap, BTreeSet};

use imspec_reports::record::{Joined, PlanRecord, ProfileRecord, RunRecord, Shard, WaiverRecord};
use jiff::civil::Date;

use crate::catalogue::Catalogue;
use crate::judge::waiver::Waiver;
use crate::judge::{self, RunFacts};
use crate::plan;

/// Missing shards that are named.
const SHOWN: usize = 8;

/// The record of a shard, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// File as the user named it.
    pub file: String,
    /// Its record.
    pub record: RunRecord,
}

/// Why records cannot be joined, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// No record at all.
    #[error("there is nothing to join: give the run.json of every shard")]
    Nothing,
    /// The record of an unsplit run, or of shards that were joined before.
    #[error(
        "{file} holds a whole run, not a shard of one: there is nothing to join with it. Shards come from `imspec run --shard 1/5` and so on"
    )]
    Whole {
        /// File.
        file: String,
    },
    /// Parts of different runs.
    #[error("{one} and {other} are not parts of one run: {difference}")]
    Different {
        /// File.
        one: String,
        /// Other file.
        other: String,
        /// What differs, and what to do.
        difference: String,
    },
    /// The same part more than once.
    #[error("shard {shard} is there twice: {one} and {other}. Leave out one of them")]
    Twice {
        /// Shard.
        shard: Shard,
        /// File.
        one: String,
        /// Other file.
        other: String,
    },
    /// Not all parts.
    #[error("{} missing: {}", missing(shards, *more), run_them(shards))]
    Missing {
        /// The first that are not there.
        shards: Vec<Shard>,
        /// How many more.
        more: usize,
    },
    /// The records were judged by requirements that this build does not have.
    #[error(
        "the records were judged by other requirements than those of this imspec: join them with the imspec that ran them ({tool})"
    )]
    OtherCatalogue {
        /// Its version.
        tool: String,
    },
    /// The parts do not add up.
    #[error(
        "the {there} cases of the shards are not the {planned} that were planned. A record was changed after the run: run its shard again"
    )]
    Incomplete {
        /// Cases of the plan.
        planned: u32,
        /// Cases that are there.
        there: usize,
    },
    /// A record holds a waiver that no waiver file could hold.
    #[error(
        "{file} was changed after the run: `until: {until}` of a waiver is no date. Run its shard again"
    )]
    BadWaiver {
        /// File.
        file: String,
        /// What stands there.
        until: String,
    },
}

/// Joins the records of all shards of a run, in whatever order they come. `today` is held against the end
/// dates of waivers.
pub fn merge(
    mut parts: Vec<Part>,
    catalogue: &Catalogue,
    today: Date,
) -> Result<RunRecord, MergeError> {
    parts.sort_by_key(|part| part.record.plan.shard);
    belong_together(&parts)?;
    let first = parts.first().ok_or(MergeError::Nothing)?;
    if first.record.plan.catalogue != catalogue.fingerprint() {
        let tool = first.record.tool.clone();
        return Err(MergeError::OtherCatalogue { tool });
    }
    let waivers = waivers(first)?;
    let facts = facts(&parts, first, today);
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    for part in parts {
        cases.extend(part.record.cases);
        findings.extend(part.record.findings);
    }
    let planned = &facts.plan;
    let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    if facts.interrupted.is_none() && plan::record::of_ids(ids) != planned.ids {
        return Err(MergeError::Incomplete {
            planned: planned.cases,
            there: cases.len(),
        });
    }
    Ok(judge::assemble(facts, cases, findings, &waivers, catalogue))
}

/// Whether these are all parts of one run, each once.
fn belong_together(parts: &[Part]) -> Result<(), MergeError> {
    let mut known: BTreeMap<Shard, &Part> = BTreeMap::new();
    let Some(first) = parts.first() else {
        return Err(MergeError::Nothing);
    };
    for part in parts {
        let Some(shard) = part.record.plan.shard else {
            let file = part.file.clone();
            return Err(MergeError::Whole { file });
        };
        if let Some(difference) = difference(&first.record, &part.record) {
            return Err(MergeError::Different {
                one: first.file.clone(),
                other: part.file.clone(),
                difference,
            });
        }
        if let Some(other) = known.insert(shard, part) {
            return Err(MergeError::Twice {
                shard,
                one: other.file.clone(),
                other: part.file.clone(),
            });
        }
    }
    let of = first.record.plan.shard.map_or(0, |shard| shard.of);
    let all = (1..=of).map(|number| Shard { number, of });
    let absent = all.filter(|shard| !known.contains_key(shard));
    // Not all of them: somebody may have split a run into a million.
    let shards: Vec<Shard> = absent.take(SHOWN).collect();
    if shards.is_empty() {
        return Ok(());
    }
    let of = usize::try_from(of).unwrap_or(usize::MAX);
    let more = of.saturating_sub(known.len() + shards.len());
    Err(MergeError::Missing { shards, more })
}

/// What makes two records parts of different runs, and what to do about it.
fn difference(one: &RunRecord, other: &RunRecord) -> Option<String> {
    let (plan, plan_2) = (&one.plan, &other.plan);
    if one.tool != other.tool {
        return Some(format!(
            "imspec {} ran the one, imspec {} the other. Run all shards with the same imspec",
            one.tool, other.tool
        ));
    }
    if let Some(difference) = of_profiles(&one.profile, &other.profile) {
        return Some(format!(
            "{difference}. Run all shards with the same profile"
        ));
    }
    if plan.catalogue != plan_2.catalogue || plan.suite != plan_2.suite {
        return Some(
            "their scenarios or requirements differ. Run all shards with the same imspec and the same --scenarios".into(),
        );
    }
    let (shard, shard_2) = (plan.shard, plan_2.shard);
    if let (Some(shard), Some(other)) = (shard, shard_2)
        && shard.of != other.of
    {
        return Some(format!(
            "one is shard {shard}, the other {other}. Split every run into the same number"
        ));
    }
    if (plan.cases, &plan.ids) != (plan_2.cases, &plan_2.ids) {
        return Some(format!(
            "one was asked for {} ({} cases), the other for {} ({}). Give all shards the same selection",
            asked_for(plan),
            plan.cases,
            asked_for(plan_2),
            plan_2.cases
        ));
    }
    if plan.time_budget_ms != plan_2.time_budget_ms {
        return Some(format!(
            "one had a --time-budget of {}ms, the other of {}ms. Give all shards the same",
            plan.time_budget_ms, plan_2.time_budget_ms
        ));
    }
    let (waived, waived_2) = (one.waivers.iter(), other.waivers.iter());
    (waived.map(content).ne(waived_2.map(content)))
        .then(|| "their waivers differ. Give all shards the same --waivers".into())
}

fn of_profiles(one: &ProfileRecord, other: &ProfileRecord) -> Option<String> {
    let differ = |what: &str, one: Option<String>, other: Option<String>| {
        let word = |it: Option<String>| it.unwrap_or_else(|| "nothing".into());
        (one != other).then(|| {
            format!(
                "{what} is {} in one, {} in the other",
                word(one),
                word(other)
            )
        })
    };
    let text = |it: &str| Some(it.to_owned());
    differ("the profile", text(&one.name), text(&other.name))
        .or_else(|| differ("the server", text(&one.sut), text(&other.sut)))
        .or_else(|| of_maps(&one.pics, &other.pics, "PICS "))
        .or_else(|| of_maps(&one.pixit, &other.pixit, "PIXIT "))
        .or_else(|| of_maps(&one.adapters, &other.adapters, "adapter "))
}

/// The first key whose value differs.
fn of_maps<V: PartialEq + serde::Serialize>(
    one: &BTreeMap<String, V>,
    other: &BTreeMap<String, V>,
    what: &str,
) -> Option<String> {
    let word = |value: Option<&V>| {
        let json = value.and_then(|value| serde_json::to_string(value).ok());
        json.unwrap_or_else(|| "nothing".into())
    };
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differs = |key: &&String| one.get(*key) != other.get(*key);
    keys.into_iter().find(differs).map(|key| {
        let (one, other) = (word(one.get(key)), word(other.get(key)));
        format!("{what}{key} is {one} in one, {other} in the other")
    })
}

/// What a waiver says, whatever became of it and wherever its file lies.
fn content(waiver: &WaiverRecord) -> impl PartialEq + '_ {
    (
        (&waiver.requirement, &waiver.case, &waiver.until),
        (&waiver.reason, &waiver.issue, &waiver.scope),
    )
}

fn asked_for(plan: &PlanRecord) -> String {
    if plan.selection.is_empty() {
        "everything".to_owned()
    } else {
        plan.selection.join(" ")
    }
}

fn waivers(part: &Part) -> Result<Vec<Waiver>, MergeError> {
    let read = |record: &WaiverRecord| {
        Waiver::of_record(record).ok_or_else(|| MergeError::BadWaiver {
            file: part.file.clone(),
            until: record.until.clone(),
        })
    };
    part.record.waivers.iter().map(read).collect()
}

fn facts(parts: &[Part], first: &Part, today: Date) -> RunFacts {
    let records = || parts.iter().map(|part| &part.record);
    let joined = records().filter_map(|record| {
        Some(Joined {
            shard: record.plan.shard?,
            cases: u32::try_from(record.cases.len()).unwrap_or(u32::MAX),
            seed: record.plan.seed,
            started: record.started,
            duration_us: record.duration_us,
        })
    });
    let seed = first.record.plan.seed;
    let interrupted: Vec<String> = records()
        .filter_map(|record| {
            let (why, shard) = (record.interrupted.as_ref()?, record.plan.shard?);
            Some(format!("{why} (shard {shard})"))
        })
        .collect();
    RunFacts {
        tool: first.record.tool.clone(),
        started: records()
            .map(|record| record.started)
            .min()
            .unwrap_or(first.record.started),
        duration_us: records().map(|record| record.duration_us).sum(),
        store_time_s: records().map(|record| record.store_time_s).sum(),
        interrupted: (!interrupted.is_empty()).then(|| interrupted.join(", ")),
        judged_again: first.record.judged_again.clone(),
        plan: PlanRecord {
            seed: seed.filter(|_| records().all(|record| record.plan.seed == seed)),
            shard: None,
            joined: joined.collect(),
            ..first.record.plan.clone()
        },
        profile: first.record.profile.clone(),
        today,
    }
}

/// `shard 2/5 is`, `shards 2/5 and 4/5 are`.
fn missing(shards: &[Shard], more: usize) -> String {
    let mut names: Vec<String> = shards.iter().map(Shard::to_string).collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => {
            format!("shards {} and {last} are", rest.join(", "))
        }
        _ => format!("shard {} is", names.concat()),
    }
}

fn run_them(shards: &[Shard]) -> String {
    let Some(first) = shards.first() else {
        return String::new();
    };
    match shards.len() {
        1 => format!("give its run.json, too, or run it with `--shard {first}`"),
        _ => format!("give their run.json, too, or run them with `--shard {first}` and so on"),
    }
}

#[cfg(test)]
mod tests;
