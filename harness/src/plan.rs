//! From scenarios to cases: which are run, with which values, side by side with which others.
//!
//! Pure and repeatable: the same scenarios, selection and context give the same plan.

pub mod condition;
pub mod record;
pub mod selection;
pub mod shard;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imspec_reports::record::Verdict;
use serde_json::Value;

use crate::document::Diagnostic;
use crate::scenario::decode;
use crate::scenario::early::Early;
use crate::scenario::model::{Case, Matcher, Pics, Scenario, Step, UserState, Verb};
use crate::scenario::{Known, Written};
use condition::Outcome;
pub use selection::{Selection, SelectionError};

/// What the plan must know of the profile and of this run.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What the maker declares.
    pub pics: &'a Pics,
    /// PICS keys that a policy adapter can set.
    pub settable: &'a BTreeSet<String>,
    /// Domain of the server.
    pub domain: &'a str,
    /// Transport of user agents where a scenario names none.
    pub transport: &'a str,
    /// The accounts that cases share, where the server has only a few.
    pub few: Option<&'a [String]>,
    /// Seed of random values and user names.
    pub seed: u64,
}

/// What is run, and what is not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Groups of cases; those of one lane run side by side on one server.
    pub lanes: Vec<Lane>,
    /// Cases that are not run.
    pub set_aside: Vec<SetAside>,
}

impl Plan {
    /// All cases that are run.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.lanes.iter().flat_map(|lane| &lane.cases)
    }
}

/// Cases that share a server and its policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// PICS values to set before; only those that differ from the profile's.
    pub policy: BTreeMap<String, Value>,
    /// Whether its case needs a server of its own, because it restarts it or changes its policy.
    pub exclusive: bool,
    /// In the order of ids.
    pub cases: Vec<Case>,
}

/// A case that is not run.
#[derive(Debug, Clone, PartialEq)]
pub struct SetAside {
    /// The case.
    pub case: Case,
    /// Not applicable, or inconclusive.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// Makes the plan.
pub fn plan(scenarios: &[Arc<Scenario>], selection: &Selection, context: &Context<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut shared: Vec<Lane> = Vec::new();
    let mut exclusive: Vec<Lane> = Vec::new();
    let mut scenarios: Vec<&Arc<Scenario>> = scenarios
        .iter()
        .filter(|scenario| selection.wants(scenario))
        .collect();
    scenarios.sort_by(|one, other| one.id.cmp(&other.id));
    for scenario in scenarios {
        for (number, choice) in scenario.written.choices().into_iter().enumerate() {
            let id = case_id(scenario, &choice);
            let when = scenario.conditions(&choice);
            if !selection.wants_case(scenario, &id, &when) {
                continue;
            }
            let Looked {
                case,
                policy,
                aside,
            } = look(scenario, &id, number, &choice, &when, context);
            if let Some((verdict, reason)) = aside {
                plan.set_aside.push(SetAside {
                    case,
                    verdict,
                    reason,
                });
            } else if needs_own_server(&case.steps) {
                exclusive.push(Lane {
                    policy,
                    exclusive: true,
                    cases: vec![case],
                });
            } else if let Some(lane) = shared.iter_mut().find(|lane| lane.policy == policy) {
                lane.cases.push(case);
            } else {
                shared.push(Lane {
                    policy,
                    exclusive: false,
                    cases: vec![case],
                });
            }
        }
    }
    // The lane that needs no policy first: most cases are in it, and it needs the least of the server.
    shared.sort_by_key(|lane| lane.policy.len());
    plan.lanes = shared;
    plan.lanes.append(&mut exclusive);
    plan
}

/// A case, and whether it is run.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// The case.
    pub case: Case,
    /// PICS values to set before.
    pub policy: BTreeMap<String, Value>,
    /// Why it is not run.
    pub aside: Option<(Verdict, String)>,
}

/// The case of this id as [`plan`] makes it; `None` where the scenario has no such case.
pub fn one(scenario: &Arc<Scenario>, id: &str, context: &Context<'_>) -> Option<Looked> {
    let mut choices = scenario.written.choices().into_iter().enumerate();
    let (number, choice) = choices.find(|(_, choice)| case_id(scenario, choice) == id)?;
    let when = scenario.conditions(&choice);
    Some(look(scenario, id, number, &choice, &when, context))
}

fn look(
    scenario: &Arc<Scenario>,
    id: &str,
    number: usize,
    choice: &[usize],
    when: &[(String, Matcher)],
    context: &Context<'_>,
) -> Looked {
    let outcome = condition::look(when, context.pics, context.settable);
    let policy = match &outcome {
        Outcome::Run(policy) => policy.clone(),
        Outcome::NotApplicable(_) | Outcome::Undeclared(_) => BTreeMap::new(),
    };
    let made = make(scenario, id, number, choice, &policy, context);
    let aside = match outcome {
        Outcome::NotApplicable(why) => Some((Verdict::NotApplicable, why)),
        Outcome::Undeclared(why) => Some((Verdict::Inconclusive, why)),
        Outcome::Run(_) => made.problem.map(|why| (Verdict::Inconclusive, why)),
    };
    Looked {
        case: made.case,
        policy,
        aside,
    }
}

struct Made {
    case: Case,
    /// Why it cannot be run.
    problem: Option<String>,
}

fn make(
    scenario: &Arc<Scenario>,
    id: &str,
    number: usize,
    choice: &[usize],
    policy: &BTreeMap<String, Value>,
    context: &Context<'_>,
) -> Made {
    let written: &Written = &scenario.written;
    let mut pics = context.pics.clone();
    pics.extend(
        policy
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    let seed = seed_of(context.seed, id);
    let values = written.values(choice);
    let matrix = values
        .iter()
        .map(|(name, node)| (name.clone(), node.to_value()))
        .collect();
    let early = Early::new(written.scope.clone(), context.domain, id, Some(&pics), seed)
        .with_matrix(values);
    let slug = slug(scenario, number);
    let mark = seed_of(context.seed, "") & 0xff_ffff;
    let few = context.few.map(|few| assigned(written, few, seed));
    let (of_pool, lacks) = match few {
        None => (BTreeMap::new(), None),
        Some(Ok(of_pool)) => (of_pool, None),
        Some(Err(why)) => (BTreeMap::new(), Some(why)),
    };
    let name = |role: &str| match of_pool.get(role) {
        Some(account) => account.clone(),
        None => format!("{role}-{slug}-{mark:06x}"),
    };
    // The names in it were checked when the file was loaded.
    let decoded = decode::case(written, early, &name, context.transport, &Known::anything());
    let undeclared: Vec<String> = decoded
        .undeclared
        .iter()
        .map(|key| format!("`{key}`"))
        .collect();
    let problem = if undeclared.is_empty() {
        decoded.diagnostics.iter().next().map(misfit)
    } else {
        Some(format!(
            "the profile does not declare {}, which the scenario uses",
            undeclared.join(", ")
        ))
    };
    let problem = problem.or(lacks);
    let case = Case {
        id: id.to_owned(),
        scenario: Arc::clone(scenario),
        matrix,
        users: decoded.users,
        steps: decoded.steps,
    };
    Made { case, problem }
}

/// The accounts of a small pool that the users of a case get: always the same for the same case, so that a run can
/// be repeated, sharded and judged again.
fn assigned(
    written: &Written,
    few: &[String],
    seed: u64,
) -> Result<BTreeMap<String, String>, String> {
    let users: Vec<_> = written
        .users
        .iter()
        .filter(|user| user.state != UserState::Absent)
        .collect();
    if let Some(user) = users
        .iter()
        .find(|user| user.name.is_some() || user.domain.is_some())
    {
        return Err(format!(
            "`{}` needs an account with an address of this scenario's own, and the profile has a list of accounts",
            user.role
        ));
    }
    if users.len() > few.len() {
        return Err(format!(
            "the case has {} users with accounts, and `pixit.accounts` of the profile has {}",
            users.len(),
            few.len()
        ));
    }
    let first = usize::try_from(seed % few.len().max(1) as u64).unwrap_or(0);
    let accounts = few.iter().cycle().skip(first);
    let roles = users.iter().map(|user| user.role.clone());
    Ok(roles.zip(accounts.cloned()).collect())
}

/// A value of the profile stands where it cannot stand.
fn misfit(diagnostic: &Diagnostic) -> String {
    let place = diagnostic.location().map_or_else(String::new, |at| {
        format!(" at {}:{}:{}", at.file, at.line, at.column)
    });
    format!(
        "with the values of this profile the scenario makes no sense{place}: {}, {}",
        diagnostic.title, diagnostic.label
    )
}

/// The ids of all cases of a scenario, whatever a profile makes of them.
pub fn case_ids(scenario: &Scenario) -> impl Iterator<Item = String> {
    let choices = scenario.written.choices().into_iter();
    choices.map(|choice| case_id(scenario, &choice))
}

/// The ids of the cases of a scenario that are asked for.
pub fn wanted(scenario: &Scenario, selection: &Selection) -> Vec<String> {
    if !selection.wants(scenario) {
        return Vec::new();
    }
    let choices = scenario.written.choices().into_iter();
    let cases = choices.map(|choice| (case_id(scenario, &choice), scenario.conditions(&choice)));
    cases
        .filter(|(id, when)| selection.wants_case(scenario, id, when))
        .map(|(id, _)| id)
        .collect()
}

/// `PG-05[transport=tcp,body=2]`
fn case_id(scenario: &Scenario, choice: &[usize]) -> String {
    if choice.is_empty() {
        return scenario.id.clone();
    }
    let values: Vec<String> = scenario
        .matrix
        .iter()
        .zip(choice)
        .enumerate()
        .map(|(variable, ((name, _), index))| {
            format!("{name}={}", scenario.written.label(variable, *index))
        })
        .collect();
    format!("{}[{}]", scenario.id, values.join(","))
}

/// The part of a user name that tells cases apart: `pg-05`, `pg-05-3`.
fn slug(scenario: &Scenario, number: usize) -> String {
    let id = scenario.id.to_ascii_lowercase();
    if scenario.matrix.is_empty() {
        id
    } else {
        format!("{id}-{}", number + 1)
    }
}

/// A seed for a case. FNV-1a, then a mix: it must be the same on every machine and in every version, which
/// the standard library's hasher does not promise.
fn seed_of(seed: u64, id: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for octet in seed.to_le_bytes().into_iter().chain(id.bytes()) {
        hash ^= u64::from(octet);
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

fn needs_own_server(steps: &[Step]) -> bool {
    steps.iter().any(|step| match &step.verb {
        Verb::Restart(_) | Verb::Policy(_) => true,
        Verb::Parallel(branches) => branches.iter().any(|branch| needs_own_server(branch)),
        Verb::When(when) => needs_own_server(&when.then) || needs_own_server(&when.otherwise),
        Verb::Repeat(repeat) => needs_own_server(&repeat.steps),
        _ => false,
    })
}
