//! Spreads a large lane over several servers.
//!
//! Where the process adapter may start several instances, the cases of a lane need not all share one: each
//! instant of store time at which some of them are at work holds back the others of the lane. Cases that
//! wait equally long stay together, so that few lanes have to visit the same instant.

use std::cmp::Reverse;
use std::time::Duration;

use super::interpreter::{known_downtime, known_waits};
use crate::plan::Lane;

/// Fewer cases than this are not worth a server of their own.
const SMALL: usize = 24;

/// Cuts lanes into as many parts as there can be servers. What no clock makes shorter begins first, so that
/// nothing has to wait for it at the end; then the largest.
pub(super) fn spread(lanes: Vec<Lane>, instances: usize) -> Vec<Lane> {
    let mut parts = Vec::new();
    for lane in lanes {
        let count = (lane.cases.len() / SMALL).clamp(1, instances.max(1));
        if count == 1 || lane.exclusive {
            parts.push(lane);
            continue;
        }
        let Lane {
            policy,
            exclusive,
            mut cases,
        } = lane;
        cases.sort_by_cached_key(|case| known_waits(&case.steps));
        let size = cases.len().div_ceil(count);
        while !cases.is_empty() {
            let rest = cases.split_off(size.min(cases.len()));
            parts.push(Lane {
                policy: policy.clone(),
                exclusive,
                cases,
            });
            cases = rest;
        }
    }
    parts.sort_by_cached_key(|lane| (Reverse(downtime(lane)), Reverse(lane.cases.len())));
    parts
}

fn downtime(lane: &Lane) -> Duration {
    lane.cases
        .iter()
        .map(|case| known_downtime(&case.steps))
        .sum()
}
