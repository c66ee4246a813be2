//! What travels through the pipeline: a [`Session`], what was [`Learned`] from it, and the [`Envelope`] around both.

mod envelope;
pub mod formats;
mod key;
mod learned;
mod model;
mod moment;
mod spoken;

pub use envelope::{Effect, Envelope, FileFacts, Keep, LogFiles, Rewrite};
pub use key::{Identity, SessionKey};
pub(crate) use key::{opening, own_id};
pub use learned::{Fact, Feedback, KeyPhrase, Learned, Patterns, Polarity, Preference, Quote, Topic};
pub use model::{Message, Rating, Role, Session};
pub use moment::Moment;
pub use spoken::SpokenTurn;
