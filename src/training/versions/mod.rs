//! The versions that training made: `models/v0001/` with adapter, metrics and lineage, and `models/current`.

mod plot;
mod record;
mod store;

pub use plot::{sparkline, svg};
pub use record::{BaseUsed, Decision, Lineage, LineageSession, Metrics, Record};
#[cfg(feature = "trainer")]
pub(crate) use store::write_whole;
pub use store::{Version, Versions};
