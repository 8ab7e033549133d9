//! `imspec explain`: everything known about one id.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};

use super::ExitStatus;
use super::list::{basis, level};
use crate::bundled;
use crate::catalogue::requirement::covered;
use crate::catalogue::{Catalogue, Coverage, PicsKey, PicsKeys, Requirement};
use crate::document::Diagnostics;
use crate::document::suggest::closest;
use crate::plan::condition;
use crate::scenario::model::{Scenario, Step, UserState, Verb};

/// Explain an id: a requirement, scenario, PICS key, wording defect or exit status
#[derive(Debug, clap::Args)]
pub struct Args {
    /// DM-STORE-02, RFC3428-7, PG-05, policy.expired, WD-25, or an exit status such as 3
    id: String,
    /// The scenarios of this file or folder instead of the bundled ones
    #[arg(long, value_name = "DIR")]
    scenarios: Option<PathBuf>,
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const WARN: Style = AnsiColor::Yellow.on_default();

/// Columns of running text.
const COLUMNS: usize = 96;

/// Columns of the names before it.
const NAMES: usize = 13;

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    let (status, text) = match text(args) {
        Ok(text) => (ExitStatus::Conforms, text),
        Err(problem) => (ExitStatus::InvalidInput, problem),
    };
    // A reader that went away has what it wanted.
    let _ = out.write_all(text.as_bytes());
    status
}

/// Everything that ids may name.
struct Book {
    catalogue: Catalogue,
    pics: PicsKeys,
    scenarios: Vec<Arc<Scenario>>,
    coverage: Coverage,
}

fn text(args: &Args) -> Result<String, String> {
    let wrong = |diagnostics: Diagnostics| diagnostics.render(true);
    let catalogue = bundled::catalogue().map_err(wrong)?;
    let scenarios = bundled::suite_in(args.scenarios.as_deref(), &catalogue).map_err(wrong)?;
    let coverage = Coverage::of(scenarios.iter().map(Arc::as_ref));
    let book = Book {
        catalogue,
        pics: PicsKeys::bundled().map_err(wrong)?,
        scenarios,
        coverage,
    };
    book.explain(args.id.trim())
}

impl Book {
    fn explain(&self, id: &str) -> Result<String, String> {
        let upper = id.to_ascii_uppercase();
        if let Some(requirement) = self.catalogue.get(&upper) {
            return Ok(self.requirement(requirement));
        }
        if let Some(scenario) = self.scenarios.iter().find(|scenario| scenario.id == upper) {
            return Ok(self.scenario(scenario));
        }
        if let Some(key) = self.pics.get(&id.to_ascii_lowercase()) {
            return Ok(self.pics_key(key));
        }
        if self.defects().contains(&upper) {
            return Ok(self.defect(&upper));
        }
        if let Some(status) = ExitStatus::ALL
            .iter()
            .find(|status| status.code().to_string() == id)
        {
            let mut page = Page::new(&format!("exit status {id}"), status.meaning());
            for other in ExitStatus::ALL {
                page.entry(&other.code().to_string(), other.meaning());
            }
            return Ok(page.text);
        }
        let defects = self.defects();
        let known = self
            .catalogue
            .iter()
            .map(|r| r.id.as_str())
            .chain(self.scenarios.iter().map(|s| s.id.as_str()))
            .chain(self.pics.iter().map(|k| k.key.as_str()))
            .chain(defects.iter().map(String::as_str));
        let meant = match closest(id, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                "`imspec list`, `imspec list --requirements` and `imspec list --pics` show all ids"
                    .to_owned()
            }
        };
        Err(format!("error: nothing is called `{id}`; {meant}\n"))
    }

    fn requirement(&self, requirement: &Requirement) -> String {
        let what = format!(
            "{} · {} · clause {}",
            level(requirement.level),
            basis(requirement.basis),
            requirement.clause
        );
        let mut page = Page::new(&requirement.id, &what);
        page.entry("statement", &requirement.statement);
        page.entry("when", &requirement.condition);
        page.entry("seen", &requirement.observation);
        page.entry("testable", &requirement.testability);
        if requirement.declared {
            page.entry(
                "failure",
                "a profile mismatch: every behaviour is legal, but the profile declares which",
            );
        }
        if !requirement.wording.is_empty() {
            page.entry("wording", &requirement.wording.join(", "));
        }
        let keys: Vec<&str> = self
            .pics
            .iter()
            .filter(|key| {
                key.resolves.contains(&requirement.id)
                    || requirement
                        .wording
                        .iter()
                        .any(|defect| key.resolves.contains(defect))
            })
            .map(|key| key.key.as_str())
            .collect();
        if !keys.is_empty() {
            page.entry("PICS", &keys.join(", "));
        }
        self.scenarios_of(
            &mut page,
            self.coverage.scenarios(&requirement.id),
            "covered by",
        );
        page.text
    }

    fn scenario(&self, scenario: &Scenario) -> String {
        let mut page = Page::new(&scenario.id, &scenario.title);
        page.entry("purpose", &scenario.purpose);
        page.entry(
            "file",
            &format!("{}:{}", scenario.at.file, scenario.at.line),
        );
        let users: Vec<String> = scenario
            .users
            .iter()
            .map(|user| {
                let state = match user.state {
                    UserState::Online => "online",
                    UserState::Offline => "offline",
                    UserState::Absent => "absent",
                };
                format!("{} {state}", user.role)
            })
            .collect();
        page.entry("users", &users.join(", "));
        for (key, matcher) in &scenario.when {
            page.entry("when", &format!("{key}: {}", condition::describe(matcher)));
        }
        let cases: usize = scenario
            .matrix
            .iter()
            .map(|(_, values)| values.len())
            .product();
        if cases > 1 {
            let by: Vec<String> = scenario
                .matrix
                .iter()
                .map(|(name, values)| format!("{name} ×{}", values.len()))
                .collect();
            page.entry("cases", &format!("{cases} ({})", by.join(", ")));
        }
        page.entry("steps", &steps(&scenario.steps));
        if !scenario.touches.is_empty() {
            page.entry("wording", &scenario.touches.join(", "));
        }
        page.heading("covers");
        for id in covered(scenario) {
            let statement = self.catalogue.get(&id).map_or("", |r| r.statement.as_str());
            page.entry(&id, statement);
        }
        page.text
    }

    fn pics_key(&self, key: &PicsKey) -> String {
        let mut page = Page::new(
            &key.key,
            "PICS key: declared by the maker of a server, in its profile",
        );
        page.entry("about", &key.about);
        page.entry("values", &key.expected());
        if let Some(default) = &key.default {
            page.entry("usual", default);
        }
        if !key.resolves.is_empty() {
            page.entry("settles", &key.resolves.join(", "));
        }
        let ids: Vec<String> = self
            .scenarios
            .iter()
            .filter(|scenario| scenario.when.iter().any(|(known, _)| *known == key.key))
            .map(|scenario| scenario.id.clone())
            .collect();
        self.scenarios_of(&mut page, &ids, "asked for by");
        page.text
    }

    fn defect(&self, id: &str) -> String {
        let mut page = Page::new(id, "a defect in the wording of the specification");
        page.heading("requirements that it touches");
        for requirement in self
            .catalogue
            .iter()
            .filter(|r| r.wording.iter().any(|w| w == id))
        {
            page.entry(&requirement.id, &requirement.statement);
        }
        let keys: Vec<&PicsKey> = self
            .pics
            .iter()
            .filter(|key| key.resolves.iter().any(|r| r == id))
            .collect();
        if !keys.is_empty() {
            page.heading("settled by declaring");
            for key in keys {
                page.entry(&key.key, &key.about);
            }
        }
        let ids: Vec<String> = self
            .scenarios
            .iter()
            .filter(|scenario| {
                scenario.touches.iter().any(|t| t == id) || reads(&scenario.steps, id)
            })
            .map(|scenario| scenario.id.clone())
            .collect();
        self.scenarios_of(&mut page, &ids, "scenarios that it touches");
        page.text
    }

    fn scenarios_of(&self, page: &mut Page, ids: &[String], heading: &str) {
        page.heading(heading);
        if ids.is_empty() {
            let _ = writeln!(page.text, "  {WARN}no scenario{WARN:#}");
        }
        for scenario in self
            .scenarios
            .iter()
            .filter(|scenario| ids.contains(&scenario.id))
        {
            page.entry(&scenario.id, &scenario.title);
        }
    }

    fn defects(&self) -> BTreeSet<String> {
        let of_requirements = self.catalogue.iter().flat_map(|r| &r.wording);
        let of_keys = self.pics.iter().flat_map(|key| &key.resolves);
        let of_scenarios = self.scenarios.iter().flat_map(|s| &s.touches);
        of_requirements
            .chain(of_keys)
            .chain(of_scenarios)
            .filter(|id| id.starts_with("WD-"))
            .cloned()
            .collect()
    }
}

/// Whether some step records a reading of a defect.
fn reads(steps: &[Step], id: &str) -> bool {
    steps.iter().any(|step| match &step.verb {
        Verb::Reading(readings) => readings.iter().any(|(defect, _)| defect == id),
        Verb::When(when) => reads(&when.then, id) || reads(&when.otherwise, id),
        Verb::Parallel(branches) => branches.iter().any(|branch| reads(branch, id)),
        Verb::Repeat(repeat) => reads(&repeat.steps, id),
        _ => false,
    })
}

/// The verbs in order: `message, stored, register, receive`.
fn steps(steps: &[Step]) -> String {
    let names: Vec<&str> = steps.iter().map(|step| step.verb.name()).collect();
    names.join(", ")
}

/// A page of named texts.
struct Page {
    text: String,
}

impl Page {
    fn new(title: &str, subtitle: &str) -> Self {
        Self {
            text: format!("{BOLD}{title}{BOLD:#}  {subtitle}\n\n"),
        }
    }

    fn heading(&mut self, heading: &str) {
        let gap = if self.text.ends_with("\n\n") {
            ""
        } else {
            "\n"
        };
        let _ = writeln!(self.text, "{gap}{BOLD}{heading}{BOLD:#}");
    }

    fn entry(&mut self, name: &str, text: &str) {
        let indent = NAMES.max(name.chars().count() + 2);
        let mut column = indent;
        let gap = " ".repeat(indent - name.chars().count());
        let _ = write!(self.text, "  {DIM}{name}{DIM:#}{gap}");
        for (index, word) in text.split_whitespace().enumerate() {
            let length = word.chars().count();
            if index > 0 && column + 1 + length > COLUMNS {
                let _ = write!(self.text, "\n  {}", " ".repeat(indent));
                column = indent;
            } else if index > 0 {
                self.text.push(' ');
                column += 1;
            }
            self.text.push_str(word);
            column += length;
        }
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn explain(id: &str) -> (ExitStatus, String) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite");
        let args = Args {
            id: id.to_owned(),
            scenarios: Some(folder.into()),
        };
        let mut out = anstream::StripStream::new(Vec::new());
        let status = execute(&args, &mut out);
        let text = String::from_utf8(out.into_inner()).unwrap();
        (status, text.replace(env!("CARGO_MANIFEST_DIR"), ""))
    }

    #[test]
    fn every_kind_of_id() {
        for id in [
            "DM-STORE-01",
            "dm-trig-02",
            "PG-01",
            "EX-01",
            "policy.expired",
            "WD-25",
            "3",
        ] {
            let (status, text) = explain(id);
            assert_eq!(status, ExitStatus::Conforms, "{text}");
            insta::assert_snapshot!(id, text);
        }
    }

    #[test]
    fn an_unknown_id_is_an_error_with_a_suggestion() {
        assert_eq!(
            explain("DM-STOER-01"),
            (
                ExitStatus::InvalidInput,
                "error: nothing is called `DM-STOER-01`; did you mean `DM-STORE-01`?\n".to_owned()
            )
        );
        assert_eq!(explain("").0, ExitStatus::InvalidInput);
    }
}
