//! The kinds of stage. One file a kind: its settings, its work, its tests. The table that names them is in
//! `kinds.rs`.
pub mod decode;

pub mod memory;
pub mod session_log;

pub mod exec;
pub mod http;
pub mod training_data;

pub mod filter;
