//! `imspec adapter`: what a run relies on in the adapters of a profile.

use std::io::Write;
use std::path::PathBuf;

use super::ExitStatus;
use super::doctor::{examined, loaded};
use crate::doctor::{Adapter, accept};

/// Hold the adapters of a profile to what a run relies on
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Try each property of store, clock, policy and process, a line each
    ///
    /// Whoever writes an adapter, in whatever language, runs this until nothing fails. The server must be one that may
    /// be used: messages are left in it, its clock is moved, and it is stopped and killed where the profile says how.
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Check {
    /// Profile of the server: a file, or a folder that holds profile.yaml; default: the reference server
    #[arg(value_name = "PROFILE", conflicts_with = "profile")]
    path: Option<PathBuf>,
    /// The same
    #[arg(long, short, value_name = "PATH")]
    profile: Option<PathBuf>,
    /// Only these adapters
    #[arg(long, value_name = "ADAPTER", value_delimiter = ',')]
    only: Vec<Adapter>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn execute(args: &Args, out: &mut dyn Write) -> ExitStatus {
    let Sub::Check(args) = &args.command;
    let profile = match loaded(args.path.as_ref().or(args.profile.as_ref())) {
        Ok(profile) => profile,
        Err(status) => return status,
    };
    let adapters = if args.only.is_empty() {
        &Adapter::ALL[..]
    } else {
        &args.only
    };
    examined(&profile, args.json, out, async |tell| {
        accept(&profile, adapters, tell, super::interrupted()).await
    })
}
