//! The small files that people read: session logs, the master log, training data.
//!
//! Writing and syncing two files a session would cap the daemon at the disk's fsync rate. So their content goes into
//! a journal first, one sync for a whole batch, beside the database transaction; the files themselves follow from the
//! journal in the background, as soon as new sessions leave the processor to them, and are made again from it after a
//! crash. A piece of the journal is deleted only when its files are on stable storage.

mod courier;
mod desk;
mod journal;
mod master_log;
mod record;
mod syncer;

pub use courier::{Courier, Settled};
pub use journal::{Journal, Place, records};
pub use record::{Output, Record};
pub use syncer::Syncer;
