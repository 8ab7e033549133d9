//! `imspec check`: everything that is wrong with scenarios, profiles and waivers, before anything is run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ExitStatus;
use super::run::profile_file;
use crate::bundled;
use crate::document::{Diagnostics, Source, tree};
use crate::judge::waiver;
use crate::scenario::{Known, Scenario, ScenarioFile, load};
use crate::sut::Profile;

/// Find mistakes in scenarios, profiles and waivers
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Scenarios, profiles and waivers: files, or folders with .yaml files; default: the bundled suite
    files: Vec<PathBuf>,
    /// A profile: a file, or a folder that holds profile.yaml
    #[arg(long, short, value_name = "PATH")]
    profile: Vec<PathBuf>,
    /// Warnings are mistakes, too
    #[arg(long)]
    strict: bool,
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    let mut diagnostics = Diagnostics::new();
    let mut paths = args.files.clone();
    paths.extend(args.profile.iter().map(|path| profile_file(path)));
    let files = if paths.is_empty() {
        Ok(ScenarioFile::bundled())
    } else {
        ScenarioFile::read_all(&paths)
    };
    let files = match files {
        Ok(files) => files,
        Err(found) => {
            diagnostics.extend(found);
            Vec::new()
        }
    };
    let named = |file: &ScenarioFile| {
        paths[args.files.len()..]
            .iter()
            .any(|path| *path == Path::new(&file.name))
    };
    let (profiles, files): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|file| named(file) || is_profile(file));
    let (waivers, scenarios): (Vec<_>, Vec<_>) = files.into_iter().partition(is_waivers);
    let mut good_profiles = 0;
    for profile in &profiles {
        match Profile::check(Path::new(&profile.name)) {
            Ok((_, found)) => {
                good_profiles += 1;
                diagnostics.extend(found);
            }
            Err(found) => diagnostics.extend(found),
        }
    }
    let (good, found) = load::check_suite(&scenarios, &Known::bundled());
    diagnostics.extend(found);
    let mut good_waivers = 0;
    for file in &waivers {
        match read_waivers(file, &good) {
            Ok(count) => good_waivers += count,
            Err(found) => diagnostics.extend(found),
        }
    }
    // A reader that went away has what it wanted.
    let _ = out.write_all(diagnostics.render(true).as_bytes());
    let _ = writeln!(
        out,
        "{}",
        summary(good.len(), good_profiles, good_waivers, &diagnostics)
    );
    if diagnostics.errors() > 0 || (args.strict && !diagnostics.is_empty()) {
        ExitStatus::InvalidInput
    } else {
        ExitStatus::Conforms
    }
}

/// A profile has `pixit`, a scenario has `steps`.
fn is_profile(file: &ScenarioFile) -> bool {
    let source = Arc::new(Source::new(&file.name, &file.text));
    tree::parse(&source).is_ok_and(|root| {
        root.get("steps").is_none()
            && ["pixit", "pics", "adapters"]
                .iter()
                .any(|key| root.get(key).is_some())
    })
}

/// A waiver file has `waivers`, a scenario has `steps`.
fn is_waivers(file: &ScenarioFile) -> bool {
    let source = Arc::new(Source::new(&file.name, &file.text));
    tree::parse(&source)
        .is_ok_and(|root| root.get("steps").is_none() && root.get("waivers").is_some())
}

/// Holds a waiver file against the bundled suite and the scenarios that are checked with it; gives how many
/// waivers it has.
fn read_waivers(file: &ScenarioFile, checked: &[Arc<Scenario>]) -> Result<usize, Diagnostics> {
    let catalogue = bundled::catalogue()?;
    let mut suite = bundled::suite(&catalogue)?;
    let known = |scenario: &Scenario| suite.iter().any(|it| it.id == scenario.id);
    let more: Vec<_> = checked.iter().filter(|it| !known(it)).cloned().collect();
    suite.extend(more);
    let source = Arc::new(Source::new(&file.name, &file.text));
    waiver::read(&source, &suite, &catalogue).map(|waivers| waivers.len())
}

fn summary(scenarios: usize, profiles: usize, waivers: usize, diagnostics: &Diagnostics) -> String {
    let count = |number: usize, one: &str, many: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    };
    let mut parts = Vec::new();
    if diagnostics.errors() > 0 {
        parts.push(count(diagnostics.errors(), "error", "errors"));
    }
    if diagnostics.warnings() > 0 {
        parts.push(count(diagnostics.warnings(), "warning", "warnings"));
    }
    if scenarios > 0 || profiles + waivers == 0 {
        parts.push(format!(
            "{} without error",
            count(scenarios, "scenario", "scenarios")
        ));
    }
    if profiles > 0 {
        parts.push(format!(
            "{} without error",
            count(profiles, "profile", "profiles")
        ));
    }
    if waivers > 0 {
        parts.push(format!(
            "{} without error",
            count(waivers, "waiver", "waivers")
        ));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn run(files: &[&str], strict: bool) -> (ExitStatus, String) {
        let args = Args {
            files: files.iter().map(PathBuf::from).collect(),
            profile: Vec::new(),
            strict,
        };
        let mut out = anstream::StripStream::new(Vec::new());
        let status = execute(&args, &mut out);
        (status, String::from_utf8(out.into_inner()).unwrap())
    }

    #[test]
    fn the_bundled_suite_has_no_mistake() {
        let (status, text) = run(&[], true);
        assert_eq!(status, ExitStatus::Conforms, "{text}");
    }

    #[test]
    fn mistakes_end_with_2() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/diagnostics/durations.yaml"
        );
        let (status, text) = run(&[file], false);
        assert_eq!(status, ExitStatus::InvalidInput);
        assert!(text.contains("durations.yaml:7:11"), "{text}");
        assert!(
            text.ends_with("6 errors, 1 warning, 0 scenarios without error\n"),
            "{text}"
        );
    }

    #[test]
    fn warnings_count_if_asked() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/diagnostics/file_name.yaml"
        );
        assert_eq!(run(&[file], false).0, ExitStatus::Conforms);
        assert_eq!(run(&[file], true).0, ExitStatus::InvalidInput);
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let (status, text) = run(&["no/such.yaml"], false);
        assert_eq!(status, ExitStatus::InvalidInput);
        assert!(text.starts_with("error: no/such.yaml: "), "{text}");
    }
}
