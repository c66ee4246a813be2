use super::{Exit, say};
use crate::memory::embedding::{self, EmbeddingError};

/// Options of `atles models`.
#[cfg(not(feature = "trainer"))]
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[cfg(not(feature = "trainer"))]
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Fetch a model into the user's cache folder ($ATLES_CACHE names another).
    Pull {
        /// `wordllama`: vectors of words, by which recall compares meanings (19 MB, from the Python package index).
        #[arg(value_parser = [WORDLLAMA])]
        model: String,
    },
}

/// The one model for recall.
pub(super) const WORDLLAMA: &str = "wordllama";

#[cfg(not(feature = "trainer"))]
pub(super) fn run(args: &Args) -> Exit {
    let Verb::Pull { .. } = &args.verb;
    pull()
}

/// Fetches the vectors of words and prints where they lie.
pub(super) fn pull() -> Exit {
    let pulled = embedding::cache_folder().ok_or(EmbeddingError::NoCache).and_then(|cache| {
        let size = embedding::pull::DOWNLOAD_BYTES / 1_000_000;
        eprintln!("{WORDLLAMA}: {size} MB from the Python package index, into {}", cache.display());
        embedding::pull::pull(&cache)
    });
    match pulled {
        Ok(path) => {
            eprintln!("recall compares meanings from now on; a daemon that runs does so from its next start");
            say::data(&format!("{}\n", path.display()))
        }
        Err(problem) => {
            say::error(&problem, Some(problem.hint()));
            Exit::Failure
        }
    }
}
