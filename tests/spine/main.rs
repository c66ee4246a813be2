//! The `atles` program from outside: each test runs the real binary on a home of its own.

#![expect(clippy::unwrap_used, reason = "what a test relies on and does not hold fails the test")]

mod cli;
#[cfg(target_os = "linux")]
mod clock;
mod demo;
#[cfg(target_os = "linux")]
mod disks;
mod faults;
mod forget;
mod hostile;
#[cfg(target_os = "linux")]
mod idle;
mod import;
mod launch;
mod learn;
mod live;
#[cfg(all(feature = "trainer", feature = "http"))]
mod outside;
mod pipeline;
#[cfg(all(feature = "trainer", feature = "http"))]
mod publishing;
mod rebuild;
mod redaction;
mod service;
mod sources;
mod spool;
#[cfg(all(feature = "trainer", feature = "http"))]
#[expect(dead_code, reason = "the library's own tests use the rest")]
#[path = "../stand_in/mod.rs"]
mod stand_in;
mod state;
mod support;
#[cfg(feature = "trainer")]
#[path = "../../src/training/model/tiny.rs"]
mod tiny;
/// For `tiny`, which the library's own tests use too.
#[cfg(feature = "trainer")]
mod training {
    pub(crate) use atles::training::gguf;
}
#[cfg(feature = "trainer")]
#[path = "training.rs"]
mod training_runs;
