//! One block: attention and feed-forward, each behind a norm and beside the residual stream.

use std::ops::Range;

use rayon::prelude::*;

use super::adapter::{Adapter, Slot};
use super::attention::{self, Given, Inputs, Sizes};
use super::base::Layer;
use super::linear::{Backward, Desk, Lora, forward as linear};
use super::maths::{add, rms_norm, rms_norm_backward, swiglu, swiglu_backward};
use super::rope::{Rope, join_heads, split_heads};
use super::shape::Shape;

const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;
const OUT: usize = 3;
const GATE: usize = 4;
const UP: usize = 5;
const DOWN: usize = 6;

/// What the backward pass cannot cheaply compute again.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// The residual stream before the block. Enough by itself to run the block again.
    pub(super) input: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attended: Vec<f32>,
    sums: Vec<f32>,
    middle: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    xa: [Vec<f32>; 7],
}

/// Room for what lives only within a block.
#[derive(Debug, Default)]
pub(super) struct Room {
    norm: Vec<f32>,
    stream: Vec<f32>,
    rows: Vec<f32>,
    heads: Vec<f32>,
    more_heads: Vec<f32>,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
    wide: Vec<f32>,
    also_wide: Vec<f32>,
}

/// The batch at hand.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) shape: &'a Shape,
    pub(super) rope: &'a Rope,
    pub(super) sequences: &'a [Range<usize>],
    pub(super) rows: usize,
}

/// The adapter's matrices of a layer, if there is an adapter.
pub(super) fn loras<'a>(adapter: Option<&'a Adapter>, layer: usize) -> [Option<Lora<'a>>; 7] {
    std::array::from_fn(|target| {
        let adapter = adapter?;
        let slot = adapter.slots().get(layer * 7 + target)?;
        Some(Lora {
            a: &adapter.values[slot.a.clone()],
            b: &adapter.values[slot.b.clone()],
            rank: adapter.settings().rank,
            scale: adapter.scale(),
        })
    })
}

fn sized(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    buffer.resize(length, 0.0);
    buffer
}

impl Scene<'_> {
    fn sizes(self) -> Sizes {
        Sizes::new(self.shape, self.rows)
    }

    /// Runs the block on `saved.input`; the stream after it is left in `out`.
    pub(super) fn forward(
        self,
        desk: &mut Desk<'_>,
        room: &mut Room,
        layer: &Layer,
        loras: [Option<Lora<'_>>; 7],
        saved: &mut Saved,
        out: &mut Vec<f32>,
    ) {
        let Shape { width, heads, kv_heads, head, feed_forward, epsilon, .. } = *self.shape;
        let rows = self.rows;
        let Saved { input, q, k, v, attended, sums, middle, gate, up, xa } = saved;
        let norm = sized(&mut room.norm, rows * width);
        rms_norm(input, &layer.attention_norm, epsilon, norm);
        for (target, count, to) in [(Q, heads, q), (K, kv_heads, k), (V, kv_heads, v)] {
            let out = sized(&mut room.rows, rows * count * head);
            linear(desk, &layer.linears[target], loras[target], norm, &mut xa[target], out);
            add_bias(out, &layer.biases[target]);
            let to = sized(to, rows * count * head);
            if target == V { split_heads(out, count, head, to) } else { self.rope.to_heads(out, count, to) }
        }
        let by_head = sized(&mut room.heads, rows * heads * head);
        let sums = sized(sums, rows * heads);
        let inputs = Inputs { q: &saved.q, k: &saved.k, v: &saved.v };
        attention::forward(self.sizes(), self.sequences, inputs, by_head, sums);
        let attended = sized(attended, rows * heads * head);
        join_heads(by_head, heads, head, attended);
        let middle = sized(middle, rows * width);
        linear(desk, &layer.linears[OUT], loras[OUT], attended, &mut xa[OUT], middle);
        add(middle, input);
        rms_norm(middle, &layer.feed_forward_norm, epsilon, norm);
        let gate = sized(gate, rows * feed_forward);
        linear(desk, &layer.linears[GATE], loras[GATE], norm, &mut xa[GATE], gate);
        let up = sized(up, rows * feed_forward);
        linear(desk, &layer.linears[UP], loras[UP], norm, &mut xa[UP], up);
        let product = sized(&mut room.wide, rows * feed_forward);
        swiglu(gate, up, product);
        let out = sized(out, rows * width);
        linear(desk, &layer.linears[DOWN], loras[DOWN], product, &mut xa[DOWN], out);
        add(out, middle);
    }

    /// `stream` goes in as the gradient after the block and comes out as the one before it; `gradient` is the
    /// layer's part of the adapter's. Where nothing before the block is trained, `first` saves the work.
    #[expect(clippy::too_many_arguments, reason = "a block's whole state, in the order of the forward pass")]
    pub(super) fn backward(
        self,
        desk: &mut Desk<'_>,
        room: &mut Room,
        layer: &Layer,
        loras: [Option<Lora<'_>>; 7],
        slots: &[Slot],
        gradient: &mut [f32],
        saved: &Saved,
        stream: &mut [f32],
        first: bool,
    ) {
        let Shape { width, heads, kv_heads, head, feed_forward, epsilon, .. } = *self.shape;
        let rows = self.rows;
        let begin = slots.first().map_or(0, |slot| slot.a.start);
        let mut run =
            |desk: &mut Desk<'_>, target: usize, x: &[f32], dy: &[f32], dx: Option<&mut [f32]>, fresh| {
                let (Some(lora), Some(slot)) = (loras[target], slots.get(target)) else { return };
                let part = &mut gradient[slot.a.start - begin..slot.b.end - begin];
                let (da, db) = part.split_at_mut(slot.a.len());
                let xa = &saved.xa[target];
                Backward { lora, da, db, x, xa, dy, dx, fresh }.run(desk, &layer.linears[target]);
            };

        let product = sized(&mut room.wide, rows * feed_forward);
        swiglu(&saved.gate, &saved.up, product);
        let dproduct = sized(&mut room.also_wide, rows * feed_forward);
        run(desk, DOWN, product, stream, Some(dproduct), true);
        let (dgate, dup) = (dproduct, product);
        swiglu_backward(&saved.gate, &saved.up, dgate, dup);
        let norm = sized(&mut room.norm, rows * width);
        rms_norm(&saved.middle, &layer.feed_forward_norm, epsilon, norm);
        let dnorm = sized(&mut room.stream, rows * width);
        run(desk, GATE, norm, dgate, Some(dnorm), true);
        run(desk, UP, norm, dup, Some(dnorm), false);
        rms_norm_backward(&saved.middle, &layer.feed_forward_norm, epsilon, dnorm, stream);

        let dattended = sized(&mut room.rows, rows * heads * head);
        run(desk, OUT, &saved.attended, stream, Some(dattended), true);
        let dout = sized(&mut room.heads, rows * heads * head);
        split_heads(dattended, heads, head, dout);
        let out = sized(&mut room.more_heads, rows * heads * head);
        split_heads(&saved.attended, heads, head, out);
        let inputs = Inputs { q: &saved.q, k: &saved.k, v: &saved.v };
        let given = Given { inputs, out, sums: &saved.sums, dout };
        let dq = sized(&mut room.dq, rows * heads * head);
        let dk = sized(&mut room.dk, rows * heads * head);
        let dv = sized(&mut room.dv, rows * heads * head);
        attention::backward(self.sizes(), self.sequences, given, dq, dk, dv);
        attention::sum_groups(self.sizes(), dk);
        attention::sum_groups(self.sizes(), dv);

        rms_norm(&saved.input, &layer.attention_norm, epsilon, norm);
        for (target, count, by_head) in [(Q, heads, dq), (K, kv_heads, dk), (V, kv_heads, dv)] {
            let by_head = &by_head[..rows * count * head];
            let dy = &mut room.rows[..rows * count * head];
            if target == V {
                join_heads(by_head, count, head, dy);
            } else {
                self.rope.to_rows(by_head, count, dy);
            }
            let dx = (!first).then_some(&mut *dnorm);
            run(desk, target, norm, dy, dx, target == Q);
        }
        if !first {
            rms_norm_backward(&saved.input, &layer.attention_norm, epsilon, dnorm, stream);
        }
    }
}

fn add_bias(rows: &mut [f32], bias: &[f32]) {
    if !bias.is_empty() {
        rows.par_chunks_mut(bias.len()).for_each(|row| add(row, bias));
    }
}
