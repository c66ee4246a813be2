//! memory.db: what was learned, in SQLite.
//!
//! The committer owns the one [`Writer`] and stores a batch of sessions in one transaction. The full-text [`index`]
//! over the turns follows in the background. Nothing learned overwrites anything: what holds *now* is worked out by
//! the views in `views.sql` from when each thing was said, so a session that arrives late, or is taken back, leaves
//! the right answer. [`reader`] answers the questions of `atles status` and of the reports, [`recall`] those of people
//! and chat apps; [`profile`] is what is known of a user, and [`prompt`] the block that goes into a system prompt.

mod batch;
pub mod carry;
pub mod embedding;
mod error;
pub mod forget;
pub mod index;
pub mod profile;
pub mod prompt;
pub mod provisional;
pub mod reader;
pub mod recall;
mod rows;
mod schema;
pub mod transfer;
mod writer;

pub use batch::{Batch, Stored};
pub use error::MemoryError;
pub use schema::{MESSAGES_MAX, VERSION};
pub use writer::Writer;

#[cfg(test)]
mod tests;
