//! A frozen linear layer with its LoRA beside it.

use faer::Par;
use faer::prelude::ReborrowMut;

use super::base::Matrix;
use super::gemm::{matrix, matrix_mut, multiply, multiply_add};

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
    pub(super) par: Par,
}

impl Desk<'_> {
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
    desk.expand(weights);
    let x = matrix(x, rows, inputs);
    let mut y = matrix_mut(y, rows, outputs);
    multiply(y.rb_mut(), x, matrix(desk.expanded, outputs, inputs).transpose(), 1.0, desk.par);
    if let Some(lora) = lora {
        xa.resize(rows * lora.rank, 0.0);
        let a = matrix(lora.a, lora.rank, inputs);
        multiply(matrix_mut(xa, rows, lora.rank), x, a.transpose(), 1.0, desk.par);
        let b = matrix(lora.b, outputs, lora.rank);
        multiply_add(y, matrix(xa, rows, lora.rank), b.transpose(), lora.scale, desk.par);
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
        let dy = matrix(self.dy, rows, outputs);
        let xa = matrix(self.xa, rows, rank);
        multiply_add(matrix_mut(self.db, outputs, rank), dy.transpose(), xa, scale, desk.par);
        let mut dxa = vec![0.0; rows * rank];
        multiply(matrix_mut(&mut dxa, rows, rank), dy, matrix(b, outputs, rank), scale, desk.par);
        let dxa = matrix(&dxa, rows, rank);
        let x = matrix(self.x, rows, inputs);
        multiply_add(matrix_mut(self.da, rank, inputs), dxa.transpose(), x, 1.0, desk.par);
        let Some(dx) = self.dx else { return };
        desk.expand(weights);
        let w = matrix(desk.expanded, outputs, inputs);
        let mut dx = matrix_mut(dx, rows, inputs);
        if self.fresh {
            multiply(dx.rb_mut(), dy, w, 1.0, desk.par);
        } else {
            multiply_add(dx.rb_mut(), dy, w, 1.0, desk.par);
        }
        multiply_add(dx, dxa, matrix(a, rank, inputs), 1.0, desk.par);
    }
}
