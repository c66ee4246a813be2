//! Very many small sessions through one home: does anything grow that should not?

mod chats;
mod curves;
mod run;
mod samples;

pub(crate) use run::run;
