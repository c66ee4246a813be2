//! A frozen linear layer with its LoRA beside it.

use super::base::Matrix;
use super::gemm::{Out, Packed, View, multiply, multiply_packed};

/// A and B of one layer.
#[derive(Clone, Copy)]
pub(super) struct Lora<'a> {
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
    pub(super) rank: usize,
    pub(super) scale: f32,
}

/// What is needed beside the operands: room for an expanded matrix, and the threads.
pub(super) struct Desk<'a> {
    pub(super) expanded: &'a mut Vec<f32>,
    pub(super) packed: &'a mut Packed,
    pub(super) threads: usize,
}

impl Desk<'_> {
    /// `y = x·Wᵀ` for rows `from..from + y.columns` of W.
    pub(super) fn apply(&mut self, y: Out<'_>, weights: &Matrix, from: usize, x: &[f32]) {
        weights.pack_transposed(from, y.columns, self.packed, self.threads);
        let x = View::new(x, x.len() / weights.inputs, weights.inputs);
        multiply_packed(y, x, self.packed, 1.0, self.threads);
    }

    /// A product on this desk's threads.
    pub(super) fn multiply(&mut self, out: Out<'_>, a: View<'_>, b: View<'_>, factor: f32) {
        multiply(out, a, b, factor, self.packed, self.threads);
    }

    fn expand(&mut self, weights: &Matrix) {
        self.expanded.resize((weights.outputs * weights.inputs).max(self.expanded.len()), 0.0);
        weights.expand(0, weights.outputs, self.expanded);
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
    desk.apply(Out::replace(y, outputs), weights, 0, x);
    let x = View::new(x, rows, inputs);
    if let Some(lora) = lora {
        xa.resize(rows * lora.rank, 0.0);
        let a = View::new(lora.a, lora.rank, inputs);
        desk.multiply(Out::replace(xa, lora.rank), x, a.transposed(), 1.0);
        let b = View::new(lora.b, outputs, lora.rank);
        desk.multiply(Out::add(y, outputs), View::new(xa, rows, lora.rank), b.transposed(), lora.scale);
    }
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
        desk.multiply(Out::replace(&mut dxa, rank), dy, View::new(b, outputs, rank), scale);
        let dxa = View::new(&dxa, rows, rank);
        desk.multiply(Out::add(self.da, inputs), dxa.transposed(), View::new(self.x, rows, inputs), 1.0);
        let Some(dx) = self.dx else { return };
        desk.expand(weights);
        let Desk { expanded, packed, threads } = desk;
        let out = Out { data: &mut *dx, columns: inputs, stride: inputs, add: !self.fresh };
        multiply(out, dy, View::new(expanded, outputs, inputs), 1.0, packed, *threads);
        desk.multiply(Out::add(dx, inputs), dxa, View::new(a, rank, inputs), 1.0);
    }
}
