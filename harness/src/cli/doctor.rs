//! `imspec doctor`: can this server be tested with this profile, and what stands in the way?

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};

use super::ExitStatus;
use super::run::profile_file;
use crate::bundled;
use crate::doctor::{self, Line, State};
use crate::sut::Profile;

/// Try each thing that a profile promises, and say of what fails what to check
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Profile of the server: a file, or a folder that holds profile.yaml; default: the reference server
    #[arg(value_name = "PROFILE", conflicts_with = "profile")]
    path: Option<PathBuf>,
    /// The same
    #[arg(long, short, value_name = "PATH")]
    profile: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
/// Columns of a line.
const WIDTH: usize = 110;
/// Columns before what was seen.
const INDENT: usize = 28;

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    let profile = match loaded(args.path.as_ref().or(args.profile.as_ref())) {
        Ok(profile) => profile,
        Err(status) => return status,
    };
    examined(&profile, args.json, out, async |tell| {
        doctor::examine(&profile, tell, super::interrupted()).await
    })
}

/// A profile; that of the reference server where none is named.
pub(super) fn loaded(path: Option<&PathBuf>) -> Result<Profile, ExitStatus> {
    let profile = match path {
        None => bundled::reference_profile(),
        Some(path) => Profile::load(&profile_file(path)),
    };
    profile.map_err(|diagnostics| {
        anstream::eprintln!("{}", diagnostics.render(true).trim_end());
        ExitStatus::InvalidInput
    })
}

/// Prints the lines of an examination as they come, and what they come to; nothing comes of an interrupted one.
pub(super) fn examined(
    profile: &Profile,
    as_json: bool,
    out: &mut dyn Write,
    examine: impl AsyncFnOnce(&mut dyn FnMut(&Line)) -> Option<Vec<Line>>,
) -> ExitStatus {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(why) => {
            anstream::eprintln!("error: no runtime: {why}");
            return ExitStatus::HarnessError;
        }
    };
    // A reader that went away has what it wanted, here and below.
    if !as_json {
        let _ = writeln!(out, "{}\n", heading(profile));
    }
    let examined = runtime.block_on(async {
        let mut tell = |line: &Line| {
            if !as_json {
                let _ = out.write_all(shown(line).as_bytes());
                // Each as soon as it is known: some of them take their time.
                let _ = out.flush();
            }
        };
        examine(&mut tell).await
    });
    let Some(lines) = examined else {
        anstream::eprintln!("interrupted; the server is left as it was found");
        return ExitStatus::HarnessError;
    };
    let text = if as_json {
        json(profile, &lines)
    } else {
        summary(&lines)
    };
    let _ = out.write_all(text.as_bytes());
    if lines.iter().any(|line| line.state == State::Fails) {
        ExitStatus::Unreachable
    } else {
        ExitStatus::Conforms
    }
}

fn heading(profile: &Profile) -> String {
    let version = profile
        .version
        .as_deref()
        .map(|it| format!(" {it}"))
        .unwrap_or_default();
    format!("{}: {}{version}", profile.name, profile.product)
}

fn json(profile: &Profile, lines: &[Line]) -> String {
    let works = lines.iter().all(|line| line.state != State::Fails);
    let document = serde_json::json!({ "profile": profile.name, "works": works, "lines": lines });
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    format!("{text}\n")
}

fn shown(line: &Line) -> String {
    let style = match line.state {
        State::Ok => GOOD,
        State::Fails => BAD,
        State::NotPromised | State::NotTried => DIM,
    };
    let mut text = format!(
        "{style}{:<13}{style:#}{:<15}",
        line.state.as_str(),
        line.what
    );
    let _ = writeln!(text, "{}", wrapped(&line.said));
    for check in &line.check {
        let _ = writeln!(text, "{:INDENT$}check: {}", "", wrapped(check));
    }
    text
}

/// Broken between words, and at line ends, with the following lines below the first.
fn wrapped(said: &str) -> String {
    let mut text = String::new();
    let mut column = INDENT;
    for (number, line) in said.trim_end().lines().enumerate() {
        if number > 0 {
            let _ = write!(text, "\n{:INDENT$}  ", "");
            column = INDENT + 2;
        }
        for (position, word) in line.split(' ').enumerate() {
            let length = word.chars().count();
            if position > 0 && column + 1 + length > WIDTH {
                let _ = write!(text, "\n{:INDENT$}  {word}", "");
                column = INDENT + 2 + length;
            } else {
                if position > 0 {
                    text.push(' ');
                    column += 1;
                }
                text.push_str(word);
                column += length;
            }
        }
    }
    text
}

fn summary(lines: &[Line]) -> String {
    let counted = [State::Ok, State::Fails, State::NotPromised, State::NotTried].map(|state| {
        let number = lines.iter().filter(|line| line.state == state).count();
        (number, state.as_str())
    });
    let parts: Vec<String> = counted
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    format!("\n{}\n", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words() {
        let line = Line {
            what: "register".into(),
            state: State::Fails,
            said: format!(
                "{} and its last lines:\nbad configuration",
                "word ".repeat(20).trim()
            ),
            check: vec!["the log".into()],
        };
        let mut out = anstream::StripStream::new(Vec::new());
        let _ = out.write_all(shown(&line).as_bytes());
        insta::assert_snapshot!(String::from_utf8_lossy(&out.into_inner()));
    }
}
