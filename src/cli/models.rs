//! `atles models`: the base models, and the versions trained from them. One file a verb.

mod pull;

use clap::Subcommand;

use super::Exit;

/// Options of `atles models`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Fetch a known base model into the cache folder that all homes share ($ATLES_CACHE, else the platform's).
    Pull(pull::Args),
}

pub(super) fn run(args: &Args) -> Exit {
    match &args.verb {
        Verb::Pull(args) => pull::run(args),
    }
}
