//! What takes bytes from outside, one file each.

pub(crate) mod config;
pub(crate) mod control;
pub(crate) mod decode;
pub(crate) mod import;
pub(crate) mod recall;
pub(crate) mod records;
pub(crate) mod redact;
