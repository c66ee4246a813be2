//! Matrix products over plain row-major slices, by `faer`.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A row-major matrix.
pub(super) fn matrix(data: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(&data[..rows * columns], rows, columns)
}

/// A row-major matrix to write to.
pub(super) fn matrix_mut(data: &mut [f32], rows: usize, columns: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(&mut data[..rows * columns], rows, columns)
}

/// `out = factor · a · b`.
pub(super) fn multiply(out: MatMut<'_, f32>, a: MatRef<'_, f32>, b: MatRef<'_, f32>, factor: f32, par: Par) {
    matmul(out, Accum::Replace, a, b, factor, par);
}

/// `out += factor · a · b`.
pub(super) fn multiply_add(
    out: MatMut<'_, f32>,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    factor: f32,
    par: Par,
) {
    matmul(out, Accum::Add, a, b, factor, par);
}
