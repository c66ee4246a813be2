//! Running chats. A client writes each message of a session into a live file in the spool (clients/FORMAT.md).
//!
//! The [`Keeper`] follows these files while their apps run: what is new is read, taken through the chain as it would
//! be if the session ended now, and what it says is stored in memory.db until the session ends. Then the session file
//! comes, is learned like any other, and its commit removes what was stored meanwhile. A live file whose app died is
//! adopted: it becomes a session file by one rename.
//!
//! All this is done by one thread beside the pipeline, with a connection of its own to memory.db. What it does for a
//! chat is bounded, however fast the app writes and however long the chat is: it pauses after each look, and reads no
//! more than the end of a long chat.

mod chat;
mod context;
mod keeper;
mod reading;

pub use keeper::{Keeper, Parts, settle_once};
