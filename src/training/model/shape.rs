//! The sizes and constants of a base model, read from its file.

use crate::training::gguf::{Gguf, GgufError, Value};

/// A base model that cannot be trained.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Another architecture than those built in.
    #[error("architecture {0:?} cannot be trained; llama and qwen2 can")]
    Architecture(String),
    /// Something about the model that the blocks here do not do.
    #[error("the base model uses {0}, which cannot be trained here")]
    Unsupported(String),
    /// Sizes that do not fit together.
    #[error("the base model's file contradicts itself: {0}")]
    Inconsistent(String),
    /// Adapters are trained on models, not on adapters.
    #[error("this GGUF file is an adapter, not a model")]
    Adapter,
    /// The file itself.
    #[error(transparent)]
    Gguf(#[from] GgufError),
}

/// The families of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Pairs of neighbours are rotated, no biases.
    Llama,
    /// Pairs are half a head apart, q, k and v have biases.
    Qwen2,
}

impl Architecture {
    /// The name in GGUF files.
    pub fn as_str(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
        }
    }
}

/// Sizes and constants.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The family.
    pub architecture: Architecture,
    /// Blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head: usize,
    /// Width of the feed-forward part.
    pub feed_forward: usize,
    /// Tokens.
    pub vocabulary: usize,
    /// Longest text the model was made for.
    pub context: usize,
    /// RMS norm's epsilon.
    pub epsilon: f32,
    /// Rotary base.
    pub rope_base: f32,
    /// How many numbers of a head are rotated.
    pub rope_width: usize,
    /// Positions are divided by this.
    pub rope_stretch: f32,
}

impl Shape {
    /// Reads them.
    pub fn read(file: &Gguf) -> Result<Self, ModelError> {
        if file.text("general.type").is_ok_and(|kind| kind == "adapter") {
            return Err(ModelError::Adapter);
        }
        let name = file.text("general.architecture")?;
        let architecture = match name {
            "llama" => Architecture::Llama,
            "qwen2" => Architecture::Qwen2,
            other => return Err(ModelError::Architecture(other.to_owned())),
        };
        let key = |rest: &str| format!("{name}.{rest}");
        let size = |rest: &str, most: u64| -> Result<usize, ModelError> {
            let value = file.number(&key(rest))?;
            match usize::try_from(value) {
                Ok(size) if (1..=most).contains(&value) => Ok(size),
                _ => Err(ModelError::Inconsistent(format!("{} is {value}", key(rest)))),
            }
        };
        if file.number(&key("expert_count")).is_ok_and(|experts| experts > 0) {
            return Err(ModelError::Unsupported("a mixture of experts".into()));
        }
        let width = size("embedding_length", 1 << 16)?;
        let heads = size("attention.head_count", 1 << 10)?;
        let kv_heads = size("attention.head_count_kv", 1 << 10).unwrap_or(heads);
        let head = size("attention.key_length", 1 << 12).unwrap_or(width / heads);
        let rope_width = size("rope.dimension_count", 1 << 12).unwrap_or(head);
        let embedding = file.tensor("token_embd.weight");
        let embedding = embedding.ok_or_else(|| GgufError::Tensor("token_embd.weight".into()))?;
        let vocabulary = embedding.sizes.get(1).copied().unwrap_or(0) as usize;
        let shape = Shape {
            architecture,
            layers: size("block_count", 1 << 10)?,
            width,
            heads,
            kv_heads,
            head,
            feed_forward: size("feed_forward_length", 1 << 20)?,
            vocabulary,
            context: size("context_length", 1 << 32).unwrap_or(2048),
            epsilon: file.float(&key("attention.layer_norm_rms_epsilon"))?,
            rope_base: file.float(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_width,
            rope_stretch: stretch(file, name)?,
        };
        let fits = heads.is_multiple_of(kv_heads)
            && rope_width.is_multiple_of(2)
            && (2..=head).contains(&rope_width)
            && (1..1 << 24).contains(&vocabulary)
            && shape.rope_base > 0.0
            && shape.epsilon >= 0.0;
        if !fits || file.number(&key("attention.value_length")).is_ok_and(|length| length != head as u64) {
            return Err(ModelError::Inconsistent(format!("heads and widths do not fit: {shape:?}")));
        }
        Ok(shape)
    }
}

fn stretch(file: &Gguf, name: &str) -> Result<f32, ModelError> {
    let factor = file.float(&format!("{name}.rope.scaling.factor"));
    match file.get(&format!("{name}.rope.scaling.type")).and_then(Value::as_str) {
        None | Some("none") => Ok(1.0),
        Some("linear") => Ok(factor.ok().filter(|f| *f >= 1.0).unwrap_or(1.0)),
        Some(other) => Err(ModelError::Unsupported(format!("{other:?} rope scaling"))),
    }
}
