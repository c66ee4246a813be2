//! The `atles` program from outside: each test runs the real binary on a home of its own.

mod cli;
mod demo;
mod learn;
mod pipeline;
mod redaction;
mod spool;
mod state;
mod support;
