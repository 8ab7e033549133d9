//! Splits a plan into parts that different machines run: `2/5`.
//!
//! The cases are dealt like cards: those that share a server first, lane by lane, then those that need a
//! server of their own, then those that are set aside, each in the order of the plan. So each shard gets its
//! share of every kind, and no two shards differ by more than one case in any of them, or in all. The order of
//! a plan depends on the suite, the selection and the profile alone, so every machine deals alike.

use std::str::FromStr;

pub use imspec_reports::record::Shard;

use super::Plan;

/// Text that names no shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Not two numbers.
    #[error("write which shard of how many, as in 2/5")]
    NotAShard,
    /// There cannot be no shard at all.
    #[error("there must be one shard at least: 1/1 is everything")]
    NoShards,
    /// There is no such shard.
    #[error("there is no shard {number} of {of}: the shards are 1/{of} to {of}/{of}")]
    OutOfRange {
        /// As written.
        number: u32,
        /// As written.
        of: u32,
    },
}

/// Reads `2/5`.
pub fn parse(text: &str) -> Result<Shard, ShardError> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        let value = digits.then(|| u32::from_str(text).ok()).flatten();
        value.ok_or(ShardError::NotAShard)
    };
    let (one, all) = text.split_once('/').ok_or(ShardError::NotAShard)?;
    let (one, all) = (number(one)?, number(all)?);
    if all == 0 {
        Err(ShardError::NoShards)
    } else if one == 0 || one > all {
        Err(ShardError::OutOfRange {
            number: one,
            of: all,
        })
    } else {
        Ok(Shard {
            number: one,
            of: all,
        })
    }
}

/// The part of a plan that a shard runs.
pub fn take(shard: Shard, mut plan: Plan) -> Plan {
    let mut dealt: u32 = 0;
    let mut is_ours = || {
        let to = dealt % shard.of;
        dealt += 1;
        to + 1 == shard.number
    };
    for lane in &mut plan.lanes {
        lane.cases.retain(|_| is_ours());
    }
    plan.lanes.retain(|lane| !lane.cases.is_empty());
    plan.set_aside.retain(|_| is_ours());
    plan
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::bundled;
    use crate::plan::{self, Lane, Selection};

    fn whole(words: &[&str]) -> Plan {
        let catalogue = bundled::catalogue().unwrap();
        let suite = bundled::suite(&catalogue).unwrap();
        let profile = bundled::reference_profile().unwrap();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let selection = Selection::parse(&words, &[], &suite, &catalogue).unwrap();
        let context = plan::Context {
            pics: &profile.pics,
            settable: &profile.settable(),
            domain: &profile.pixit.domain,
            transport: profile.pixit.transport.as_str(),
            few: None,
            seed: 7,
        };
        plan::plan(&suite, &selection, &context)
    }

    /// Every case with how it is run, or why it is not.
    fn cards(plan: &Plan) -> BTreeMap<String, String> {
        let in_lane = |lane: &Lane| {
            let how = format!("{:?} {}", lane.policy, lane.exclusive);
            let ids = lane.cases.iter().map(|case| case.id.clone());
            ids.map(|id| (id, how.clone())).collect::<Vec<_>>()
        };
        let run = plan.lanes.iter().flat_map(in_lane);
        let aside = plan.set_aside.iter();
        let aside = aside.map(|it| (it.case.id.clone(), it.reason.clone()));
        run.chain(aside).collect()
    }

    #[test]
    fn the_shards_of_the_suite_are_the_suite_and_none_is_much_larger() {
        let whole = whole(&[]);
        let all = cards(&whole);
        for of in [1, 2, 5, 7] {
            let shards: Vec<Plan> = (1..=of)
                .map(|number| take(Shard { number, of }, whole.clone()))
                .collect();
            let dealt: Vec<_> = shards.iter().flat_map(cards).collect();
            assert_eq!(dealt.len(), all.len(), "no case is in two shards");
            assert_eq!(BTreeMap::from_iter(dealt), all);
            for count in [
                |plan: &Plan| cards(plan).len(),
                |plan: &Plan| plan.set_aside.len(),
                |plan: &Plan| plan.lanes.iter().filter(|lane| lane.exclusive).count(),
                |plan: &Plan| {
                    plan.lanes
                        .iter()
                        .map(|lane| lane.cases.len())
                        .max()
                        .unwrap()
                },
            ] {
                let counts: BTreeSet<usize> = shards.iter().map(count).collect();
                let (least, most) = (counts.first().unwrap(), counts.last().unwrap());
                assert!(most - least <= 1, "{counts:?} of {of}");
            }
        }
    }

    #[test]
    fn the_order_of_the_arguments_does_not_count() {
        let shard = Shard { number: 2, of: 3 };
        let one = take(shard, whole(&["PG-*", "EX-*", "DM-MID-01"]));
        let other = take(shard, whole(&["DM-MID-01", "EX-*", "PG-*"]));
        assert_eq!(one, other);
    }

    #[test]
    fn more_shards_than_cases_leave_some_empty() {
        let whole = whole(&["PG-01"]);
        let last = take(Shard { number: 99, of: 99 }, whole);
        assert!(last.lanes.is_empty() && last.set_aside.is_empty());
    }

    #[test]
    fn what_is_no_shard_is_told() {
        let says = |text: &str| parse(text).unwrap_err().to_string();
        for text in [
            "",
            "2",
            "2/",
            "/5",
            "a/b",
            "2/5/7",
            "-1/5",
            "+1/5",
            " 1/5",
            "1/99999999999",
        ] {
            assert_eq!(
                says(text),
                "write which shard of how many, as in 2/5",
                "{text}"
            );
        }
        insta::assert_snapshot!(says("6/5"), @"there is no shard 6 of 5: the shards are 1/5 to 5/5");
        insta::assert_snapshot!(says("0/5"), @"there is no shard 0 of 5: the shards are 1/5 to 5/5");
        insta::assert_snapshot!(says("1/0"), @"there must be one shard at least: 1/1 is everything");
    }

    proptest! {
        #[test]
        fn what_is_a_shard_reads_as_it_is_written(of in 1u32.., number in 1u32..) {
            let written = Shard { number, of }.to_string();
            prop_assert_eq!(parse(&written).is_ok(), number <= of);
            if let Ok(read) = parse(&written) {
                prop_assert_eq!(read.to_string(), written);
            }
        }
    }
}
