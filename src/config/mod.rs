//! pipeline.toml: what may stand in it, how it is read, and how its mistakes are shown.

mod units;

pub use units::{ByteSize, Span};
