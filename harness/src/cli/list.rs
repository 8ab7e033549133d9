//! `imspec list`: what is tested.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use imspec_reports::record::{Basis, Level};
use serde_json::json;

use super::ExitStatus;
use crate::bundled;
use crate::catalogue::{Catalogue, Coverage, PicsKeys, Requirement};
use crate::document::Diagnostics;
use crate::plan::Selection;
use crate::scenario::Scenario;

/// Show what is tested: scenarios, requirements or PICS keys
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these: scenario ids, globs ('PG-*'), requirements
    selection: Vec<String>,
    /// The requirements, with the number of scenarios that cover each
    #[arg(long, short, conflicts_with = "pics")]
    requirements: bool,
    /// The PICS keys
    #[arg(long)]
    pics: bool,
    /// The scenarios of this file or folder instead of the bundled ones
    #[arg(long, value_name = "DIR")]
    scenarios: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const POOR: Style = AnsiColor::Yellow.on_default();

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    let (status, text) = match text(args) {
        Ok(text) => (ExitStatus::Conforms, text),
        Err(problem) => (ExitStatus::InvalidInput, problem),
    };
    // A reader that went away (`| head`) has what it wanted.
    let _ = out.write_all(text.as_bytes());
    status
}

fn text(args: &Args) -> Result<String, String> {
    let wrong = |diagnostics: Diagnostics| diagnostics.render(true);
    let catalogue = bundled::catalogue().map_err(wrong)?;
    if args.pics {
        return Ok(pics(&PicsKeys::bundled().map_err(wrong)?, args.json));
    }
    let scenarios = bundled::suite_in(args.scenarios.as_deref(), &catalogue).map_err(wrong)?;
    if args.requirements {
        let coverage = Coverage::of(scenarios.iter().map(Arc::as_ref));
        return Ok(requirements(&catalogue, &coverage, args.json));
    }
    let selection = Selection::parse(&args.selection, &[], &scenarios, &catalogue)
        .map_err(|error| format!("error: {error}\n"))?;
    let wanted: Vec<&Scenario> = scenarios
        .iter()
        .map(Arc::as_ref)
        .filter(|scenario| selection.wants(scenario))
        .collect();
    Ok(if args.json {
        scenarios_json(&wanted)
    } else {
        scenario_table(&wanted)
    })
}

/// What a group of scenarios is about.
pub fn group_title(group: &str) -> &'static str {
    match group {
        "PG" => "Pager mode: storing and delivering",
        "MS" => "Session mode",
        "MI" => "Message-ID",
        "EX" => "Expire marking",
        "PO" => "Policy for expired messages",
        "DL" => "Delivery",
        "IS" => "Isolation of accounts",
        "RB" => "Robustness",
        "DU" => "Durability",
        "CC" => "Concurrency",
        "SE" => "Security",
        "IO" => "Interoperability",
        _ => "Others",
    }
}

fn group(scenario: &Scenario) -> &str {
    scenario.id.split('-').next().unwrap_or_default()
}

fn cases(scenario: &Scenario) -> usize {
    scenario
        .matrix
        .iter()
        .map(|(_, values)| values.len())
        .product()
}

fn scenario_table(scenarios: &[&Scenario]) -> String {
    let mut text = String::new();
    let id_width = width(scenarios.iter().map(|s| s.id.as_str()));
    let title_width = width(scenarios.iter().map(|s| s.title.as_str()));
    let mut current = "";
    for scenario in scenarios {
        if group(scenario) != current {
            current = group(scenario);
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(
                text,
                "{gap}{BOLD}{current}  {}{BOLD:#}",
                group_title(current)
            );
        }
        let count = match cases(scenario) {
            1 => String::new(),
            count => format!("×{count}"),
        };
        let _ = writeln!(
            text,
            "  {:id_width$}  {:title_width$}  {count:>4}  {DIM}{}{DIM:#}",
            scenario.id,
            scenario.title,
            scenario.covers.join(" "),
        );
    }
    let all: usize = scenarios.iter().map(|s| cases(s)).sum();
    let _ = writeln!(text, "\n{} scenarios, {all} cases", scenarios.len());
    text
}

fn scenarios_json(scenarios: &[&Scenario]) -> String {
    let list: Vec<_> = scenarios
        .iter()
        .map(|scenario| {
            json!({
                "id": scenario.id,
                "title": scenario.title,
                "purpose": scenario.purpose,
                "covers": crate::catalogue::requirement::covered(scenario),
                "touches": scenario.touches,
                "cases": cases(scenario),
                "file": scenario.at.file,
            })
        })
        .collect();
    pretty(&json!(list))
}

fn requirements(catalogue: &Catalogue, coverage: &Coverage, as_json: bool) -> String {
    if as_json {
        let list: Vec<_> = catalogue
            .iter()
            .map(|r| {
                json!({
                    "id": r.id,
                    "clause": r.clause,
                    "level": r.level,
                    "basis": r.basis,
                    "declared": r.declared,
                    "statement": r.statement,
                    "wording": r.wording,
                    "scenarios": coverage.scenarios(&r.id),
                })
            })
            .collect();
        return pretty(&json!(list));
    }
    let id_width = width(catalogue.iter().map(|r| r.id.as_str()));
    let clause_width = width(catalogue.iter().map(|r| r.clause.as_str()));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{BOLD}{:id_width$}  {:clause_width$}  {:6}  {:8}  {:>9}  statement{BOLD:#}",
        "id", "clause", "level", "basis", "scenarios"
    );
    for requirement in catalogue {
        let count = coverage.scenarios(&requirement.id).len();
        let style = if count > 0 { GOOD } else { POOR };
        let _ = writeln!(
            text,
            "{:id_width$}  {:clause_width$}  {:6}  {:8}  {style}{count:>9}{style:#}  {}",
            requirement.id,
            requirement.clause,
            level(requirement.level),
            basis(requirement.basis),
            requirement
                .statement
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    let covered = |wanted: &dyn Fn(&Requirement) -> bool| {
        let all = catalogue.iter().filter(|r| wanted(r));
        let (yes, no): (Vec<_>, Vec<_>) = all.partition(|r| !coverage.scenarios(&r.id).is_empty());
        format!("{} of {}", yes.len(), yes.len() + no.len())
    };
    let _ = writeln!(
        text,
        "\ncovered: {} requirements of the specification, {} rules of base protocols",
        covered(&|r| r.basis != Basis::Protocol),
        covered(&|r| r.basis == Basis::Protocol),
    );
    text
}

fn pics(keys: &PicsKeys, as_json: bool) -> String {
    if as_json {
        let list: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "key": key.key,
                    "type": key.kind.as_str(),
                    "values": key.values,
                    "default": key.default,
                    "about": key.about,
                    "resolves": key.resolves,
                })
            })
            .collect();
        return pretty(&json!(list));
    }
    let key_width = width(keys.iter().map(|key| key.key.as_str()));
    let mut text = String::new();
    for key in keys {
        let _ = writeln!(text, "{BOLD}{:key_width$}{BOLD:#}  {}", key.key, key.about);
        let _ = writeln!(text, "{:key_width$}  {DIM}{}{DIM:#}", "", key.expected());
    }
    text
}

/// As in the specification.
pub fn level(level: Level) -> &'static str {
    match level {
        Level::Shall => "SHALL",
        Level::Should => "SHOULD",
        Level::May => "MAY",
    }
}

/// In one word.
pub fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Written => "written",
        Basis::Derived => "derived",
        Basis::Note => "note",
        Basis::Context => "context",
        Basis::Protocol => "protocol",
    }
}

fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

fn pretty(value: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn run(args: &Args) -> (ExitStatus, String) {
        let mut out = anstream::StripStream::new(Vec::new());
        let status = execute(args, &mut out);
        (status, String::from_utf8(out.into_inner()).unwrap())
    }

    fn args() -> Args {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite");
        Args {
            selection: Vec::new(),
            requirements: false,
            pics: false,
            scenarios: Some(folder.into()),
            json: false,
        }
    }

    #[test]
    fn scenarios_by_group() {
        insta::assert_snapshot!(run(&args()).1);
    }

    #[test]
    fn requirements_with_their_coverage() {
        let text = run(&Args {
            requirements: true,
            ..args()
        })
        .1;
        let shown: Vec<&str> = text
            .lines()
            .filter(|l| {
                ["id", "DM-STORE-01", "DM-POL-02", "RFC3261-7.3.1"]
                    .iter()
                    .any(|id| l.starts_with(id))
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn json_is_json() {
        for args in [
            Args {
                json: true,
                ..args()
            },
            Args {
                json: true,
                requirements: true,
                ..args()
            },
            Args {
                json: true,
                pics: true,
                ..args()
            },
        ] {
            let (status, text) = run(&args);
            assert_eq!(status, ExitStatus::Conforms);
            let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
            assert!(list.len() >= 3);
        }
    }

    #[test]
    fn pics_keys() {
        insta::assert_snapshot!(
            run(&Args {
                pics: true,
                ..args()
            })
            .1
        );
    }

    #[test]
    fn what_selects_nothing_is_an_error() {
        let (status, text) = run(&Args {
            selection: vec!["PG-99".to_owned()],
            ..args()
        });
        assert_eq!(status, ExitStatus::InvalidInput);
        assert!(
            text.starts_with("error: `PG-99` selects no scenario"),
            "{text}"
        );
    }

    #[test]
    fn every_bundled_group_has_a_title() {
        for scenario in bundled::suite(&bundled::catalogue().unwrap()).unwrap() {
            assert_ne!(group_title(group(&scenario)), "Others", "{}", scenario.id);
        }
    }
}
