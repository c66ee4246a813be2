//! What was learned, on its way out of one memory.db and into another: each session as one [`SessionRecord`], a line of
//! JSON with all its rows. What is read back gives the same record again.

mod check;
mod markdown;
mod read;
mod record;
mod write;

pub use check::parse;
pub use markdown::markdown;
pub use read::{Selection, sessions};
pub use record::{
    ExampleMark, FactRecord, MessageRecord, PreferenceRecord, QuoteRecord, SessionRecord, VERSION,
};
pub use write::Restored;
