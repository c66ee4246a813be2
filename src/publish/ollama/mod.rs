//! Ollama: blobs by digest, a model under a versioned name, a probe, and only then the alias that people use.

mod api;
mod base;
mod host;
mod publish;
#[cfg(test)]
mod tests;

pub(super) use host::address;
pub(super) use publish::Ollama;
