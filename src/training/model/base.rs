//! A base model in memory: its matrices as the file stores them, its norms and biases as `f32`.

use std::sync::atomic::{AtomicBool, Ordering};

use super::bf16::Bf16;
use super::packing::{Packed, copy_short, numbers_in_a_word, turn};
use super::shape::{Architecture, ModelError, Shape};
use super::simd::{SIDE, vectors, widest};
use crate::training::gguf::{Gguf, GgufError, TensorType, expand};

/// A frozen weight matrix, row by row as it is stored.
#[derive(Debug)]
pub(super) struct Matrix {
    kind: TensorType,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    bytes: Vec<u8>,
}

/// Bytes that are read at once: a stop waits for no more.
const PIECE: usize = 8 << 20;

/// A file, and whether to go on reading it.
#[derive(Clone, Copy)]
struct Source<'a> {
    file: &'a Gguf,
    stop: &'a AtomicBool,
}

impl Source<'_> {
    fn bytes(self, name: &str, length: u64) -> Result<Vec<u8>, GgufError> {
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        self.file.pieces(name, PIECE.min(bytes.capacity()), &mut |piece| {
            bytes.extend_from_slice(piece);
            if self.stop.load(Ordering::Relaxed) { Err(GgufError::Stopped) } else { Ok(()) }
        })?;
        Ok(bytes)
    }
}

/// Weights of a row that are expanded at once where a kind's blocks are smaller.
const PART: usize = 64;

/// The most there are in a block of any kind.
const LARGEST: usize = 256;

impl Matrix {
    fn read(source: Source<'_>, name: &str, outputs: usize, inputs: usize) -> Result<Self, ModelError> {
        let tensor = source.file.tensor(name).ok_or_else(|| GgufError::Tensor(name.to_owned()))?;
        if tensor.sizes != [inputs as u64, outputs as u64] {
            let message = format!("{name} has sizes {:?}, not {inputs} by {outputs}", tensor.sizes);
            return Err(ModelError::Inconsistent(message));
        }
        Ok(Matrix { kind: tensor.kind, outputs, inputs, bytes: source.bytes(name, tensor.bytes)? })
    }

    fn row_bytes(&self) -> usize {
        self.inputs / self.kind.block_weights() * self.kind.block_bytes()
    }

    /// Packs rows `from..from + count` as the right-hand side of a product: a few rows at a time, so that what is
    /// stored is read once and in order, and of these some columns at a time, so that few panels are written at once.
    pub(super) fn pack(
        &self,
        from: usize,
        count: usize,
        packed: &mut Packed,
        pairs: Option<Bf16>,
        threads: usize,
    ) {
        let (row_bytes, block) = (self.row_bytes(), self.kind.block_weights());
        let bytes = &self.bytes[from * row_bytes..(from + count) * row_bytes];
        let columns = block.max(PART);
        let in_word = numbers_in_a_word(pairs);
        packed.fill_rows((count, self.inputs), pairs, threads, |word, width, panels| {
            let rows = &bytes[word * in_word * row_bytes..];
            widest(
                #[inline(always)]
                || {
                    for (number, panels) in panels.chunks_mut(columns / width).enumerate() {
                        let used = columns.min(self.inputs - number * columns);
                        let begin = number * columns / block * self.kind.block_bytes();
                        let length = used / block * self.kind.block_bytes();
                        let (mut part, mut next) = ([0f32; LARGEST], [0f32; LARGEST]);
                        let count = panels.first().map_or(0, |panel| panel.len() / width);
                        for (row, bytes) in rows.chunks(in_word * row_bytes).take(count).enumerate() {
                            expand(self.kind, &bytes[begin..begin + length], &mut part[..used]);
                            if let Some(bf16) = pairs {
                                match bytes.get(row_bytes + begin..row_bytes + begin + length) {
                                    Some(bytes) => expand(self.kind, bytes, &mut next[..used]),
                                    None => next.fill(0.0),
                                }
                                bf16.pair_rows(&mut part[..used], &next[..used]);
                            }
                            for (panel, from) in panels.iter_mut().zip(part.chunks_exact(width)) {
                                copy_short(from, &mut panel[row * width..(row + 1) * width]);
                            }
                        }
                    }
                },
            );
        });
    }

    /// Packs rows `from..from + count`, transposed, as the right-hand side of a product: a few numbers of a few rows at
    /// a time, so that what is expanded never leaves the first cache on its way.
    pub(super) fn pack_transposed(
        &self,
        from: usize,
        count: usize,
        packed: &mut Packed,
        pairs: Option<Bf16>,
        threads: usize,
    ) {
        let (row_bytes, block) = (self.row_bytes(), self.kind.block_weights());
        let rows = &self.bytes[from * row_bytes..(from + count) * row_bytes];
        let part = block.max(PART);
        let in_word = numbers_in_a_word(pairs);
        packed.fill((self.inputs, count), pairs, threads, |first, width, panel| {
            widest(
                #[inline(always)]
                || {
                    let mut lines = [[0f32; LARGEST]; SIDE];
                    for (number, to) in panel.chunks_mut(part / in_word * width).enumerate() {
                        let weights = part.min(self.inputs - number * part);
                        let begin = number * part / block * self.kind.block_bytes();
                        let length = weights / block * self.kind.block_bytes();
                        for group in (0..width).step_by(SIDE) {
                            let columns = group..width.min(count - first);
                            for (line, column) in lines.iter_mut().zip(columns.clone()) {
                                let at = (first + column) * row_bytes + begin;
                                let bytes = &rows[at..at + length];
                                if let Some(bf16) = pairs {
                                    let mut numbers = [0f32; LARGEST];
                                    expand(self.kind, bytes, &mut numbers[..weights]);
                                    bf16.pair_up(&numbers[..weights], 1.0, &mut line[..to.len() / width]);
                                } else {
                                    expand(self.kind, bytes, &mut line[..weights]);
                                }
                            }
                            turn(
                                vectors(),
                                to,
                                width,
                                columns,
                                #[inline(always)]
                                |column| &lines[column - group],
                            );
                        }
                    }
                },
            );
        });
    }

    /// Expands one row.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        let width = self.row_bytes();
        if let Some(bytes) = self.bytes.get(row * width..(row + 1) * width) {
            expand(self.kind, bytes, out);
        }
    }
}

/// The seven linear layers of a block, in [`TARGETS`](super::TARGETS)' order.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) linears: [Matrix; 7],
    pub(super) attention_norm: Vec<f32>,
    pub(super) feed_forward_norm: Vec<f32>,
    /// Biases of q, k and v; empty where the family has none.
    pub(super) biases: [Vec<f32>; 3],
}

/// A base model in memory.
#[derive(Debug)]
pub struct Base {
    pub(super) shape: Shape,
    pub(super) embedding: Matrix,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    /// Absent where the embedding serves for output too.
    pub(super) output: Option<Matrix>,
    /// What rotary frequencies are divided by, one for each pair; empty means 1.
    pub(super) rope_factors: Vec<f32>,
}

impl Base {
    /// Reads a model's weights.
    pub fn load(file: &Gguf) -> Result<Self, ModelError> {
        Base::load_unless(&AtomicBool::new(false), file)
    }

    /// Reads a model's weights; [`GgufError::Stopped`] soon after `stop` was set.
    pub fn load_unless(stop: &AtomicBool, file: &Gguf) -> Result<Self, ModelError> {
        let source = Source { file, stop };
        let shape = Shape::read(file)?;
        let embedding = Matrix::read(source, "token_embd.weight", shape.vocabulary, shape.width)?;
        let output = match file.tensor("output.weight") {
            Some(_) => Some(Matrix::read(source, "output.weight", shape.vocabulary, shape.width)?),
            None => None,
        };
        let rope_factors = match file.tensor("rope_freqs.weight") {
            Some(_) => vector(file, "rope_freqs.weight", shape.rope_width / 2)?,
            None => Vec::new(),
        };
        let layers =
            (0..shape.layers).map(|layer| Layer::read(source, &shape, layer)).collect::<Result<_, _>>()?;
        let norm = vector(file, "output_norm.weight", shape.width)?;
        Ok(Base { shape, embedding, layers, norm, output, rope_factors })
    }

    /// The model's sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The matrix that makes scores of tokens.
    pub(super) fn head(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

impl Layer {
    fn read(source: Source<'_>, shape: &Shape, layer: usize) -> Result<Self, ModelError> {
        let file = source.file;
        let Shape { width, feed_forward, .. } = *shape;
        let (queries, keys) = (shape.heads * shape.head, shape.kv_heads * shape.head);
        let name = |part: &str| format!("blk.{layer}.{part}");
        let matrix = |part: &str, outputs, inputs| {
            Matrix::read(source, &name(&format!("{part}.weight")), outputs, inputs)
        };
        let mut biases = [const { Vec::new() }; 3];
        for (bias, (part, size)) in
            biases.iter_mut().zip([("attn_q", queries), ("attn_k", keys), ("attn_v", keys)])
        {
            let name = name(&format!("{part}.bias"));
            if file.tensor(&name).is_some() {
                *bias = vector(file, &name, size)?;
            } else if shape.architecture == Architecture::Qwen2 {
                return Err(GgufError::Tensor(name).into());
            }
        }
        for part in ["attn_output.bias", "attn_q_norm.weight", "ffn_gate_inp.weight", "ffn_down.bias"] {
            if file.tensor(&name(part)).is_some() {
                return Err(ModelError::Unsupported(format!("{part} tensors")));
            }
        }
        Ok(Layer {
            linears: [
                matrix("attn_q", queries, width)?,
                matrix("attn_k", keys, width)?,
                matrix("attn_v", keys, width)?,
                matrix("attn_output", width, queries)?,
                matrix("ffn_gate", feed_forward, width)?,
                matrix("ffn_up", feed_forward, width)?,
                matrix("ffn_down", width, feed_forward)?,
            ],
            attention_norm: vector(file, &name("attn_norm.weight"), width)?,
            feed_forward_norm: vector(file, &name("ffn_norm.weight"), width)?,
            biases,
        })
    }
}

fn vector(file: &Gguf, name: &str, length: usize) -> Result<Vec<f32>, ModelError> {
    let floats = file.floats(name)?;
    if floats.len() != length {
        return Err(ModelError::Inconsistent(format!("{name} has {} numbers, not {length}", floats.len())));
    }
    Ok(floats)
}
