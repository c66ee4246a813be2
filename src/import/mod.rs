//! Exports of other programs, handed to the spool one conversation a file.
//!
//! An export is read as a stream: of a zip, or a file of gigabytes, one conversation at a time is held. What can be
//! read is handed over, the rest is listed. What was handed over is noted, so that a second run goes on where the
//! first one was broken off.

mod elements;
mod handed;
mod input;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod zip;

pub use report::{Problem, Report};
pub use run::{Import, ImportError, Options, Progress, Since};
