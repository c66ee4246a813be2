//! The conditions of stages: `when = "size(session.messages) >= 2"`, in CEL.
//!
//! What a session says reaches an expression as a value only: expressions come from pipeline.toml, and so do the
//! patterns of `matches`. All names, fields and functions are checked when the file is read, so that a condition
//! that was accepted can hardly fail later; fields that a session lacks are empty, not missing.

mod check;
mod expression;
mod rewrite;
mod shapes;
mod values;

pub use expression::{When, WhenError, WhenProblem};
pub(crate) use shapes::conditions_reference;
