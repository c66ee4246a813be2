//! `atles models`: the base models, and the versions trained from them. One file a verb.

mod list;
mod promote;
mod publish;
mod pull;
mod show;

use std::path::Path;

use clap::Subcommand;

use super::Exit;

pub(super) use pull::Bar as PullBar;

/// Options of `atles models`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The versions, with what each gained.
    List(list::Args),
    /// Everything about one version; draws its loss curve.
    Show(show::Args),
    /// Fetch a known base model into the cache folder that all homes share ($ATLES_CACHE, else the platform's).
    Pull(pull::Args),
    /// Make a version current.
    Promote(promote::Args),
    /// Bring a version to Ollama, to llama-server or into a folder.
    Publish(publish::Args),
    /// Go back to the version before the current one, or to the base alone.
    Rollback,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    match &args.verb {
        Verb::List(args) => list::run(config, args),
        Verb::Show(args) => show::run(config, args),
        Verb::Pull(args) => pull::run(args),
        Verb::Promote(args) => promote::run(config, args),
        Verb::Publish(args) => publish::run(config, args),
        Verb::Rollback => promote::rollback(config),
    }
}
