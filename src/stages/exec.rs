//! `exec`.
