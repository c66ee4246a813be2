//! The whole model, forward and backward, on threads of its own.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::adapter::Adapter;
use super::base::Base;
use super::bf16::Bf16;
use super::block::{Room, Saved, Scene, loras};
use super::head::Scores;
use super::linear::Desk;
use super::maths::{rms_norm, rms_norm_backward};
use super::packing::Packed;
use super::rope::Rope;
use super::simd::pairs;

/// Tokens, and which of them are to be learned.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// The tokens.
    pub tokens: &'a [u32],
    /// For each token whether the model is to predict it from those before. The first never is.
    pub learn: &'a [bool],
}

impl Sequence<'_> {
    /// How many tokens are learned.
    pub fn learned(&self) -> usize {
        self.learn.iter().skip(1).filter(|learn| **learn).count()
    }
}

/// The loss of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Loss {
    /// Negative log-probabilities (natural logarithm), summed.
    pub sum: f64,
    /// Tokens they belong to.
    pub tokens: usize,
}

impl Loss {
    /// Per token; zero where there are none.
    pub fn mean(self) -> f64 {
        if self.tokens == 0 { 0.0 } else { self.sum / self.tokens as f64 }
    }
}

impl std::ops::AddAssign for Loss {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.tokens += other.tokens;
    }
}

/// What the forward pass keeps for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Memory {
    /// What is dear to compute again: fastest.
    #[default]
    Normal,
    /// Only the stream between blocks; every block runs twice. About 40 % slower, and a third of the memory.
    Low,
}

/// With which numbers a model learns. Measuring is always exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// All in `f32`.
    #[default]
    Single,
    /// Where the processor can multiply pairs of bfloat16 numbers, the products with frozen weights are made of
    /// numbers rounded so, and summed in `f32`; what is trained, its gradient and all else stay `f32`. The way of
    /// mixed-precision training (Micikevicius et al., arXiv:1710.03740), with bfloat16 (Kalamkar et al.,
    /// arXiv:1905.12322).
    Mixed,
}

impl Precision {
    fn pairs(self) -> Option<Bf16> {
        match self {
            Precision::Single => None,
            Precision::Mixed => pairs(),
        }
    }
}

/// How the work is done.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Threads; at least one.
    pub threads: usize,
    /// Speed or memory.
    pub memory: Memory,
    /// Speed or exactness.
    pub precision: Precision,
    /// Let other programs go first, so that chatting stays smooth while a model learns.
    pub low_priority: bool,
    /// Set to make a pass stop at the next block.
    pub stop: Arc<AtomicBool>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        EngineSettings {
            threads: 1,
            memory: Memory::Normal,
            precision: Precision::Single,
            low_priority: true,
            stop: Arc::default(),
        }
    }
}

/// A pass was stopped in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// A model at work.
#[derive(Debug)]
pub struct Engine {
    base: Arc<Base>,
    settings: EngineSettings,
    pool: rayon::ThreadPool,
    state: State,
}

#[derive(Debug)]
struct State {
    rope: Rope,
    saved: Vec<Saved>,
    room: Room,
    scores: Scores,
    packed: Packed,
    down: Packed,
    up: Packed,
    stream: Vec<f32>,
}

/// Most supervised rows taken to the output layer at once: their scores of all tokens are in memory together.
const HEAD_ROWS: usize = 192;
const HEAD_ROWS_LOW: usize = 48;

impl Engine {
    /// Makes threads and room.
    pub fn new(base: Arc<Base>, settings: EngineSettings) -> std::io::Result<Self> {
        let low_priority = settings.low_priority;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(settings.threads.max(1))
            .thread_name(|index| format!("train-{index}"))
            .start_handler(move |_| {
                if low_priority {
                    crate::platform::be_nice();
                }
            })
            .build()
            .map_err(std::io::Error::other)?;
        let state = State {
            rope: Rope::new(&base.shape, &base.rope_factors),
            saved: Vec::new(),
            room: Room::default(),
            scores: Scores::default(),
            packed: Packed::default(),
            down: Packed::default(),
            up: Packed::default(),
            stream: Vec::new(),
        };
        Ok(Engine { base, settings, pool, state })
    }

    /// The model.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// What the products with frozen weights are made of while learning: `f32`, or `bf16`.
    pub fn numbers(&self) -> &'static str {
        if self.settings.precision.pairs().is_some() { "bf16" } else { "f32" }
    }

    /// The losses of some sequences, without learning.
    pub fn losses(
        &mut self,
        adapter: Option<&Adapter>,
        batch: &[Sequence<'_>],
    ) -> Result<Vec<Loss>, Stopped> {
        self.pass(adapter, batch, None)
    }

    /// The losses of some sequences; `gradient` grows by that of their sum times `weight`.
    pub fn learn(
        &mut self,
        adapter: &Adapter,
        batch: &[Sequence<'_>],
        weight: f32,
        gradient: &mut [f32],
    ) -> Result<Vec<Loss>, Stopped> {
        self.pass(Some(adapter), batch, Some((weight, gradient)))
    }

    fn pass(
        &mut self,
        adapter: Option<&Adapter>,
        batch: &[Sequence<'_>],
        backward: Option<(f32, &mut [f32])>,
    ) -> Result<Vec<Loss>, Stopped> {
        let Engine { base, settings, pool, state } = self;
        pool.install(|| {
            let pairs = backward.as_ref().and_then(|_| settings.precision.pairs());
            let mut pass = Pass { base, settings, adapter, state, pairs, batch: Batch::new(batch, base) };
            pass.run(backward)
        })
    }
}

/// Sequences put one after the other.
struct Batch {
    tokens: Vec<u32>,
    sequences: Vec<Range<usize>>,
    /// Row, token that is to follow it, sequence it belongs to.
    targets: Vec<(usize, u32, usize)>,
}

impl Batch {
    fn new(batch: &[Sequence<'_>], base: &Base) -> Self {
        let mut all = Batch { tokens: Vec::new(), sequences: Vec::new(), targets: Vec::new() };
        let last = base.shape.vocabulary.saturating_sub(1) as u32;
        for (index, sequence) in batch.iter().enumerate() {
            let from = all.tokens.len();
            all.tokens.extend(sequence.tokens.iter().map(|token| (*token).min(last)));
            all.sequences.push(from..all.tokens.len());
            let next = sequence.tokens.iter().zip(sequence.learn).enumerate().skip(1);
            let learned = next.filter(|(_, (_, learn))| **learn);
            all.targets.extend(learned.map(|(at, (token, _))| (from + at - 1, (*token).min(last), index)));
        }
        all.sequences.retain(|sequence| !sequence.is_empty());
        all
    }
}

struct Pass<'a> {
    base: &'a Base,
    settings: &'a EngineSettings,
    adapter: Option<&'a Adapter>,
    state: &'a mut State,
    pairs: Option<Bf16>,
    batch: Batch,
}

impl Pass<'_> {
    fn run(&mut self, backward: Option<(f32, &mut [f32])>) -> Result<Vec<Loss>, Stopped> {
        let sequences = self.batch.targets.iter().map(|target| target.2 + 1).max().unwrap_or(0);
        let mut losses = vec![Loss::default(); sequences.max(self.batch.sequences.len())];
        if self.batch.targets.is_empty() {
            return Ok(losses);
        }
        self.embed();
        self.blocks(backward.is_some())?;
        match backward {
            None => self.head(None, &mut losses)?,
            Some((weight, gradient)) => {
                self.head(Some(weight), &mut losses)?;
                self.blocks_backward(gradient)?;
            }
        }
        Ok(losses)
    }

    fn check(&self) -> Result<(), Stopped> {
        if self.settings.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    fn embed(&mut self) {
        let width = self.base.shape.width;
        let Pass { base, state, batch, .. } = self;
        state.rope.prepare(batch.sequences.iter().flat_map(|sequence| 0..sequence.len()));
        state.stream.resize(batch.tokens.len() * width, 0.0);
        for (token, row) in batch.tokens.iter().zip(state.stream.chunks_exact_mut(width)) {
            base.embedding.row(*token as usize, row);
        }
    }

    /// Runs the blocks. For the backward pass each keeps what it needs; else they share one place.
    fn blocks(&mut self, keep: bool) -> Result<(), Stopped> {
        let layers = self.base.layers.len();
        let places = if keep { layers } else { 1 };
        if self.state.saved.len() < places {
            self.state.saved.resize_with(places, Saved::default);
        }
        let low = keep && self.settings.memory == Memory::Low;
        let mut common = Saved::default();
        for (index, layer) in self.base.layers.iter().enumerate() {
            self.check()?;
            let State { rope, saved, room, packed, down, up, stream, .. } = &mut *self.state;
            let Some(place) = saved.get_mut(if keep { index } else { 0 }) else { break };
            let scene = Scene {
                shape: &self.base.shape,
                rope,
                sequences: &self.batch.sequences,
                rows: self.batch.tokens.len(),
            };
            let mut desk = Desk { packed, down, up, pairs: self.pairs, threads: self.settings.threads };
            std::mem::swap(&mut place.input, stream);
            if low {
                std::mem::swap(&mut place.input, &mut common.input);
                scene.forward(&mut desk, room, layer, loras(self.adapter, index), &mut common, stream);
                std::mem::swap(&mut place.input, &mut common.input);
            } else {
                scene.forward(&mut desk, room, layer, loras(self.adapter, index), place, stream);
            }
        }
        Ok(())
    }

    /// Losses of the supervised rows; with a weight, `stream` becomes the gradient before the last norm.
    fn head(&mut self, weight: Option<f32>, losses: &mut [Loss]) -> Result<(), Stopped> {
        let width = self.base.shape.width;
        let epsilon = self.base.shape.epsilon;
        let chunk = if self.settings.memory == Memory::Low { HEAD_ROWS_LOW } else { HEAD_ROWS };
        let mut gradient = weight.map(|_| vec![0.0; self.state.stream.len()]);
        let (mut x, mut normed, mut dnormed, mut dx) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        // Rounds of about the same size: the matrix is packed anew in each.
        let rounds = self.batch.targets.len().div_ceil(chunk).max(1);
        let chunk = self.batch.targets.len().div_ceil(rounds).max(1);
        for targets in self.batch.targets.chunks(chunk) {
            self.check()?;
            let State { scores, packed, down, up, stream, .. } = &mut *self.state;
            let mut desk = Desk { packed, down, up, pairs: self.pairs, threads: self.settings.threads };
            x.clear();
            for (row, ..) in targets {
                x.extend_from_slice(&stream[row * width..(row + 1) * width]);
            }
            normed.resize(x.len(), 0.0);
            rms_norm(&x, &self.base.norm, epsilon, &mut normed);
            dnormed.resize(x.len(), 0.0);
            let tokens: Vec<u32> = targets.iter().map(|target| target.1).collect();
            let backward = weight.map(|weight| (weight, &mut dnormed[..]));
            let found = scores.losses(&mut desk, self.base.head(), &normed, &tokens, backward);
            for ((.., sequence), loss) in targets.iter().zip(found) {
                if let Some(place) = losses.get_mut(*sequence) {
                    *place += Loss { sum: f64::from(loss), tokens: 1 };
                }
            }
            if let Some(gradient) = &mut gradient {
                dx.clear();
                dx.resize(x.len(), 0.0);
                rms_norm_backward(&x, &self.base.norm, epsilon, &mut dnormed, &mut dx);
                for ((row, ..), dx) in targets.iter().zip(dx.chunks_exact(width)) {
                    gradient[row * width..(row + 1) * width].copy_from_slice(dx);
                }
            }
        }
        if let Some(gradient) = gradient {
            self.state.stream = gradient;
        }
        Ok(())
    }

    fn blocks_backward(&mut self, gradient: &mut [f32]) -> Result<(), Stopped> {
        let Some(adapter) = self.adapter else { return Ok(()) };
        let low = self.settings.memory == Memory::Low;
        let mut common = Saved::default();
        let mut unused = Vec::new();
        for (index, layer) in self.base.layers.iter().enumerate().rev() {
            self.check()?;
            let State { rope, saved, room, packed, down, up, stream, .. } = &mut *self.state;
            let scene = Scene {
                shape: &self.base.shape,
                rope,
                sequences: &self.batch.sequences,
                rows: self.batch.tokens.len(),
            };
            let (Some(place), Some(slots)) =
                (saved.get_mut(index), adapter.slots().get(index * 7..index * 7 + 7))
            else {
                break;
            };
            let mut desk = Desk { packed, down, up, pairs: self.pairs, threads: self.settings.threads };
            let loras = loras(Some(adapter), index);
            let place = if low {
                std::mem::swap(&mut place.input, &mut common.input);
                scene.forward(&mut desk, room, layer, loras, &mut common, &mut unused);
                &common
            } else {
                place
            };
            let begin = slots.first().map_or(0, |slot| slot.a.start);
            let end = slots.last().map_or(0, |slot| slot.b.end);
            let part = &mut gradient[begin..end];
            scene.backward(&mut desk, room, layer, loras, slots, part, place, stream, index == 0);
            if low {
                let Some(place) = saved.get_mut(index) else { break };
                std::mem::swap(&mut place.input, &mut common.input);
            }
        }
        Ok(())
    }
}
