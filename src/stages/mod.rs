//! The kinds of stage. One file a kind: its settings, its work, its tests. The table that names them is in
//! `kinds.rs`.

pub mod decode;
pub mod exec;
pub mod facts;
pub mod filter;
pub mod fine_tune;
pub mod http;
pub mod kinds;
pub mod llm_extract;
pub mod memory;
pub mod patterns;
pub mod preferences;
pub mod redact;
pub mod session_log;
pub mod topics;
pub mod training_data;
