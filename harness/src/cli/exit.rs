//! Exit status of the command, by cause.

/// What the process ends with. Scripts rely on these numbers; they never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitStatus {
    /// Everything that was asked for was done; the SUT conforms as far as it was shown.
    Conforms = 0,
    /// At least one nonconformity, profile mismatch or error in a message of the SUT (with `--strict` also a
    /// deviation or a warning) that no waiver accepts.
    Nonconformity = 1,
    /// Wrong usage, or an invalid scenario, profile, waiver file or catalogue. Nothing was run.
    InvalidInput = 2,
    /// A waiver is stale.
    StaleWaiver = 3,
    /// The SUT could not be reached or set up.
    Unreachable = 4,
    /// The harness broke (at least one case ended with the verdict `error`), or the run was interrupted.
    HarnessError = 5,
    /// Something was inconclusive, and `--inconclusive=fail` asks that this counts.
    Inconclusive = 6,
}

impl ExitStatus {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Conforms,
        Self::Nonconformity,
        Self::InvalidInput,
        Self::StaleWaiver,
        Self::Unreachable,
        Self::HarnessError,
        Self::Inconclusive,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// One line for `--help` and the documentation.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Conforms => "conforms, as far as it was shown",
            Self::Nonconformity => "a nonconformity, a profile mismatch or a protocol error",
            Self::InvalidInput => {
                "wrong usage, or an invalid scenario, profile, waiver or catalogue; nothing was run"
            }
            Self::StaleWaiver => "a waiver is stale",
            Self::Unreachable => "the server under test could not be reached or set up",
            Self::HarnessError => "the harness broke, or the run was interrupted",
            Self::Inconclusive => "inconclusive, with --inconclusive=fail",
        }
    }
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
