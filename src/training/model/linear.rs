//! A frozen linear layer with its LoRA beside it.

use super::base::Matrix;
use super::bf16::Bf16;
use super::gemm::{Detour, Out, Product, multiply, multiply_both, multiply_packed};
use super::packing::{Packed, View};

/// A and B of one layer.
#[derive(Clone, Copy)]
pub(super) struct Lora<'a> {
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
    pub(super) rank: usize,
    pub(super) scale: f32,
}

/// What is needed beside the operands: room for right-hand sides, and the threads.
pub(super) struct Desk<'a> {
    pub(super) packed: &'a mut Packed,
    /// For a LoRA's two matrices, beside the layer's own.
    pub(super) down: &'a mut Packed,
    pub(super) up: &'a mut Packed,
    /// Products with frozen weights are made of rounded numbers.
    pub(super) pairs: Option<Bf16>,
    pub(super) threads: usize,
}

impl Desk<'_> {
    /// `y = x·Wᵀ` for rows `from..from + y.columns` of W.
    pub(super) fn apply(&mut self, y: Out<'_>, weights: &Matrix, from: usize, x: &[f32]) {
        weights.pack_transposed(from, y.columns, self.packed, self.pairs, self.threads);
        let x = View::new(x, x.len() / weights.inputs, weights.inputs);
        multiply_packed(y, x, self.packed, 1.0, self.threads);
    }

    /// A product on this desk's threads.
    pub(super) fn multiply(&mut self, out: Out<'_>, a: View<'_>, b: View<'_>, factor: f32) {
        multiply(out, a, b, factor, self.packed, self.threads);
    }
}

/// `y = x·Wᵀ + scale · (x·Aᵀ)·Bᵀ`; `xa` keeps `x·Aᵀ`.
pub(super) fn forward(
    desk: &mut Desk<'_>,
    weights: &Matrix,
    lora: Option<Lora<'_>>,
    x: &[f32],
    xa: &mut Vec<f32>,
    y: &mut [f32],
) {
    let (inputs, outputs) = (weights.inputs, weights.outputs);
    let rows = x.len() / inputs;
    let Some(lora) = lora else { return desk.apply(Out::replace(y, outputs), weights, 0, x) };
    let x = View::new(x, rows, inputs);
    xa.resize(rows * lora.rank, 0.0);
    let Desk { packed, down, up, pairs, threads } = desk;
    weights.pack_transposed(0, outputs, packed, *pairs, *threads);
    down.pack(View::new(lora.a, lora.rank, inputs).transposed(), *pairs, *threads);
    up.pack(View::new(lora.b, outputs, lora.rank).transposed(), *pairs, *threads);
    let few = Product { out: Out::replace(xa, lora.rank), b: down };
    let detour = Detour { down: few, up, factor: lora.scale };
    multiply_both(Product { out: Out::replace(y, outputs), b: packed }, Some(detour), x, 1.0, *threads);
}

/// The gradients of A and B grow by theirs; the input's is added to `dx` where it is asked for.
pub(super) struct Backward<'a> {
    pub(super) lora: Lora<'a>,
    pub(super) da: &'a mut [f32],
    pub(super) db: &'a mut [f32],
    pub(super) x: &'a [f32],
    pub(super) xa: &'a [f32],
    pub(super) dy: &'a [f32],
    pub(super) dx: Option<&'a mut [f32]>,
    /// `dx` is overwritten, not added to.
    pub(super) fresh: bool,
}

impl Backward<'_> {
    pub(super) fn run(self, desk: &mut Desk<'_>, weights: &Matrix) {
        let (inputs, outputs) = (weights.inputs, weights.outputs);
        let Lora { a, b, rank, scale } = self.lora;
        let rows = self.x.len() / inputs;
        let dy = View::new(self.dy, rows, outputs);
        let xa = View::new(self.xa, rows, rank);
        desk.multiply(Out::add(self.db, rank), dy.transposed(), xa, scale);
        let mut dxa = vec![0.0; rows * rank];
        let out = Out::replace(&mut dxa, rank);
        let b = View::new(b, outputs, rank);
        let Desk { packed, down, up, pairs, threads } = desk;
        match self.dx {
            Some(dx) => {
                weights.pack(0, outputs, packed, *pairs, *threads);
                down.pack(b, *pairs, *threads);
                up.pack(View::new(a, rank, inputs), *pairs, *threads);
                let main = Out { data: dx, columns: inputs, stride: inputs, add: !self.fresh };
                let detour = Detour { down: Product { out, b: down }, up, factor: scale };
                multiply_both(Product { out: main, b: packed }, Some(detour), dy, 1.0, *threads);
            }
            None => multiply(out, dy, b, 1.0, down, *threads),
        }
        let dxa = View::new(&dxa, rows, rank);
        // Transposed, so that the threads share the many inputs and not the few rows of A.
        let mut across = vec![0.0; inputs * rank];
        let x = View::new(self.x, rows, inputs);
        desk.multiply(Out::replace(&mut across, rank), x.transposed(), dxa, scale);
        for (row, da) in self.da.chunks_exact_mut(inputs).enumerate() {
            da.iter_mut().zip(across.chunks_exact(rank)).for_each(|(da, column)| *da += column[row]);
        }
    }
}
