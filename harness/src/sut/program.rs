//! Programs that reach into a server where nothing else does: a script beside the profile that reads its store,
//! moves its clock, makes a choice or an account.
//!
//! A program is a list of words. References in them are filled in when it is run, and what stands in a reference
//! is one word or a part of one: nothing is given to a shell. What it prints on standard output is its answer; a
//! status other than 0 is a failure, with what it printed on standard error as the reason. One status says that
//! nothing failed and the server cannot have what was asked for.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::places::Places;

/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the output of a program is read that has ended itself.
const GRACE: Duration = Duration::from_millis(500);
/// Largest answer that is read, in octets.
const LARGEST: usize = 64 * 1024 * 1024;
/// The reference that stands for a password, and what is shown in its place.
const SECRET: &str = "password";
const MASK: &str = "***";
/// Octets of a complaint that are shown.
const SHOWN: usize = 400;

/// The status by which `ssh` says that it did not come to run anything.
const SSH_FAILED: i32 = 255;

/// The status that says so; `EX_DATAERR` of sysexits.h.
const DECLINED: i32 = 65;

/// Why a program gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server cannot have what was asked for.
    Declined(String),
    /// It could not be run, or something went wrong in it.
    Failed(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Declined(why) | Failure::Failed(why) => why,
        }
    }
}

/// A program of the profile at the places of one server.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    words: Vec<String>,
    places: Places,
    within: Duration,
}

impl Program {
    /// A program with these words, in which references may stand.
    pub(crate) fn new(words: &[String], places: &Places) -> Self {
        Self {
            words: words.to_vec(),
            places: places.clone(),
            within: PATIENCE,
        }
    }

    /// The same, which may take as long as that where it is longer than usual.
    pub(crate) fn within(mut self, within: Duration) -> Self {
        self.within = within.max(PATIENCE);
        self
    }

    /// As a reader sees it.
    pub(crate) fn shown(&self) -> String {
        self.words.join(" ")
    }

    /// What it printed; nothing where it ended with another status than 0, which is an answer, too.
    ///
    /// # Errors
    /// Where it cannot be run or takes too long.
    pub(crate) async fn answer(&self, more: &[(&str, &str)]) -> Result<Option<Vec<u8>>, String> {
        let (words, status, answer, complaint) = self.ended(more).await?;
        if words.starts_with("ssh ") && status.code() == Some(SSH_FAILED) {
            let complaint = String::from_utf8_lossy(&complaint.octets);
            return Err(format!("`{words}`: {}", complaint.trim()));
        }
        Ok(status.success().then_some(answer.octets))
    }

    /// Runs it in the folder of the profile, with further references filled in; gives what it printed.
    ///
    /// # Errors
    /// Where it cannot be run, takes too long, says too much, or ends with another status than 0.
    pub(crate) async fn run(&self, more: &[(&str, &str)]) -> Result<Vec<u8>, Failure> {
        // Whoever reads a failure may read the account, never its password.
        let secret = more.iter().find(|(name, _)| *name == SECRET);
        let secret = secret
            .map(|(_, value)| *value)
            .filter(|value| !value.is_empty());
        let hidden = |text: &str| match secret {
            Some(secret) => text.replace(secret, MASK),
            None => text.to_owned(),
        };
        let (words, status, answer, complaint) = self
            .ended(more)
            .await
            .map_err(|why| Failure::Failed(hidden(&why)))?;
        let failed = |why: &dyn std::fmt::Display| hidden(&format!("`{words}`: {why}"));
        if !status.success() {
            let complaint = String::from_utf8_lossy(&complaint.octets);
            let why = failed(&match complaint.trim() {
                "" => format!("{status}, without a word"),
                complaint => format!("{status}; it said: {complaint}"),
            });
            return Err(match status.code() {
                Some(DECLINED) => Failure::Declined(why),
                _ => Failure::Failed(why),
            });
        }
        if answer.cut {
            return Err(failed(&format!("it printed more than {LARGEST} octets")).into());
        }
        Ok(answer.octets)
    }

    /// Runs it to its end: its words, its status, what it said and what it complained about.
    async fn ended(
        &self,
        more: &[(&str, &str)],
    ) -> Result<(String, ExitStatus, Drained, Drained), String> {
        let words = self
            .words
            .iter()
            .map(|word| self.places.fill_with(word, more))
            .collect::<Result<Vec<_>, String>>()?;
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| "an empty command".to_owned())?;
        let failed = |why: &dyn std::fmt::Display| format!("`{}`: {why}", words.join(" "));
        let mut child = tokio::process::Command::new(self.path_of(program))
            .args(arguments)
            .current_dir(&self.places.profile)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(&e))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut answer, mut complaint) = (Drained::default(), Drained::default());
        let whole = async {
            let draining = async {
                tokio::join!(
                    drain(stdout, LARGEST, &mut answer),
                    drain(stderr, SHOWN, &mut complaint)
                )
            };
            tokio::pin!(draining);
            tokio::select! {
                biased;
                _ = &mut draining => child.wait().await,
                status = child.wait() => {
                    // A server that it has started in the background may hold its output open for ever.
                    let _ = tokio::time::timeout(GRACE, &mut draining).await;
                    status
                }
            }
        };
        let status = tokio::time::timeout(self.within, whole)
            .await
            .map_err(|_| failed(&format!("did not end within {} s", self.within.as_secs())))?;
        let status = status.map_err(|e| failed(&e))?;
        Ok((words.join(" "), status, answer, complaint))
    }

    /// The same as one line of text.
    ///
    /// # Errors
    /// As [`Self::run`], and where the answer is no text.
    pub(crate) async fn say(&self, more: &[(&str, &str)]) -> Result<String, String> {
        let octets = self.run(more).await?;
        let text = String::from_utf8(octets)
            .map_err(|_| format!("`{}` printed what is no UTF-8", self.words.join(" ")))?;
        Ok(text.trim().to_owned())
    }

    /// A path with a slash starts from the profile's folder, as all paths of a profile do; a plain name is looked
    /// for in PATH.
    fn path_of(&self, program: &str) -> std::path::PathBuf {
        if program.contains('/') {
            self.places.profile.join(program)
        } else {
            program.into()
        }
    }
}

#[derive(Default)]
struct Drained {
    octets: Vec<u8>,
    cut: bool,
}

/// Reads to the end, so that the writer never waits, and keeps the first octets.
async fn drain(stream: Option<impl AsyncRead + Unpin>, most: usize, drained: &mut Drained) {
    let Some(mut stream) = stream else {
        return;
    };
    let mut piece = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        let room = most.saturating_sub(drained.octets.len());
        drained.cut |= length > room;
        drained.octets.extend_from_slice(&piece[..length.min(room)]);
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn program(words: &[&str]) -> Program {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let places = Places {
            profile: std::env::temp_dir(),
            ..Places::default()
        };
        Program::new(&words, &places)
    }

    #[tokio::test]
    async fn references_are_words_and_never_code() {
        let echo = program(&["printf", "%s|", "${user}", "x${user}y"]);
        let said = echo.say(&[("user", "a b; $(id) '\"")]).await.unwrap();
        assert_eq!(said, "a b; $(id) '\"|xa b; $(id) '\"y|");
        let why = echo.say(&[]).await.unwrap_err();
        assert_eq!(why, "`${user}` has no value here");
    }

    #[tokio::test]
    async fn a_failure_says_what_the_program_said() {
        let why = program(&["sh", "-c", "echo no such table >&2; exit 3"])
            .run(&[])
            .await
            .unwrap_err();
        let why = failed(why);
        assert!(
            why.contains("exit status: 3; it said: no such table"),
            "{why}"
        );
        let guarded = program(&[
            "sh",
            "-c",
            "echo no account for $1 >&2; exit 3",
            "x",
            "${password}",
        ]);
        let why = failed(guarded.run(&[("password", "s3cret")]).await.unwrap_err());
        assert!(
            why.contains("no account for ***") && !why.contains("s3cret"),
            "{why}"
        );
        let why = failed(program(&["./is-not-there"]).run(&[]).await.unwrap_err());
        assert!(why.contains("`./is-not-there`: No such file"), "{why}");
    }

    #[tokio::test]
    async fn one_status_declines() {
        let decline = program(&["sh", "-c", "echo not this domain >&2; exit 65"]);
        let Failure::Declined(why) = decline.run(&[]).await.unwrap_err() else {
            panic!("it failed");
        };
        assert!(why.contains("not this domain"), "{why}");
    }

    fn failed(failure: Failure) -> String {
        match failure {
            Failure::Failed(why) => why,
            Failure::Declined(why) => panic!("declined: {why}"),
        }
    }
}
