//! `trainer = "openai"`: files are sent, a job is made, and asked about until it has ended.
//!
//! The ids of files and job are written down as soon as they are known, so a restart goes on with the same job. Between
//! the making of a job and its id being written a kill is still possible: then the provider's list is searched for a
//! job on our file before another is made.

#[cfg(feature = "http")]
mod api;
#[cfg(feature = "http")]
mod dialect;
#[cfg(not(feature = "http"))]
mod missing;
#[cfg(feature = "http")]
mod run;
#[cfg(feature = "http")]
mod state;
#[cfg(feature = "http")]
#[cfg(test)]
mod tests;

#[cfg(not(feature = "http"))]
pub use missing::Jobs;
#[cfg(feature = "http")]
pub use run::Jobs;
