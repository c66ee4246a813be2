//! Llama and qwen2 as they are trained: frozen weights in the form the file has them, LoRA on the seven linear
//! layers of every block, an explicit backward pass that computes no gradient for anything frozen.

mod adapter;
mod attention;
mod base;
mod bf16;
mod block;
mod engine;
mod gemm;
mod head;
mod linear;
mod maths;
mod packing;
mod rate;
mod rope;
mod shape;
mod simd;
mod strips;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tiny;

pub use adapter::{Adapter, LoraSettings, Slot, TARGETS};
pub use base::Base;
pub use engine::{Engine, EngineSettings, Loss, Memory, Precision, Sequence, Stopped};
pub use rate::product_rate;
pub use shape::{Architecture, ModelError, Shape};
pub use simd::without_avx512;
