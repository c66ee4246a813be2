//! The chain of stages and what carries a file through it.
//!
//! A claimed file is admitted by the dispatcher and carried by the runner: read, decoded, judged against the ledger,
//! taken through the chain. Stages store nothing themselves; they add effects to the envelope. The recorder makes the
//! effects of many files durable together, the settler writes the ledger and moves the files:
//!
//! ```text
//! intake ─▶ dispatcher ─▶ runner × in_flight ─▶ recorder ─▶ settler ─▶ done/ failed/
//!              ▲  retries      │ chain of stages    memory.db   state store
//!              └───────────────┘ parked              journal ──▶ courier ─▶ logs/ training_data/
//! ```

mod backoff;
mod chain;
mod contain;
mod dispatcher;
mod engine;
mod evidence;
mod given;
mod known_stems;
mod original;
mod outputs;
pub mod patch;
mod reading;
mod rebuild;
mod recorder;
mod recovery;
mod reservations;
mod runner;
mod settler;
mod space;
mod stage;
mod standing;
mod state_anew;
mod stems;
mod unit;
mod verdict;
pub mod when;

pub use chain::{Chain, Rehearsed};
pub use dispatcher::Gauges;
pub use engine::{Engine, EngineError, Parts};
pub use known_stems::KnownStems;
pub use rebuild::{Rebuild, RebuildError, Rebuilt};
pub use runner::Stop;
pub use stage::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
pub(crate) use standing::{Opening, Standing, judge};
pub use state_anew::StateAnew;
pub use when::When;
