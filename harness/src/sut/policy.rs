//! Policy adapters: set what the specification leaves to the provider, by PICS key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::Pending;
use super::control::Control;
use super::program::{Failure, Program};

/// How long a server may take to say what holds, when that is taken back.
const ANSWER: Duration = Duration::from_secs(10);

/// Why a server is not as a case wants it.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The server says that it cannot be so; that is its right.
    #[error("the server declines: {0}")]
    Declined(String),
    /// It could not be told.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for SetError {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<Failure> for SetError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Declined(why) => Self::Declined(why),
            Failure::Failed(why) => Self::Failed(why),
        }
    }
}

/// Sets what the provider may choose.
pub trait Policy: Send + Sync {
    /// Keys that [`Self::set`] takes.
    fn settable(&self) -> &BTreeSet<String>;

    /// The present choices, as far as the server tells.
    fn read(&self) -> Pending<'_, Result<BTreeMap<String, Value>, String>>;

    /// Makes a choice; the others stay.
    fn set<'a>(&'a self, values: &'a BTreeMap<String, Value>) -> Pending<'a, Result<(), SetError>>;
}

/// Takes back whatever differs by now from what held before.
///
/// # Errors
/// What the server says, or why it cannot be told.
pub(crate) async fn restore(
    policy: &dyn Policy,
    before: BTreeMap<String, Value>,
) -> Result<(), String> {
    let settable = policy.settable();
    let now = tokio::time::timeout(ANSWER, policy.read())
        .await
        .map_err(|_| format!("no answer within {} s", ANSWER.as_secs()))??;
    let changed: BTreeMap<_, _> = before
        .into_iter()
        .filter(|(key, value)| settable.contains(key) && now.get(key) != Some(value))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let set = policy.set(&changed).await;
    set.map_err(|e| e.to_string())
}

/// A provider that cannot be asked to choose otherwise.
#[derive(Debug, Default)]
pub struct Fixed {
    nothing: BTreeSet<String>,
}

impl Policy for Fixed {
    fn settable(&self) -> &BTreeSet<String> {
        &self.nothing
    }

    fn read(&self) -> Pending<'_, Result<BTreeMap<String, Value>, String>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    fn set<'a>(&'a self, _: &'a BTreeMap<String, Value>) -> Pending<'a, Result<(), SetError>> {
        Box::pin(async { Err(SetError::Failed("the profile has no policy adapter".into())) })
    }
}

/// Choices through the control API.
#[derive(Debug)]
pub struct ByControl {
    control: Control,
    settable: BTreeSet<String>,
}

impl ByControl {
    pub(crate) fn new(control: Control, settable: BTreeSet<String>) -> Self {
        Self { control, settable }
    }
}

impl Policy for ByControl {
    fn settable(&self) -> &BTreeSet<String> {
        &self.settable
    }

    fn read(&self) -> Pending<'_, Result<BTreeMap<String, Value>, String>> {
        Box::pin(self.control.policy())
    }

    fn set<'a>(&'a self, values: &'a BTreeMap<String, Value>) -> Pending<'a, Result<(), SetError>> {
        Box::pin(async move {
            if let Some(key) = values.keys().find(|key| !self.settable.contains(*key)) {
                return Err(SetError::Failed(format!(
                    "the policy adapter of the profile cannot set `{key}`"
                )));
            }
            self.control.set_policy(values).await
        })
    }
}

/// Choices that a program makes, one at a time. What the server chose before is what the profile declares.
#[derive(Debug)]
pub struct ByProgram {
    program: Program,
    settable: BTreeSet<String>,
    /// What is declared, and then what was set: nobody else is there to be asked.
    present: Mutex<BTreeMap<String, Value>>,
}

impl ByProgram {
    pub(crate) fn new(
        program: Program,
        settable: BTreeSet<String>,
        declared: &BTreeMap<String, Value>,
    ) -> Self {
        let mut present = declared.clone();
        present.retain(|key, _| settable.contains(key));
        Self {
            program,
            settable,
            present: Mutex::new(present),
        }
    }

    fn present(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn choose(&self, key: &str, value: &Value) -> Result<(), SetError> {
        if !self.settable.contains(key) {
            return Err(SetError::Failed(format!(
                "the policy adapter of the profile cannot set `{key}`"
            )));
        }
        // A program that fails or is interrupted may have done it: only who declines has certainly not.
        let before = self.present().insert(key.to_owned(), value.clone());
        // A text as it is, anything else as JSON.
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let words = [("key", key), ("value", text.as_str())];
        let ran = self.program.run(&words).await.map_err(SetError::from);
        if let Err(SetError::Declined(_)) = ran {
            let mut present = self.present();
            match before {
                Some(before) => present.insert(key.to_owned(), before),
                None => present.remove(key),
            };
        }
        ran.map(drop)
    }
}

impl Policy for ByProgram {
    fn settable(&self) -> &BTreeSet<String> {
        &self.settable
    }

    fn read(&self) -> Pending<'_, Result<BTreeMap<String, Value>, String>> {
        Box::pin(async { Ok(self.present().clone()) })
    }

    fn set<'a>(&'a self, values: &'a BTreeMap<String, Value>) -> Pending<'a, Result<(), SetError>> {
        Box::pin(async move {
            for (key, value) in values {
                self.choose(key, value).await?;
            }
            Ok(())
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sut::places::Places;

    #[tokio::test]
    async fn what_a_program_may_have_set_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            profile: folder.path().to_owned(),
            ..Places::default()
        };
        // It declines one value, and fails behind the work at another.
        let script = "case $2 in no) exit 65;; esac; echo $1=$2 >>set; [ $2 != half ]";
        let words = ["sh", "-c", script, "x", "${key}", "${value}"].map(str::to_owned);
        let one = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), Value::from(value))]);
        let declared = [one("a", "1"), one("b", "1"), one("c", "1")].into_iter();
        let declared: BTreeMap<_, _> = declared.flatten().collect();
        let settable = declared.keys().cloned().collect();
        let policy = ByProgram::new(Program::new(&words, &places), settable, &declared);
        policy.set(&one("a", "2")).await.unwrap();
        assert!(policy.set(&one("b", "no")).await.is_err());
        assert!(policy.set(&one("c", "half")).await.is_err());
        restore(&policy, declared.clone()).await.unwrap();
        assert_eq!(policy.read().await, Ok(declared));
        let set = std::fs::read_to_string(folder.path().join("set")).unwrap();
        assert_eq!(set, "a=2\nc=half\na=1\nc=1\n");
    }
}
