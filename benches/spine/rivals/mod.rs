//! What people use today, at the same work.

mod run;

pub(crate) use run::{Rival, rivals};
