//! Forgetting: what a person wants gone leaves every file of the home, and does not come back.
//!
//! An [`Order`] names a session, a user, a fact or words. It is carried out while nothing else works on the home:
//! without a daemon under its lock, with one by the daemon itself, between two lives of its pipeline. First the home is
//! [`survey`]ed, and what was found is written down; then each part of the home is cleaned, always in the same order,
//! each step such that repeating it changes nothing. A crash on the way is made up for by the next start, or by asking
//! again: the note of what was found is deleted last.
//!
//! What remains is a [`Receipt`] of counts and hashes. It is also what keeps the forgotten from coming back:
//! [`Forgotten`] reads all receipts, and the pipeline and `atles rebuild` ask it about every session.

mod clean;
mod error;
mod forgotten;
mod needle;
mod order;
mod originals;
mod receipt;
mod records;
mod run;
mod survey;
mod versions;

pub use error::ForgetError;
pub use forgotten::{Forgotten, Recognised, is_stub};
pub use order::{Order, OrderError, What};
pub use receipt::{Count, FileGone, Receipt, SessionGone, TurnHash, receipts};
pub use run::{allow, forget, is_pending, resume};
