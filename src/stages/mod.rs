//! The kinds of stage. One file a kind: its settings, its work, its tests. The table that names them is in
//! `kinds.rs`.

pub mod exec;
pub mod http;
mod program;
pub mod training_data;
