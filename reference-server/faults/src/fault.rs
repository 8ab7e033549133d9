//! What is told of a fault, and how it is put into a server.

use imspec_reference_server::{Config, Parts};

/// What a tester needs to see a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// What the server sends.
    Wire,
    /// A look into the store.
    Store,
    /// To restart the server.
    Restart,
    /// To move its clock.
    Clock,
    /// To set its policy, or a declaration of it.
    Policy,
}

impl Need {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Store => "store",
            Self::Restart => "restart",
            Self::Clock => "clock",
            Self::Policy => "policy",
        }
    }
}

/// One fault.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// What it does, in a few words: `drops-subject`.
    pub name: &'static str,
    /// Its id in the catalogue of mutants (`M-…`), or one that continues it (`F-…`).
    pub id: &'static str,
    /// The requirements that it violates; to be caught, one of them must fail.
    pub violates: &'static [&'static str],
    /// What it does, in one sentence.
    pub about: &'static str,
    /// All that is needed to see it.
    pub needs: &'static [Need],
    /// The setting under which it shows, as `key: value`; empty where there is none.
    pub under: &'static str,
    /// What its maker declares besides: key and value of a setting that the server does not have.
    pub declares: Option<(&'static str, &'static str)>,
    pub(crate) configure: fn(&mut Config),
    pub(crate) seed: fn(Parts) -> Parts,
}

impl Fault {
    /// A fault that shows on the wire, with nothing in it yet.
    pub(crate) const fn new(
        name: &'static str,
        id: &'static str,
        violates: &'static [&'static str],
        about: &'static str,
    ) -> Self {
        Self {
            name,
            id,
            violates,
            about,
            needs: &[Need::Wire],
            under: "",
            declares: None,
            configure: |_| {},
            seed: |parts| parts,
        }
    }

    pub(crate) const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    /// Shows in the store alone.
    pub(crate) const fn stored(self) -> Self {
        self.needs(&[Need::Store])
    }

    pub(crate) const fn under(self, under: &'static str) -> Self {
        Self { under, ..self }
    }

    /// Shows under a declaration that the server does not live up to.
    pub(crate) const fn declares(self, key: &'static str, value: &'static str) -> Self {
        Self {
            declares: Some((key, value)),
            ..self
        }
    }

    pub(crate) const fn seed(self, seed: fn(Parts) -> Parts) -> Self {
        Self { seed, ..self }
    }

    pub(crate) const fn configure(self, configure: fn(&mut Config)) -> Self {
        Self { configure, ..self }
    }
}
