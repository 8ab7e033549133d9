//! Connection establishment for media anchoring (RFC 6714): which address to connect to.

use super::setup::{Role, Setup};

/// What an answerer knows when an offer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// The offer has `a=msrp-cema`.
    pub cema: bool,
    /// `c=` and `m=` are a place of the path.
    pub line_matches_path: bool,
    /// The path has more than one URI: the offerer is behind a relay (RFC 6714 §4.3).
    pub relay: bool,
    /// `a=setup` of the offer.
    pub setup: Option<Setup>,
}

/// What an answerer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswererDecision {
    /// Refuse the section (port 0) or the request (488).
    Reject,
    /// RFC 4975: no `a=msrp-cema` in the answer, connect by the path.
    Fallback,
    /// `a=msrp-cema` in the answer; an active answerer connects to `c=` and `m=`.
    Cema,
}

/// What an offerer knows when the answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The answer has `a=msrp-cema`.
    pub cema: bool,
    /// `c=` and `m=` are a place of the path.
    pub line_matches_path: bool,
    /// The path has more than one URI: the answerer is behind a relay.
    pub relay: bool,
    /// What the offerer becomes.
    pub role: Role,
}

/// What an offerer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffererDecision {
    /// Send a new offer without `a=msrp-cema`, by RFC 4975.
    NewOffer,
    /// Connect by the path, without a new offer.
    ConnectToPath,
    /// Connect to the address of `c=` and the port of `m=`.
    ConnectToLine,
    /// Wait for the answerer's connection.
    Wait,
}

/// The decision of an answerer that supports CEMA (RFC 6714 §4.3). `own_relay` says whether it is
/// behind a relay itself.
///
/// Whether the offer has `a=msrp-cema` counts only for the refusal: an offer without it whose lines
/// name the place of its path is answered with the attribute like any other.
pub fn answerer(offered: Offered, own_relay: bool) -> AnswererDecision {
    // `holdconn` is as if there were no attribute (RFC 6135 §4.2.1).
    let offerer_connects = matches!(offered.setup, None | Some(Setup::Active | Setup::HoldConn));
    let answerer_connects = offered.setup == Some(Setup::Passive);
    if !offered.cema && !offered.line_matches_path {
        AnswererDecision::Reject
    } else if offered.relay && (own_relay || offerer_connects) || own_relay && answerer_connects {
        AnswererDecision::Fallback
    } else {
        AnswererDecision::Cema
    }
}

/// The decision of an offerer that offered CEMA (RFC 6714 §4.2). `own_relay` says whether it is
/// behind a relay itself.
pub fn offerer(answered: Answered, own_relay: bool) -> OffererDecision {
    let Answered {
        cema,
        line_matches_path,
        relay,
        role,
    } = answered;
    let by_middlebox = !line_matches_path;
    match role {
        Role::Passive if by_middlebox && !cema => OffererDecision::NewOffer,
        Role::Passive => OffererDecision::Wait,
        // A relay connects by the path alone. §4.1 says so of every active endpoint behind one,
        // §4.2 only of those whose peer does not support CEMA.
        Role::Active if own_relay && by_middlebox => OffererDecision::NewOffer,
        Role::Active if own_relay => OffererDecision::ConnectToPath,
        Role::Active if relay && by_middlebox && !cema => OffererDecision::NewOffer,
        // No middlebox, a relay: RFC 4975 without a new offer.
        Role::Active if relay && !by_middlebox => OffererDecision::ConnectToPath,
        Role::Active => OffererDecision::ConnectToLine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [bool; 2] = [false, true];

    /// `name` or nothing, to show which conditions hold.
    fn word(holds: bool, name: &str) -> String {
        if holds {
            format!("{name} ")
        } else {
            String::new()
        }
    }

    #[test]
    fn the_whole_table_of_the_answerer() {
        let setups = [
            None,
            Some(Setup::Active),
            Some(Setup::Passive),
            Some(Setup::ActPass),
            Some(Setup::HoldConn),
        ];
        let mut table = Vec::new();
        for cema in BOTH {
            for line_matches_path in BOTH {
                for relay in BOTH {
                    for own_relay in BOTH {
                        for setup in setups {
                            let offered = Offered {
                                cema,
                                line_matches_path,
                                relay,
                                setup,
                            };
                            table.push(format!(
                                "{}{}{}{}{}-> {:?}\n",
                                word(cema, "cema"),
                                word(line_matches_path, "match"),
                                word(relay, "offerer-relay"),
                                word(own_relay, "answerer-relay"),
                                word(setup.is_some(), setup.map_or("", Setup::name)),
                                answerer(offered, own_relay)
                            ));
                        }
                    }
                }
            }
        }
        insta::assert_snapshot!(table.concat());
    }

    #[test]
    fn the_whole_table_of_the_offerer() {
        let mut table = Vec::new();
        for role in [Role::Active, Role::Passive] {
            for cema in BOTH {
                for line_matches_path in BOTH {
                    for own_relay in BOTH {
                        for relay in BOTH {
                            let answered = Answered {
                                cema,
                                line_matches_path,
                                relay,
                                role,
                            };
                            table.push(format!(
                                "{role:?} {}{}{}{}-> {:?}\n",
                                word(cema, "cema"),
                                word(line_matches_path, "match"),
                                word(own_relay, "offerer-relay"),
                                word(relay, "answerer-relay"),
                                offerer(answered, own_relay)
                            ));
                        }
                    }
                }
            }
        }
        insta::assert_snapshot!(table.concat());
    }

    #[test]
    fn the_clauses_one_by_one() {
        let offer = Offered {
            cema: true,
            line_matches_path: false,
            relay: false,
            setup: Some(Setup::ActPass),
        };
        let no_cema = Offered {
            cema: false,
            ..offer
        };
        assert_eq!(answerer(no_cema, false), AnswererDecision::Reject);
        let relayed = Offered {
            relay: true,
            ..offer
        };
        assert_eq!(answerer(offer, false), AnswererDecision::Cema);
        assert_eq!(answerer(relayed, false), AnswererDecision::Cema);
        assert_eq!(answerer(relayed, true), AnswererDecision::Fallback);
        let by_default = Offered {
            setup: None,
            ..relayed
        };
        assert_eq!(answerer(by_default, false), AnswererDecision::Fallback);
        let waits = Offered {
            setup: Some(Setup::Passive),
            ..offer
        };
        assert_eq!(answerer(waits, true), AnswererDecision::Fallback);
        assert_eq!(answerer(waits, false), AnswererDecision::Cema);

        let answer = Answered {
            cema: true,
            line_matches_path: false,
            relay: false,
            role: Role::Active,
        };
        let plain = Answered {
            cema: false,
            ..answer
        };
        let passive = Answered {
            role: Role::Passive,
            ..plain
        };
        assert_eq!(offerer(answer, false), OffererDecision::ConnectToLine);
        assert_eq!(offerer(passive, false), OffererDecision::NewOffer);
        assert_eq!(offerer(plain, true), OffererDecision::NewOffer);
        let to_relay = Answered {
            relay: true,
            ..plain
        };
        assert_eq!(offerer(to_relay, false), OffererDecision::NewOffer);
        let without_middlebox = Answered {
            line_matches_path: true,
            ..to_relay
        };
        assert_eq!(
            offerer(without_middlebox, false),
            OffererDecision::ConnectToPath
        );
        assert_eq!(offerer(plain, false), OffererDecision::ConnectToLine);
    }
}
