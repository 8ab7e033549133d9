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

/// The role that an answerer takes, given what the offer says and what it would rather do
/// (RFC 4145 §4.1). An offer without the attribute, or with `holdconn`, comes from a side that
/// connects itself (RFC 6135 §4.2.1, RFC 4975 §8.5).
pub fn answerer_role(offered: Option<Setup>, wish: Role) -> Role {
    match offered.unwrap_or(Setup::HoldConn) {
        Setup::Active | Setup::HoldConn => Role::Passive,
        Setup::Passive => Role::Active,
        Setup::ActPass => wish,
    }
}

/// The role of the offerer once the answer is there. An answer without the attribute, or with
/// `holdconn`, comes from a side that waits (RFC 6135 §4.2.2, RFC 4975 §8.5).
pub fn offerer_role(
    offered: Option<Setup>,
    answered: Option<Setup>,
) -> Result<Role, SetupConflict> {
    let meant = |setup: Option<Setup>, default| match setup {
        None | Some(Setup::HoldConn) => default,
        Some(setup) => setup,
    };
    let offered = meant(offered, Setup::Active);
    let answered = meant(answered, Setup::Passive);
    match (offered, answered) {
        (Setup::Active | Setup::ActPass, Setup::Passive) => Ok(Role::Active),
        (Setup::Passive | Setup::ActPass, Setup::Active) => Ok(Role::Passive),
        _ => Err(SetupConflict { offered, answered }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Option<Setup>; 5] = [
        None,
        Some(Setup::Active),
        Some(Setup::Passive),
        Some(Setup::ActPass),
        Some(Setup::HoldConn),
    ];

    #[test]
    fn names() {
        for setup in ALL.into_iter().flatten() {
            assert_eq!(Setup::from_name(setup.name()), Some(setup));
        }
        assert_eq!(Setup::from_name("Active"), None);
        assert_eq!(Setup::from_name(""), None);
    }

    #[test]
    fn an_answer_always_goes_with_its_offer() {
        for offered in ALL {
            for wish in [Role::Active, Role::Passive] {
                let mine = answerer_role(offered, wish);
                assert_eq!(
                    offerer_role(offered, Some(mine.setup())),
                    Ok(mine.other()),
                    "{offered:?} {wish:?}"
                );
            }
        }
    }

    #[test]
    fn the_answerer_has_a_choice_only_where_it_is_offered() {
        use Role::{Active, Passive};
        let roles = |offered| {
            (
                answerer_role(offered, Active),
                answerer_role(offered, Passive),
            )
        };
        assert_eq!(roles(None), (Passive, Passive));
        assert_eq!(roles(Some(Setup::Active)), (Passive, Passive));
        assert_eq!(roles(Some(Setup::Passive)), (Active, Active));
        assert_eq!(roles(Some(Setup::ActPass)), (Active, Passive));
        assert_eq!(roles(Some(Setup::HoldConn)), (Passive, Passive));
    }

    #[test]
    fn the_table_of_offer_and_answer() {
        let show = |result: Result<Role, SetupConflict>| match result {
            Ok(Role::Active) => "active".to_owned(),
            Ok(Role::Passive) => "passive".to_owned(),
            Err(conflict) => conflict.to_string(),
        };
        let name = |setup: Option<Setup>| setup.map_or("-", Setup::name);
        let mut table = Vec::new();
        for offered in ALL {
            for answered in ALL {
                let result = show(offerer_role(offered, answered));
                table.push(format!(
                    "{} + {}: {result}\n",
                    name(offered),
                    name(answered)
                ));
            }
        }
        insta::assert_snapshot!(table.concat());
    }
}
