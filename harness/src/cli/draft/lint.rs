//! `imspec draft lint`: defects of the wording.

use std::io::Write;

use super::{File, open, write};
use crate::cli::ExitStatus;
use crate::draft::lint::{self, Finding, Weight, lint};
use crate::draft::render;

/// Find wording that is ambiguous, cannot be tested, or contradicts the RFCs
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    draft: File,
    /// Only these rules
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    only: Vec<String>,
    /// Not these rules
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    except: Vec<String>,
    /// End with 1 where something is found
    #[arg(long)]
    strict: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> Result<ExitStatus, String> {
    known(args.only.iter().chain(&args.except))?;
    let draft = open(&args.draft.file)?;
    let wanted = |finding: &Finding| {
        let id = finding.rule.id;
        (args.only.is_empty() || args.only.iter().any(|it| it == id))
            && !args.except.iter().any(|it| it == id)
    };
    let mut findings = lint(&draft);
    findings.retain(wanted);
    let text = if args.json {
        format!("{:#}\n", lint::as_json(&draft, &findings))
    } else {
        let found = lint::render(&draft, &findings);
        format!(
            "{found}{}{}",
            summary(&findings),
            render::assumptions(&draft)
        )
    };
    write(out, &text);
    Ok(if args.strict && !findings.is_empty() {
        ExitStatus::Nonconformity
    } else {
        ExitStatus::Conforms
    })
}

fn known<'a>(mut ids: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let rules = lint::rules();
    let unknown = ids.find(|id| !rules.iter().any(|rule| rule.id == **id));
    unknown.map_or(Ok(()), |id| {
        let names = || rules.iter().map(|rule| rule.id);
        let all = crate::document::suggest::one_of(names());
        let meant = crate::document::suggest::closest(id, names());
        let help = meant.map_or(format!("expected {all}"), |meant| {
            format!("did you mean `{meant}`?")
        });
        Err(format!("error: no rule is called `{id}`; {help}"))
    })
}

fn summary(findings: &[Finding]) -> String {
    let count = |weight: Weight| {
        findings
            .iter()
            .filter(|it| it.rule.weight == weight)
            .count()
    };
    format!(
        "{} findings: {} decide verdicts, {} need a choice to be declared, {} are editorial\n",
        findings.len(),
        count(Weight::Verdict),
        count(Weight::Choice),
        count(Weight::Editorial)
    )
}
