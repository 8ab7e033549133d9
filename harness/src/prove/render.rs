//! A proof as text, as Markdown and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Fate, Proof, Trial};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Scenarios that are named in one line.
const NAMED: usize = 6;

impl Fate {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Astray => "astray",
            Self::Missed => "missed",
            Self::Broken => "broken",
        }
    }
}

/// For a terminal: a line for each fault, then what is wrong, then the totals.
pub fn text(proof: &Proof) -> String {
    let name = proof
        .trials
        .iter()
        .map(|trial| trial.fault.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{BOLD}{:6}  {:name$}  fate    by{BOLD:#}",
        "id", "fault"
    );
    for trial in &proof.trials {
        let style = if trial.fate == Fate::Caught {
            GOOD
        } else {
            BAD
        };
        let _ = writeln!(
            text,
            "{:6}  {:name$}  {style}{}{style:#}  {}",
            trial.id,
            trial.fault,
            trial.fate.as_str(),
            by(trial),
        );
    }
    wrong(&mut text, proof);
    let _ = writeln!(text, "\n{}", totals(proof));
    text
}

fn by(trial: &Trial) -> String {
    let names = |of: &BTreeMap<String, BTreeSet<String>>| {
        let shown: Vec<&str> = of.keys().take(NAMED).map(String::as_str).collect();
        let more = of.len().saturating_sub(NAMED);
        let rest = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("{}{rest}", shown.join(" "))
    };
    match trial.fate {
        Fate::Caught => names(&trial.caught_by),
        Fate::Astray => format!("only others fail: {}", names(&trial.also)),
        Fate::Missed => match trial.not_demonstrated.first() {
            Some(why) => format!("nothing fails in {} scenarios; {why}", trial.scenarios),
            None => format!("nothing fails in {} scenarios", trial.scenarios),
        },
        Fate::Broken => trial.error.clone().unwrap_or_default(),
    }
}

fn wrong(text: &mut String, proof: &Proof) {
    if !proof.control.is_empty() {
        let _ = writeln!(text, "\n{BAD}Fails without a fault, too:{BAD:#}");
        for (scenario, requirements) in &proof.control {
            let all: Vec<&str> = requirements.iter().map(String::as_str).collect();
            let _ = writeln!(text, "  {scenario}  {DIM}{}{DIM:#}", all.join(" "));
        }
    }
    if let Some(why) = &proof.control_error {
        let _ = writeln!(text, "\n{BAD}The run without a fault broke:{BAD:#} {why}");
    }
    if proof.asks_for_scenarios() && !proof.idle.is_empty() {
        let _ = writeln!(
            text,
            "\n{BAD}Catch no fault:{BAD:#} {}",
            proof.idle.join(" ")
        );
    }
    if proof.is_whole && !proof.readers.is_empty() {
        let _ = writeln!(text, "\nJudge nothing: {}", proof.readers.join(" "));
    }
    if let Some(names) = looked_again(proof) {
        let _ = writeln!(text, "\nNeeded a second look: {names}");
    }
}

/// What did not come out as it should at first.
fn looked_again(proof: &Proof) -> Option<String> {
    let names: Vec<&str> = proof.again.iter().map(String::as_str).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// The figures, in one sentence.
pub fn totals(proof: &Proof) -> String {
    let of = |fate: Fate| match proof.count(fate) {
        0 => String::new(),
        count => format!(", {count} {}", fate.as_str()),
    };
    let all = match proof.trials.len() {
        1 => "1 fault".to_owned(),
        count => format!("{count} faults"),
    };
    let how = if proof.black_box {
        format!(", black box ({})", of_the_wire(proof))
    } else {
        String::new()
    };
    let proven = if proof.asks_for_scenarios() {
        let caught: BTreeSet<&String> = proof
            .trials
            .iter()
            .flat_map(|trial| trial.caught_by.keys())
            .collect();
        format!(
            ", by {} scenarios{}",
            caught.len(),
            match proof.idle.len() {
                0 => String::new(),
                idle => format!("; {idle} catch none"),
            }
        )
    } else {
        String::new()
    };
    format!(
        "{all}: {} caught{}{}{}{proven}{how}, in {:.0} s",
        proof.count(Fate::Caught),
        of(Fate::Astray),
        of(Fate::Missed),
        of(Fate::Broken),
        proof.seconds,
    )
}

/// How many of those that show on the wire were caught.
fn of_the_wire(proof: &Proof) -> String {
    let shown = |trial: &&Trial| trial.shows_on_the_wire();
    let all = proof.trials.iter().filter(shown).count();
    let caught = proof
        .trials
        .iter()
        .filter(shown)
        .filter(|trial| trial.fate == Fate::Caught)
        .count();
    format!("{caught} of the {all} for which the wire is enough")
}

/// For a page: faults with what caught them, then scenarios with what they caught.
pub fn markdown(proof: &Proof) -> String {
    let mut text = format!("# What the suite catches\n\n{}.\n\n", totals(proof));
    if let Some(names) = looked_again(proof) {
        let _ = writeln!(text, "Needed a second look: {names}.\n");
    }
    text.push_str("| id | fault | violates | fate | caught by |\n|---|---|---|---|---|\n");
    for trial in &proof.trials {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            trial.id,
            trial.fault,
            trial.violates.join(", "),
            trial.fate.as_str(),
            by(trial).replace('|', "\\|"),
        );
    }
    text.push_str("\n| scenario | catches |\n|---|---|\n");
    for (scenario, faults) in by_scenario(proof) {
        let _ = writeln!(text, "| {scenario} | {} |", faults.join(", "));
    }
    for scenario in &proof.idle {
        let _ = writeln!(text, "| {scenario} | – |");
    }
    for scenario in &proof.readers {
        let _ = writeln!(text, "| {scenario} | judges nothing |");
    }
    text
}

/// The faults that each scenario catches, by a requirement that they violate.
fn by_scenario(proof: &Proof) -> BTreeMap<&str, Vec<&'static str>> {
    let mut table: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
    for trial in &proof.trials {
        for scenario in trial.caught_by.keys() {
            table.entry(scenario).or_default().push(trial.fault);
        }
    }
    table
}

/// For programs.
pub fn json(proof: &Proof) -> String {
    let mut text = serde_json::to_string_pretty(proof).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(fault: &'static str, id: &'static str, fate: Fate) -> Trial {
        let found = |scenario: &str, id: &str| {
            BTreeMap::from([(scenario.to_owned(), BTreeSet::from([id.to_owned()]))])
        };
        Trial {
            fault,
            id,
            violates: &["DM-STORE-02"],
            fate,
            caught_by: match fate {
                Fate::Caught => found("PG-05", "DM-STORE-02"),
                _ => BTreeMap::new(),
            },
            also: match fate {
                Fate::Caught | Fate::Astray => found("PG-06", "RFC3261-7.3.1"),
                _ => BTreeMap::new(),
            },
            not_shown: BTreeSet::new(),
            needs: vec!["wire"],
            not_demonstrated: Vec::new(),
            scenarios: 18,
            cases: 40,
            seconds: 1.0,
            error: (fate == Fate::Broken).then(|| "no server".to_owned()),
        }
    }

    fn proof() -> Proof {
        Proof {
            tool: "0.1.0".to_owned(),
            trials: vec![
                trial("drops-subject", "M-001", Fate::Caught),
                trial("drops-compact-subject", "M-002", Fate::Astray),
                trial("bare-from", "M-006", Fate::Missed),
                trial("cpim-as-text", "M-014", Fate::Broken),
            ],
            control: BTreeMap::from([(
                "PG-07".to_owned(),
                BTreeSet::from(["DM-STORE-02".to_owned()]),
            )]),
            control_error: None,
            idle: vec!["PG-08".to_owned()],
            readers: vec!["PG-09".to_owned()],
            again: BTreeSet::from(["bare-from".to_owned(), "PG-08".to_owned()]),
            is_whole: true,
            all_scenarios: false,
            black_box: false,
            seconds: 12.3,
        }
    }

    #[test]
    fn a_proof_in_a_terminal() {
        let shown = anstream::adapter::strip_str(&text(&proof())).to_string();
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn a_proof_on_a_page() {
        insta::assert_snapshot!(markdown(&proof()));
    }

    #[test]
    fn only_a_whole_proof_holds() {
        let mut whole = proof();
        assert!(!whole.holds());
        whole.trials.truncate(1);
        assert!(!whole.holds(), "something fails without a fault");
        whole.control.clear();
        assert!(!whole.holds(), "a scenario catches nothing");
        whole.idle.clear();
        assert!(whole.holds());
    }

    #[test]
    fn of_a_part_of_the_faults_no_scenario_is_asked() {
        let mut part = proof();
        part.trials.truncate(1);
        part.control.clear();
        part.is_whole = false;
        assert!(part.holds());
        part.all_scenarios = true;
        assert!(!part.holds());
    }

    #[test]
    fn of_a_black_box_only_what_shows_on_the_wire_is_asked() {
        let mut part = proof();
        part.control.clear();
        part.black_box = true;
        part.trials = vec![
            trial("drops-subject", "M-001", Fate::Caught),
            trial("bare-from", "M-006", Fate::Missed),
        ];
        part.trials[1].not_demonstrated = vec!["store: there is no store adapter".to_owned()];
        assert!(!part.holds());
        part.trials[1].needs = vec!["store"];
        assert!(part.holds());
        insta::assert_snapshot!(anstream::adapter::strip_str(&text(&part)));
    }
}
