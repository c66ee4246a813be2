//! Folders of other programs, learned from without changing a byte in them.
//!
//! A source is watched and, now and then, read in full; an event only means "look at this file". A conversation that
//! is at rest is written as a session file and handed to the spool, where its way is that of any other. When it goes
//! on, it comes again under the same session id and takes its earlier version's place.
//!
//! What is known of a file, of a session and of each message lies in the state store, written after the spool has the
//! session: after a crash between the two it is handed over again, and recognised.

mod account;
mod copies;
mod llm;
mod observer;
mod open_webui;
mod positions;
mod program;
mod read;
mod rows;
mod source;
mod sqlite;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;
mod worker;

pub use account::{SourceProblem, SourceReport};
pub use observer::{Observer, ObserverSettings};
pub use program::Program;
