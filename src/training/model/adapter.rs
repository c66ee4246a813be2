//! LoRA: two thin matrices for every linear layer, all in one row of numbers.

use std::ops::Range;

use super::shape::Shape;

/// The linear layers that are adapted, in the order they are stored, as GGUF calls them.
pub const TARGETS: [&str; 7] =
    ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

/// Rank and strength of an adapter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoraSettings {
    /// Rows of A.
    pub rank: usize,
    /// What B·A is multiplied by, times the rank.
    pub alpha: f32,
}

/// Where the two matrices of a linear layer lie: A is rank × inputs, B is outputs × rank, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The block.
    pub layer: usize,
    /// Index into [`TARGETS`].
    pub target: usize,
    /// Width that goes in.
    pub inputs: usize,
    /// Width that comes out.
    pub outputs: usize,
    /// A's place among the values.
    pub a: Range<usize>,
    /// B's place among the values.
    pub b: Range<usize>,
}

impl Slot {
    /// The adapted tensor's name.
    pub fn tensor(&self) -> String {
        format!("blk.{}.{}.weight", self.layer, TARGETS.get(self.target).unwrap_or(&""))
    }
}

/// An adapter for a model of some shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    settings: LoraSettings,
    slots: Vec<Slot>,
    /// All matrices, one after the other.
    pub values: Vec<f32>,
}

impl Adapter {
    /// A fresh adapter: A random and small, B zero, so that it changes nothing yet.
    pub fn new(shape: &Shape, settings: LoraSettings, seed: u64) -> Self {
        let rank = settings.rank;
        let (queries, keys) = (shape.heads * shape.head, shape.kv_heads * shape.head);
        let (width, wide) = (shape.width, shape.feed_forward);
        let sizes = [
            (width, queries),
            (width, keys),
            (width, keys),
            (queries, width),
            (width, wide),
            (width, wide),
            (wide, width),
        ];
        let mut slots = Vec::with_capacity(7 * shape.layers);
        let mut end = 0;
        for layer in 0..shape.layers {
            for (target, (inputs, outputs)) in sizes.into_iter().enumerate() {
                let a = end..end + rank * inputs;
                let b = a.end..a.end + outputs * rank;
                end = b.end;
                slots.push(Slot { layer, target, inputs, outputs, a, b });
            }
        }
        let mut values = vec![0.0; end];
        let mut random = fastrand::Rng::with_seed(seed);
        for slot in &slots {
            // As PEFT does: uniform, of variance 1 / (3 · inputs).
            let bound = 1.0 / (slot.inputs as f32).sqrt();
            values[slot.a.clone()].fill_with(|| (random.f32() * 2.0 - 1.0) * bound);
        }
        Adapter { settings, slots, values }
    }

    /// Rank and strength.
    pub fn settings(&self) -> LoraSettings {
        self.settings
    }

    /// What B·A is multiplied by.
    pub fn scale(&self) -> f32 {
        self.settings.alpha / self.settings.rank as f32
    }

    /// The layers' places.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }
}
