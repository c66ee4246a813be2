use std::time::{Duration, Instant};

use super::gemm::{Out, multiply};
use super::packing::{Packed, View};

/// How many multiplications and additions a second the matrix product makes of which training consists, with so many
/// threads: what a step of training can be compared to. Measured for about the time given.
pub fn product_rate(threads: usize, time: Duration) -> f64 {
    // A block of tokens through a layer of a model of a hundred million parameters.
    const ROWS: usize = 512;
    const INNER: usize = 768;
    const COLUMNS: usize = 2048;
    let left: Vec<f32> = (0..ROWS * INNER).map(|n| (n % 17) as f32 - 8.0).collect();
    let right: Vec<f32> = (0..INNER * COLUMNS).map(|n| (n % 13) as f32 - 6.0).collect();
    let mut out = vec![0.0; ROWS * COLUMNS];
    let mut packed = Packed::default();
    let mut measure = || {
        let started = Instant::now();
        let mut times = 0;
        while times == 0 || started.elapsed() < time {
            let (left, right) = (View::new(&left, ROWS, INNER), View::new(&right, INNER, COLUMNS));
            multiply(Out::replace(&mut out, COLUMNS), left, right, 1.0, &mut packed, threads);
            times += 1;
        }
        times as f64 / started.elapsed().as_secs_f64()
    };
    let times = match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(measure),
        Err(_) => measure(),
    };
    std::hint::black_box(&out);
    times * (2 * ROWS * INNER * COLUMNS) as f64
}
