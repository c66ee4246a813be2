//! How a trained version reaches the program that answers the user.
//!
//! A [`VersionFiles`] goes to one or more targets: Ollama (as an adapter or as a whole model, by the server's version),
//! a running `llama-server`, or a folder for publishing by hand. Each server is probed with a chat before anybody else
//! uses the version, and put back to what it was if the probe fails. A server that cannot be reached is asked again
//! later: [`Desk`] keeps on disk what is still to be done.
//!
//! What is known of the user goes into the system prompt as data. It comes from chats, so it is hostile: it travels as
//! a JSON text, and in a Modelfile between quotes that nothing in it can close.

mod chat_format;
mod desk;
mod error;
mod folder;
#[cfg(feature = "http")]
mod llama_server;
mod merge;
mod modelfile;
#[cfg(feature = "http")]
mod ollama;
mod persona;
#[cfg(feature = "http")]
mod probe;
mod publisher;
mod records;
mod version;
#[cfg(test)]
pub(crate) mod world;

pub use desk::{Desk, Outcome};
pub use error::PublishError;
pub use publisher::publisher;
pub use records::{Record, Records, State};
pub use version::{BaseModel, Published, VersionFiles};
