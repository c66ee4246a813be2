//! The command line: one file a verb. stdout is data, stderr everything else.

mod args;
mod check;
mod demo;
mod eval;
mod exit;
mod export;
mod failed;
mod forget;
mod import;
mod import_memory;
mod init;
mod launch;
#[cfg(feature = "trainer")]
mod models;
mod models_embedding;
mod open;
mod outcome;
mod profile;
mod rebuild;
mod recall;
mod report;
mod run;
mod say;
mod service;
mod status;
mod submit;
#[cfg(feature = "trainer")]
mod train;

pub use args::{Cli, main};
pub use exit::Exit;
