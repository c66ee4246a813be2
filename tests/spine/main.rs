//! The `atles` program from outside: each test runs the real binary on a home of its own.

mod learn;
mod spool;
mod support;
