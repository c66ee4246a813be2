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
//! 9. [`training`]: the examples a model can be trained on.
//!
//! Outside of the flow: [`config`] reads `pipeline.toml`, [`daemon`] puts the parts together, [`service`] has the
//! daemon run at login, [`cli`] is the command line, and [`text`] holds what several stages need to read prose.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod live;
pub mod memory;
pub mod outbox;
pub mod pipeline;
pub mod platform;
pub mod service;
pub mod session;
pub mod spool;
pub mod stages;
pub mod state;
pub mod text;
pub mod training;
