//! Policy adapters: set what the specification leaves to the provider, by PICS key.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Pending;
use super::control::Control;
use super::program::{Failure, Program};

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
    declared: BTreeMap<String, Value>,
}

impl ByProgram {
    pub(crate) fn new(
        program: Program,
        settable: BTreeSet<String>,
        declared: &BTreeMap<String, Value>,
    ) -> Self {
        let mut declared = declared.clone();
        declared.retain(|key, _| settable.contains(key));
        Self {
            program,
            settable,
            declared,
        }
    }
}

impl Policy for ByProgram {
    fn settable(&self) -> &BTreeSet<String> {
        &self.settable
    }

    fn read(&self) -> Pending<'_, Result<BTreeMap<String, Value>, String>> {
        Box::pin(async { Ok(self.declared.clone()) })
    }

    fn set<'a>(&'a self, values: &'a BTreeMap<String, Value>) -> Pending<'a, Result<(), SetError>> {
        Box::pin(async move {
            for (key, value) in values {
                if !self.settable.contains(key) {
                    return Err(SetError::Failed(format!(
                        "the policy adapter of the profile cannot set `{key}`"
                    )));
                }
                // A text as it is, anything else as JSON.
                let value = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let words = [("key", key.as_str()), ("value", value.as_str())];
                self.program.run(&words).await?;
            }
            Ok(())
        })
    }
}
