//! ATLES learns from the chats of an assistant.
//!
//! A chat app drops the file of a finished session into a spool folder. The file is claimed, decoded and pushed
//! through the chain of stages that `pipeline.toml` declares; what the stages learned is committed in one group
//! commit; then the file rests in `done/`, or in `failed/` beside a sidecar that says why.
//!
//! The modules stand in the order in which a session meets them:
//!
//! 1. [`session`]: what travels: the session, what was learned of it, the envelope around both, the chat formats.
//! 2. [`spool`]: the folders: watching, claiming, settling.
//! 3. [`state`]: what must be remembered about files between two runs of the daemon.
//! 4. [`pipeline`]: the chain of stages, its runner, retries and the group commit.
//! 5. [`stages`]: the kinds of stage, one file each.
//! 6. [`memory`]: the database of what was learned.
//! 7. [`outbox`]: the small files that people read (session logs, training data), written after the commit.
//! 8. [`live`]: chats that still run: what they say is recallable before they end, and those whose app died are learned.
//! 9. [`training`]: what a model is trained on, the runs that train it beside all this, the versions that come of it.
//! 10. `publish`: how a trained version reaches the program that answers the user.
//!
//! Chats that no app drops come in by [`import`], from exports, and by [`sources`], from the folders of other programs.
//!
//! Outside of the flow: [`config`] reads `pipeline.toml`, [`daemon`] puts the parts together, [`service`] has the
//! daemon run at login, [`cli`] is the command line, [`forget`] takes back what was learned, [`text`] holds what several
//! stages need to read prose, and `wire` talks to servers.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod forget;
pub mod import;
pub mod live;
pub mod memory;
pub mod outbox;
pub mod pipeline;
pub mod platform;
#[cfg(feature = "trainer")]
pub mod publish;
pub mod service;
pub mod session;
pub mod sources;
pub mod spool;
pub mod stages;
pub mod state;
pub mod text;
pub mod training;
#[cfg(feature = "trainer")]
pub mod wire;

/// Stand-ins for the servers that ATLES talks to.
#[cfg(all(feature = "trainer", feature = "http"))]
#[cfg(test)]
#[path = "../tests/stand_in/mod.rs"]
mod stand_in;
