//! The kinds of stage. One file a kind: its settings, its work, its tests. The table that names them is in
//! `kinds.rs`.

pub mod filter;
pub mod patterns;
pub mod topics;
