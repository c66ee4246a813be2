//! The command line: one file a verb. stdout is data, stderr everything else.

mod args;
mod check;
mod demo;
mod eval;
mod exit;
mod export;
mod failed;
mod import_memory;
mod init;
mod models_embedding;
mod open;
mod profile;
mod recall;
mod report;
mod run;
mod say;
mod status;
mod submit;

pub use args::{Cli, main};
pub use exit::Exit;
