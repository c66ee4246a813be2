//! What must be remembered about files between two runs of the daemon.
//!
//! The folders are the truth; this store is an index over them that can be rebuilt. It answers: was this content
//! learned already, how often was this file tried and when next, what did an outside stage add before the crash.
//!
//! The settler (see [`crate::pipeline`]) writes what becomes of files; the thread of the sources writes its own records.
//! Any thread reads.

pub mod forget;
mod ledger;
mod records;
mod redo;
mod rewrite;
mod sled_store;
mod store;

pub use ledger::{State, StateBatch};
pub use records::{
    Attempt, Checkpoint, FileRecord, LearnedRecord, LedgerEntry, Outcome, RecordError, SettledMark, Totals,
};
pub use rewrite::finish_rewrite;
pub use sled_store::SledStore;
pub use store::{Batch, InMemoryStore, StateError, StateStore};
