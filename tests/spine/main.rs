//! The `atles` program from outside: each test runs the real binary on a home of its own.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not hold fails the test")]

mod cli;
mod demo;
mod launch;
mod learn;
mod live;
mod pipeline;
mod redaction;
mod service;
mod spool;
mod state;
mod support;
