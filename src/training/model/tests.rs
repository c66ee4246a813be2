//! The gradients against finite differences, and what must hold on any number of threads.

use std::sync::Arc;

use super::*;
use crate::training::gguf::Gguf;

fn base(architecture: &str) -> Arc<Base> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    tiny::write(&path, architecture, 11);
    Arc::new(Base::load(&Gguf::open(&path).unwrap()).unwrap())
}

fn engine(base: &Arc<Base>, threads: usize, memory: Memory) -> Engine {
    Engine::new(base.clone(), EngineSettings { threads, memory, ..EngineSettings::default() }).unwrap()
}

/// Two sequences, longer than a block of attention and shorter; parts of them learned.
fn text() -> [(Vec<u32>, Vec<bool>); 2] {
    let mut random = fastrand::Rng::with_seed(5);
    [83usize, 20].map(|length| {
        let tokens = (0..length).map(|_| random.u32(3..200)).collect();
        (tokens, (0..length).map(|at| at % 3 != 0).collect())
    })
}

fn sequences(text: &[(Vec<u32>, Vec<bool>); 2]) -> [Sequence<'_>; 2] {
    [0, 1].map(|i| Sequence { tokens: &text[i].0, learn: &text[i].1 })
}

fn total(losses: &[Loss]) -> f64 {
    losses.iter().map(|loss| loss.sum).sum()
}

/// An adapter whose B is not zero, so that every matrix has a gradient.
fn stirred(base: &Base) -> Adapter {
    let mut adapter = Adapter::new(base.shape(), LoraSettings { rank: 4, alpha: 8.0 }, 3);
    let mut random = fastrand::Rng::with_seed(9);
    for slot in adapter.slots().to_vec() {
        adapter.values[slot.b].fill_with(|| (random.f32() - 0.5) * 0.2);
    }
    adapter
}

#[test]
fn every_gradient_is_the_slope_of_the_loss() {
    for architecture in ["llama", "qwen2"] {
        let base = base(architecture);
        let adapter = stirred(&base);
        let text = text();
        let mut engine = engine(&base, 1, Memory::Normal);
        let mut gradient = vec![0.0; adapter.values.len()];
        engine.learn(&adapter, &sequences(&text), 1.0, &mut gradient).unwrap();
        for slot in adapter.slots() {
            for (name, range) in [("A", slot.a.clone()), ("B", slot.b.clone())] {
                // Along the signs of the gradient the slope is the sum of its sizes: the largest there is.
                let expected: f64 = gradient[range.clone()].iter().map(|g| f64::from(g.abs())).sum();
                assert!(expected > 0.0, "{architecture} {} {name}", slot.tensor());
                let step = 2e-3f32 / range.len() as f32 * 16.0;
                let mut at = |sign: f32| {
                    let mut moved = adapter.clone();
                    for i in range.clone() {
                        moved.values[i] += sign * step * gradient[i].signum();
                    }
                    total(&engine.losses(Some(&moved), &sequences(&text)).unwrap())
                };
                let slope = (at(1.0) - at(-1.0)) / (2.0 * f64::from(step));
                let ratio = slope / expected;
                assert!((0.99..1.01).contains(&ratio), "{architecture} {} {name}: {ratio}", slot.tensor());
            }
        }
    }
}

#[test]
fn what_is_learned_from_rounded_numbers_points_the_same_way() {
    if simd::pairs().is_none() {
        return println!("this processor does not multiply bfloat16");
    }
    for (architecture, memory) in
        [("llama", Memory::Normal), ("qwen2", Memory::Normal), ("llama", Memory::Low)]
    {
        let base = base(architecture);
        let adapter = stirred(&base);
        let text = text();
        let [(exact, right), (rounded, found)] = [Precision::Single, Precision::Mixed].map(|precision| {
            let settings = EngineSettings { memory, precision, ..EngineSettings::default() };
            let mut engine = Engine::new(base.clone(), settings).unwrap();
            let mut gradient = vec![0.0; adapter.values.len()];
            let losses = engine.learn(&adapter, &sequences(&text), 1.0, &mut gradient).unwrap();
            (total(&losses), gradient)
        });
        assert!((rounded / exact - 1.0).abs() < 5e-3, "{architecture}: {exact}, rounded {rounded}");
        assert_ne!(rounded, exact, "rounded numbers were asked for");
        for slot in adapter.slots() {
            for (name, range) in [("A", slot.a.clone()), ("B", slot.b.clone())] {
                let (right, found) = (&right[range.clone()], &found[range]);
                let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                let cosine = product(right, found) / (product(right, right) * product(found, found)).sqrt();
                assert!(cosine > 0.999, "{architecture} {} {name}: {cosine}", slot.tensor());
            }
        }
    }
}

#[test]
fn b_moves_first_and_then_a() {
    let base = base("llama");
    let mut adapter = Adapter::new(base.shape(), LoraSettings { rank: 4, alpha: 8.0 }, 3);
    let text = text();
    let mut engine = engine(&base, 1, Memory::Normal);
    for step in 0..2 {
        let mut gradient = vec![0.0; adapter.values.len()];
        engine.learn(&adapter, &sequences(&text), 0.01, &mut gradient).unwrap();
        for slot in adapter.slots() {
            let moves = |range: &std::ops::Range<usize>| gradient[range.clone()].iter().any(|g| *g != 0.0);
            assert!(moves(&slot.b), "B of {}", slot.tensor());
            assert_eq!(moves(&slot.a), step == 1, "A of {}", slot.tensor());
        }
        adapter.values.iter_mut().zip(&gradient).for_each(|(value, g)| *value -= g * 0.1);
    }
}

#[test]
fn threads_and_memory_change_nothing_but_speed() {
    let base = base("qwen2");
    let adapter = stirred(&base);
    let text = text();
    let run = |threads, memory| {
        let mut engine = engine(&base, threads, memory);
        let mut gradient = vec![0.0; adapter.values.len()];
        let losses = engine.learn(&adapter, &sequences(&text), 1.0, &mut gradient).unwrap();
        let again = engine.losses(Some(&adapter), &sequences(&text)).unwrap();
        assert!((total(&losses) - total(&again)).abs() < 1e-4, "learning and measuring agree");
        (total(&losses), gradient)
    };
    let (loss, gradient) = run(1, Memory::Normal);
    for (threads, memory) in [(1, Memory::Low), (2, Memory::Normal), (2, Memory::Low)] {
        let (other, theirs) = run(threads, memory);
        assert!((loss - other).abs() < 1e-4 * loss, "{loss} {other}");
        let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let apart = gradient.iter().zip(&theirs).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
        assert!(apart < 1e-4 * norm, "{apart} of {norm} with {threads} threads, {memory:?}");
    }
    assert_eq!(run(2, Memory::Normal), run(2, Memory::Normal), "bit for bit on one thread count");
}

#[test]
fn sequences_of_a_batch_do_not_see_each_other() {
    let base = base("llama");
    let text = text();
    let mut engine = engine(&base, 1, Memory::Normal);
    let both = engine.losses(None, &sequences(&text)).unwrap();
    for (sequence, together) in sequences(&text).iter().zip(both) {
        let alone = engine.losses(None, std::slice::from_ref(sequence)).unwrap();
        assert_eq!(alone[0].tokens, together.tokens);
        assert!((alone[0].sum - together.sum).abs() < 1e-3, "{alone:?} {together:?}");
    }
}

#[test]
fn what_cannot_be_trained_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    tiny::write(&path, "mamba", 1);
    let error = Base::load(&Gguf::open(&path).unwrap()).unwrap_err().to_string();
    assert_eq!(error, "architecture \"mamba\" cannot be trained; llama and qwen2 can");
}

#[test]
fn a_stop_ends_a_pass_in_the_middle() {
    let base = base("llama");
    let text = text();
    let settings = EngineSettings::default();
    settings.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut engine = Engine::new(base, settings).unwrap();
    assert_eq!(engine.losses(None, &sequences(&text)), Err(Stopped));
}
