//! `imspec faults`: the seeded faults of the reference server, and the proof that the suite catches them.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstyle::Style;
use imspec_faults::{FAULTS, Fault, Need};
use serde_json::json;
use tokio::sync::watch;

use super::ExitStatus;
use crate::bundled;
use crate::document::suggest::closest;
use crate::prove::{self, Bench, Proof, ProofEvent, render};

/// List the faults that `imspec serve --fault` seeds, or prove that the suite catches them
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Args {
    /// Only these: names or ids of faults (drops-subject, M-001), or requirements (DM-STORE-02)
    selection: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// As a table in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Run the scenarios of the requirements that each fault violates, and tell which faults are caught
    #[arg(long)]
    prove: bool,
    /// Try every scenario on every fault; one that catches none is an error, too
    #[arg(long, requires = "prove")]
    all_scenarios: bool,
    /// Look into no store and move no clock: what the wire alone shows, in real time
    #[arg(long, requires = "prove")]
    black_box: bool,
    /// Waits of a case that may be waited in real time
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = super::run::duration, requires = "prove")]
    time_budget: std::time::Duration,
    /// Faults at work at the same time
    #[arg(long, short, value_name = "N", default_value_t = 6)]
    jobs: usize,
    /// Where the tables of a proof go
    #[arg(
        long,
        short,
        value_name = "DIR",
        default_value = "imspec-reports/faults"
    )]
    out: PathBuf,
    /// Seed of random texts and user names; default: drawn
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    let faults = match selected(&args.selection) {
        Ok(faults) => faults,
        Err(why) => {
            anstream::eprintln!("error: {why}");
            return ExitStatus::InvalidInput;
        }
    };
    if args.prove {
        return match proven(args, &faults).and_then(|proof| written(args, &proof, out)) {
            Ok(status) => status,
            Err((status, why)) => {
                anstream::eprintln!("error: {}", why.trim_end());
                status
            }
        };
    }
    let text = if args.json {
        listed_as_json(&faults)
    } else if args.markdown {
        listed_as_markdown(&faults)
    } else {
        listed(&faults)
    };
    // A reader that went away (`| head`) has what it wanted.
    let _ = out.write_all(text.as_bytes());
    ExitStatus::Conforms
}

fn proven(args: &Args, faults: &[&'static Fault]) -> Result<Proof, (ExitStatus, String)> {
    let invalid = |why: crate::document::Diagnostics| (ExitStatus::InvalidInput, why.to_string());
    let catalogue = bundled::catalogue().map_err(invalid)?;
    let bench = Bench {
        scenarios: Arc::new(bundled::suite(&catalogue).map_err(invalid)?),
        catalogue: Arc::new(catalogue),
        profile: if args.black_box {
            prove::black_box(bundled::reference_profile().map_err(invalid)?)
        } else {
            bundled::reference_profile().map_err(invalid)?
        },
        all_scenarios: args.all_scenarios,
        black_box: args.black_box,
        time_budget: args.time_budget,
        jobs: args.jobs,
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| (ExitStatus::HarnessError, format!("no runtime: {why}")))?;
    let bar = progress(faults.len());
    let proof = runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let interrupt = tokio::spawn(async move {
            if super::end_requested().await.is_ok() {
                // The receivers are gone only when the proof is over anyway.
                let _ = stop.send(true);
            }
            // Keeps the sender alive: a dropped one would look like a request to stop.
            std::future::pending::<()>().await;
        });
        let tell = |event: ProofEvent| {
            if let ProofEvent::Tried(trial) = event {
                bar.inc(1);
                bar.set_message(format!("{} {}", trial.fault, trial.fate.as_str()));
            }
        };
        let proof = prove::prove(bench, faults, tell, stopped).await;
        interrupt.abort();
        proof
    });
    bar.finish_and_clear();
    proof.ok_or_else(|| {
        (
            ExitStatus::HarnessError,
            "stopped before the proof was there".to_owned(),
        )
    })
}

fn progress(faults: usize) -> indicatif::ProgressBar {
    use indicatif::{ProgressBar, ProgressStyle};
    // Hides itself where standard error is no terminal.
    let bar = ProgressBar::new(u64::try_from(faults).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} faults  {elapsed}  {msg}")
    {
        bar.set_style(style);
    }
    bar
}

/// Writes the tables, and says what came out.
fn written(
    args: &Args,
    proof: &Proof,
    out: &mut dyn Write,
) -> Result<ExitStatus, (ExitStatus, String)> {
    let text = render::text(proof);
    let json = render::json(proof);
    let plain = anstream::adapter::strip_str(&text).to_string();
    let tables = [
        ("proof.json", &json),
        ("proof.md", &render::markdown(proof)),
        ("proof.txt", &plain),
    ];
    let mut files = String::new();
    for (name, table) in tables {
        let path = args.out.join(name);
        write_file(&path, table).map_err(|why| {
            (
                ExitStatus::HarnessError,
                format!("{}: {why}", path.display()),
            )
        })?;
        let _ = writeln!(files, "  {}", path.display());
    }
    let shown = if args.json {
        json
    } else {
        format!("{text}\nTables:\n{files}")
    };
    // A reader that went away has what it wanted; the tables are on disk.
    let _ = out.write_all(shown.as_bytes());
    Ok(if proof.holds() {
        ExitStatus::Conforms
    } else {
        ExitStatus::Nonconformity
    })
}

fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

/// The fault of that name or id, or what is wrong with the word.
pub fn named(word: &str) -> Result<&'static Fault, String> {
    imspec_faults::find(word).ok_or_else(|| {
        let names = FAULTS.iter().flat_map(|fault| [fault.name, fault.id]);
        let meant = closest(word, names)
            .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        format!("`{word}` is no fault{meant} (`imspec faults` lists them)")
    })
}

/// The faults that some words mean; all where there are none.
fn selected(words: &[String]) -> Result<Vec<&'static Fault>, String> {
    if words.is_empty() {
        return Ok(FAULTS.iter().collect());
    }
    let mut faults: Vec<&'static Fault> = Vec::new();
    for word in words {
        let violates = |fault: &&Fault| {
            fault
                .violates
                .iter()
                .any(|id| id.eq_ignore_ascii_case(word))
        };
        let mut found: Vec<&Fault> = FAULTS.iter().filter(violates).collect();
        if found.is_empty() {
            found.push(named(word)?);
        }
        for fault in found {
            if !faults.iter().any(|known| known.name == fault.name) {
                faults.push(fault);
            }
        }
    }
    Ok(faults)
}

fn needs(fault: &Fault) -> String {
    let words: Vec<&str> = fault
        .needs
        .iter()
        .map(|need: &Need| need.as_str())
        .collect();
    words.join("+")
}

fn listed(faults: &[&Fault]) -> String {
    let width =
        |text: fn(&Fault) -> usize| faults.iter().map(|fault| text(fault)).max().unwrap_or(0);
    let (name, need) = (
        width(|fault| fault.name.len()),
        width(|fault| needs(fault).len()),
    );
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{BOLD}{:6}  {:name$}  {:need$}  violates{BOLD:#}",
        "id", "name", "needs"
    );
    for fault in faults {
        let under = match fault.under {
            "" => String::new(),
            under => format!(" Shows under {under}."),
        };
        let _ = writeln!(
            text,
            "{:6}  {:name$}  {:need$}  {}",
            fault.id,
            fault.name,
            needs(fault),
            fault.violates.join(" ")
        );
        let _ = writeln!(text, "        {DIM}{}{under}{DIM:#}", fault.about);
    }
    let _ = writeln!(text, "\n{} faults", faults.len());
    text
}

fn listed_as_markdown(faults: &[&Fault]) -> String {
    let mut text =
        "| id | name | violates | needs | what it does |\n|---|---|---|---|---|\n".to_owned();
    for fault in faults {
        let under = match fault.under {
            "" => String::new(),
            under => format!(" Shows under `{under}`."),
        };
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {} | {}{under} |",
            fault.id,
            fault.name,
            fault.violates.join(", "),
            needs(fault),
            fault.about,
        );
    }
    text
}

fn listed_as_json(faults: &[&Fault]) -> String {
    let list: Vec<_> = faults
        .iter()
        .map(|fault| {
            json!({
                "id": fault.id,
                "name": fault.name,
                "violates": fault.violates,
                "about": fault.about,
                "needs": fault.needs.iter().map(|need| need.as_str()).collect::<Vec<_>>(),
                "under": (!fault.under.is_empty()).then_some(fault.under),
            })
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&list).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use super::*;
    use crate::bundled;
    use crate::catalogue::Coverage;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn faults_are_listed_with_what_they_violate() {
        let faults = selected(&words(&["drops-subject", "m-002", "DM-DRV-02"])).unwrap();
        insta::assert_snapshot!(plain(&listed(&faults)));
    }

    #[test]
    fn an_unknown_fault_is_answered_with_a_near_one() {
        insta::assert_snapshot!(named("drops-subjects").unwrap_err(), @"`drops-subjects` is no fault; did you mean `drops-subject`? (`imspec faults` lists them)");
    }

    #[test]
    fn faults_violate_what_scenarios_cover() {
        let catalogue = bundled::catalogue().unwrap();
        let suite = bundled::suite(&catalogue).unwrap();
        let coverage = Coverage::of(suite.iter().map(std::sync::Arc::as_ref));
        for fault in FAULTS.iter() {
            for id in fault.violates {
                assert!(
                    catalogue.get(id).is_some(),
                    "{}: {id} is not known",
                    fault.name
                );
                assert!(
                    !coverage.scenarios(id).is_empty(),
                    "{}: nothing covers {id}",
                    fault.name
                );
            }
        }
    }

    #[test]
    fn every_requirement_has_two_faults() {
        let catalogue = bundled::catalogue().unwrap();
        let suite = bundled::suite(&catalogue).unwrap();
        let coverage = Coverage::of(suite.iter().map(std::sync::Arc::as_ref));
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for id in FAULTS.iter().flat_map(|fault| fault.violates) {
            *count.entry(id).or_default() += 1;
        }
        let poor: Vec<&str> = catalogue
            .iter()
            .map(|requirement| requirement.id.as_str())
            .filter(|id| id.starts_with("DM-") && !coverage.scenarios(id).is_empty())
            .filter(|id| count.get(id).copied().unwrap_or(0) < 2)
            .collect();
        assert!(poor.is_empty(), "fewer than two faults violate {poor:?}");
    }

    #[test]
    fn the_documentation_lists_every_fault() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/faults.md");
        let page = std::fs::read_to_string(file).unwrap();
        let table = listed_as_markdown(&selected(&[]).unwrap());
        assert!(
            page.contains(&table),
            "docs/faults.md has another table than `imspec faults --markdown` prints"
        );
    }

    #[test]
    fn json_is_json() {
        let all = selected(&[]).unwrap();
        let list: Vec<serde_json::Value> = serde_json::from_str(&listed_as_json(&all)).unwrap();
        assert_eq!(list.len(), FAULTS.len());
    }
}
