//! Spreads the cases of one lane over several servers, where several can be started.
//!
//! Moving the clock costs next to nothing, but whoever is woken works in real time, and nobody else's
//! deadline can be jumped to meanwhile. So cases that wait equally long go to the same server, where one
//! move wakes them all, and different lengths go to different servers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plan::Lane;
use crate::scenario::model::{Step, Verb};
use crate::scenario::template::Piece;
use crate::scenario::{Case, Template, duration};

/// Fewer cases are not worth a server.
const FEWEST: usize = 8;

/// Splits each lane into at most so many, the ones with most to do first.
pub(super) fn split(lanes: Vec<Lane>, parts: usize) -> Vec<Lane> {
    let mut split: Vec<(usize, Lane)> = lanes
        .into_iter()
        .flat_map(|lane| spread(lane, parts))
        .map(|lane| {
            (
                lane.cases
                    .iter()
                    .map(|case| 1 + 8 * wait_steps(&case.steps))
                    .sum(),
                lane,
            )
        })
        .collect();
    split.sort_by_key(|(work, _)| std::cmp::Reverse(*work));
    split.into_iter().map(|(_, lane)| lane).collect()
}

fn spread(lane: Lane, parts: usize) -> Vec<Lane> {
    let parts = parts.min(lane.cases.len() / FEWEST).max(1);
    if lane.exclusive || parts == 1 {
        return vec![lane];
    }
    let mut groups: BTreeMap<Duration, Vec<Case>> = BTreeMap::new();
    for case in lane.cases {
        groups
            .entry(known_waits(&case.steps))
            .or_default()
            .push(case);
    }
    let mut lanes: Vec<(usize, Lane)> = (0..parts)
        .map(|_| {
            (
                0,
                Lane {
                    policy: lane.policy.clone(),
                    exclusive: false,
                    cases: Vec::new(),
                },
            )
        })
        .collect();
    // Whoever waits for nothing disturbs nobody: these fill up evenly at the end.
    let idle = groups.remove(&Duration::ZERO).unwrap_or_default();
    let mut groups: Vec<(usize, Vec<Case>)> = groups
        .into_values()
        .map(|cases| {
            (
                cases
                    .iter()
                    .map(|case| wait_steps(&case.steps))
                    .max()
                    .unwrap_or(0),
                cases,
            )
        })
        .collect();
    groups.sort_by_key(|(phases, _)| std::cmp::Reverse(*phases));
    for (phases, cases) in groups {
        if let Some((load, lane)) = lanes.iter_mut().min_by_key(|(load, _)| *load) {
            *load += phases;
            lane.cases.extend(cases);
        }
    }
    for case in idle {
        if let Some((_, lane)) = lanes.iter_mut().min_by_key(|(_, lane)| lane.cases.len()) {
            lane.cases.push(case);
        }
    }
    lanes
        .into_iter()
        .map(|(_, lane)| lane)
        .filter(|lane| !lane.cases.is_empty())
        .collect()
}

/// The sum of the waits whose length is known beforehand; branches run side by side, so the longest counts.
pub(super) fn known_waits(steps: &[Step]) -> Duration {
    let mut counted_from: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut total = Duration::ZERO;
    for step in steps {
        match &step.verb {
            Verb::Wait(wait) => {
                let length = literal(&wait.length).and_then(duration::parse_ms);
                let length = length.map_or(Duration::ZERO, Duration::from_millis);
                match wait.after.as_ref().and_then(literal) {
                    None => total += length,
                    // Several waits from one moment overlap: only what is longer than the last one counts.
                    Some(name) => {
                        let before = counted_from.entry(name).or_default();
                        total += length.saturating_sub(*before);
                        *before = length.max(*before);
                    }
                }
            }
            Verb::Parallel(branches) => {
                total += branches
                    .iter()
                    .map(|branch| known_waits(branch))
                    .max()
                    .unwrap_or_default();
            }
            Verb::When(when) => total += known_waits(&when.then).max(known_waits(&when.otherwise)),
            _ => {}
        }
    }
    total
}

fn wait_steps(steps: &[Step]) -> usize {
    steps
        .iter()
        .map(|step| match &step.verb {
            Verb::Wait(_) => 1,
            Verb::Parallel(branches) => branches
                .iter()
                .map(|branch| wait_steps(branch))
                .max()
                .unwrap_or(0),
            Verb::When(when) => wait_steps(&when.then).max(wait_steps(&when.otherwise)),
            _ => 0,
        })
        .sum()
}

fn literal(template: &Template) -> Option<&str> {
    match template.pieces.as_slice() {
        [Piece::Text(text)] => Some(text),
        _ => None,
    }
}
