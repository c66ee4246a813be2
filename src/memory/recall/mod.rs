//! Recall: the turns, facts and preferences that matter to a question, each with its source.
//!
//! A [`Question`](question) is read into terms, dates and what kind of answer it wants. [`search`] scores the turns of
//! one user (or of all) by the index alone: BM25 of the turn, a share of what its neighbours score, a share of what
//! its whole session scores, and whether it was said at the time asked about. The best are then looked at closely in
//! [`rank`]: how old they are, who said them, which statements of fact or preference they hold. Nothing here needs a
//! model or a server, and the text of a question is never part of a statement in SQL.

mod dates;
mod evaluate;
mod fields;
mod hit;
mod meaning;
mod open;
mod passage;
mod question;
mod rank;
mod search;
mod statements;
mod times;
mod weights;

pub use evaluate::{Asked, Latency, Marks, Report};
pub use hit::{Hit, Kind, Parts, Span, Statement};
pub use open::Memory;
pub use rank::{Query, Recall, Whose};
pub use weights::{FEATURES, Weights};
