//! Nothing is lost and nothing is learned twice, however the daemon ends: killed at any moment, crashed at every
//! failpoint around a commit, or without power. See docs/RELIABILITY.md.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not hold fails the test")]
#![cfg(unix)]

mod chats;
mod disk;
mod failpoints;
mod kills;
mod oracle;
mod power;
#[path = "../spine/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the spine, which need more of it")]
mod support;
mod trace;
mod writer;
