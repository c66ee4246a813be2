//! Stand-ins for the servers that ATLES talks to, built from what those servers' sources and manuals say.

pub(crate) mod fine_tuning;
pub(crate) mod http;
pub(crate) mod llama_server;
pub(crate) mod ollama;
