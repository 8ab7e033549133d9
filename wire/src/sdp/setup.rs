//! Who opens the connection: `a=setup` (RFC 4145) as RFC 6135 uses it for MSRP.

/// The values of `a=setup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// I open the connection.
    Active,
    /// I wait for it.
    Passive,
    /// Either; only in offers.
    ActPass,
    /// Not now. MSRP ignores it (RFC 6135 §4.2.1).
    HoldConn,
}

/// What one side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Opens the connection and sends a SEND at once.
    Active,
    /// Waits for it.
    Passive,
}

/// The two sides have not agreed on who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer `setup:{answered}` does not go with the offer `setup:{offered}`")]
pub struct SetupConflict {
    /// What the offer says, `active` where it says nothing.
    pub offered: Setup,
    /// What the answer says, `passive` where it says nothing.
    pub answered: Setup,
}

impl Setup {
    /// The value by its name, case-sensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::Passive, Self::ActPass, Self::HoldConn]
            .into_iter()
            .find(|setup| setup.name() == name)
    }

    /// `active`, `passive`, `actpass`, `holdconn`
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

impl std::fmt::Display for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Role {
    /// The role of the other side.
    pub fn other(self) -> Self {
        match self {
            Self::Active => Self::Passive,
            Self::Passive => Self::Active,
        }
    }

    /// The attribute value that says it in an answer.
    pub fn setup(self) -> Setup {
        match self {
            Self::Active => Setup::Active,
            Self::Passive => Setup::Passive,
        }
    }
}

/// The role that an answerer takes, given what the offer says and what it would rather do.
pub fn answerer_role(offered: Option<Setup>, wish: Role) -> Role {
    let _ = (offered, wish);
    todo!()
}

/// The role of the offerer once the answer is there.
pub fn offerer_role(
    offered: Option<Setup>,
    answered: Option<Setup>,
) -> Result<Role, SetupConflict> {
    let _ = (offered, answered);
    todo!()
}
