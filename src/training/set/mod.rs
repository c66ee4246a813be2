//! The training set: the chats that models are trained on, one for each session.
//!
//! `training_data/set/sessions.jsonl` holds a line a session ([`SetLine`]): its identity and key, and the chat with
//! the answers marked that are worth learning. It only grows: a revision's line comes later and takes the earlier
//! one's place, and a line without answers takes a session out. The courier appends to it after the commit, so a
//! session is in the set if and only if it was learned. Whoever rewrites the file (forgetting, compaction) holds its
//! lock, as the courier does while it appends; [`TrainingSet::remove`] is the way to take sessions out for good.
//!
//! Which sessions are held out depends on their identity alone, so a session stays on its side as the set grows.

mod line;
mod outline;
mod split;
mod store;

pub use crate::session::SpokenTurn;
pub use line::SetLine;
pub(crate) use outline::{Outline, short};
pub use split::{Split, draw, split};
pub use store::{SetHead, TrainingSet};
