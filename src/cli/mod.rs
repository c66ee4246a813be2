//! The command line: one file a verb. stdout is data, stderr everything else.

mod args;
mod check;
mod demo;
mod eval;
mod exit;
mod failed;
mod init;
mod launch;
mod open;
mod outcome;
mod profile;
mod recall;
mod report;
mod run;
mod say;
mod service;
mod status;
mod submit;

pub use args::{Cli, main};
pub use exit::Exit;
