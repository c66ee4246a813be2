//! Talking to servers beside the `http` stage: JSON over HTTP, large files sent piece by piece, SHA-256.
//!
//! What a server says is foreign: answers are bounded, their errors are put on one line, and a server that is silent
//! too long counts as one that cannot be reached. Redirects are not followed, so a request goes where it was sent.

#[cfg(feature = "http")]
mod body;
#[cfg(feature = "http")]
mod client;
mod digest;
mod error;

#[cfg(feature = "http")]
pub(crate) use body::FileBody;
#[cfg(feature = "http")]
pub(crate) use client::{Reach, Server};
pub use digest::{sha256_of, sha256_unless};
pub use error::WireError;
