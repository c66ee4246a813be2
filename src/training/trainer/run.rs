//! One run: from a fresh adapter, or a checkpoint, to a trained one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::checkpoint::Checkpoint;
use super::encode::Example;
use super::optimiser::{AdamW, clip};
use super::schedule::rate;
use crate::training::model::{Adapter, Engine, LoraSettings, Loss, Sequence, Stopped};

/// How a run learns.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerSettings {
    /// Rank and strength of the adapter.
    pub lora: LoraSettings,
    /// The highest learning rate.
    pub rate: f32,
    /// How often every example is seen.
    pub epochs: u64,
    /// Examples that make one step.
    pub batch: usize,
    /// Tokens taken through the model at once; examples are put together up to this. Bounds the memory.
    pub pass_tokens: usize,
    /// Part of the steps during which the rate rises.
    pub warm_up: f32,
    /// Gradients longer than this are shortened to it.
    pub clip: f32,
    /// AdamW's weight decay.
    pub decay: f32,
    /// Seed of the fresh adapter and of the order of examples.
    pub seed: u64,
    /// Steps from checkpoint to checkpoint.
    pub checkpoint_every: u64,
}

impl Default for TrainerSettings {
    fn default() -> Self {
        TrainerSettings {
            lora: LoraSettings { rank: 8, alpha: 16.0 },
            rate: 2e-4,
            epochs: 2,
            batch: 4,
            pass_tokens: 512,
            warm_up: 0.05,
            clip: 1.0,
            decay: 0.0,
            seed: 0,
            checkpoint_every: 10,
        }
    }
}

/// Why a run did not end well. A run that was stopped can be taken up again.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// It was stopped from outside.
    #[error("the run was stopped; it goes on from its checkpoint")]
    Stopped,
    /// The loss or the gradient is not a number any more.
    #[error("the loss is not a number at step {step}; lower the learning rate, or the base model is damaged")]
    NotFinite {
        /// The step.
        step: u64,
    },
    /// There is nothing to learn.
    #[error("there is no example to learn from")]
    NoExamples,
    /// The checkpoint cannot be written.
    #[error("cannot write the checkpoint {}: {source}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<Stopped> for TrainError {
    fn from(Stopped: Stopped) -> Self {
        TrainError::Stopped
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The last step's mean loss.
    pub loss: f32,
    /// Its learning rate.
    pub rate: f32,
    /// Its gradient's length before clipping.
    pub gradient: f32,
    /// Tokens taken through the model since this process took up the run.
    pub tokens: u64,
    /// Seconds since then.
    pub seconds: f64,
}

/// What whoever watches wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// This adapter is the best so far: remember it, and go on.
    Best,
    /// Enough: end the run here.
    Finish,
}

/// What a run leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The best adapter that the watcher named, else the last.
    pub adapter: Adapter,
    /// Every step's mean loss.
    pub losses: Vec<f32>,
    /// Tokens taken through the model by this process.
    pub tokens: u64,
    /// Seconds this process took.
    pub seconds: f64,
    /// The step at which a checkpoint was taken up; zero where there was none.
    pub resumed_at: u64,
}

/// A run.
#[derive(Debug)]
pub struct Trainer<'a> {
    settings: &'a TrainerSettings,
    examples: &'a [Example],
    /// Where the state is kept, if it is.
    checkpoint: Option<&'a Path>,
    run: [u8; 32],
}

impl<'a> Trainer<'a> {
    /// A run on some examples. `base` names the base model (its hash): a checkpoint made with another base,
    /// other settings or other examples is not taken up.
    pub fn new(
        settings: &'a TrainerSettings,
        examples: &'a [Example],
        checkpoint: Option<&'a Path>,
        base: &[u8],
    ) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(base).update(format!("{settings:?}").as_bytes());
        for example in examples {
            hash.update(&(example.tokens.len() as u64).to_le_bytes());
            for (token, learn) in example.tokens.iter().zip(&example.learn) {
                hash.update(&token.to_le_bytes()).update(&[u8::from(*learn)]);
            }
        }
        Trainer { settings, examples, checkpoint, run: *hash.finalize().as_bytes() }
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.settings.epochs * self.steps_per_epoch()
    }

    fn steps_per_epoch(&self) -> u64 {
        self.examples.len().div_ceil(self.settings.batch.max(1)) as u64
    }

    /// Runs to the end, or until stopped through the engine. After every step `watch` may measure, and judge.
    pub fn run(
        &self,
        engine: &mut Engine,
        watch: &mut dyn FnMut(&Progress, &mut Engine, &Adapter) -> Result<Verdict, Stopped>,
    ) -> Result<Outcome, TrainError> {
        if self.examples.is_empty() {
            return Err(TrainError::NoExamples);
        }
        let mut adapter = Adapter::new(engine.base().shape(), self.settings.lora, self.settings.seed);
        let mut state = self.take_up(&mut adapter);
        let resumed_at = state.step;
        let mut gradient = vec![0.0; adapter.values.len()];
        let (mut tokens, began) = (0, Instant::now());
        let steps = self.steps();
        while state.step < steps {
            let (loss, seen) = match self.gradient(engine, &adapter, state.step, &mut gradient) {
                Ok(done) => done,
                Err(Stopped) => {
                    self.save(&state, &adapter)?;
                    return Err(TrainError::Stopped);
                }
            };
            let length = clip(&mut gradient, self.settings.clip);
            if !loss.is_finite() || !length.is_finite() {
                return Err(TrainError::NotFinite { step: state.step });
            }
            let warm_up = (self.settings.warm_up * steps as f32).ceil() as u64;
            let rate = rate(self.settings.rate, state.step, steps, warm_up);
            state.optimiser.step(&mut adapter.values, &gradient, rate, self.settings.decay);
            state.losses.push(loss);
            state.step += 1;
            tokens += seen;
            let seconds = began.elapsed().as_secs_f64();
            let progress =
                Progress { step: state.step, steps, loss, rate, gradient: length, tokens, seconds };
            let verdict = watch(&progress, engine, &adapter);
            if verdict == Ok(Verdict::Best) {
                state.best.clone_from(&adapter.values);
            }
            if verdict.is_err() || state.step.is_multiple_of(self.settings.checkpoint_every.max(1)) {
                self.save(&state, &adapter)?;
            }
            if verdict? == Verdict::Finish {
                break;
            }
        }
        if !state.best.is_empty() {
            adapter.values = state.best;
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(Outcome { adapter, losses: state.losses, tokens, seconds, resumed_at })
    }

    fn take_up(&self, adapter: &mut Adapter) -> Checkpoint {
        let size = adapter.values.len();
        let found = self.checkpoint.and_then(|path| Checkpoint::load(path, &self.run));
        if let Some((found, values)) = found.filter(|(_, values)| values.len() == size) {
            adapter.values = values;
            return found;
        }
        let optimiser = AdamW::new(size);
        Checkpoint { run: self.run, step: 0, best: Vec::new(), optimiser, losses: Vec::new() }
    }

    fn save(&self, state: &Checkpoint, adapter: &Adapter) -> Result<(), TrainError> {
        let Some(path) = self.checkpoint else { return Ok(()) };
        state
            .save(&adapter.values, path)
            .map_err(|source| TrainError::Checkpoint { path: path.to_path_buf(), source })
    }

    /// The gradient of a step's mean loss; the loss and how many tokens were taken through the model.
    fn gradient(
        &self,
        engine: &mut Engine,
        adapter: &Adapter,
        step: u64,
        gradient: &mut [f32],
    ) -> Result<(f32, u64), Stopped> {
        gradient.fill(0.0);
        let batch = self.batch(step);
        let learned: usize = batch.iter().map(Sequence::learned).sum();
        let weight = 1.0 / learned.max(1) as f32;
        let (mut loss, mut tokens) = (Loss::default(), 0);
        for pass in passes(&batch, self.settings.pass_tokens) {
            for found in engine.learn(adapter, pass, weight, gradient)? {
                loss += found;
            }
            tokens += pass.iter().map(|sequence| sequence.tokens.len() as u64).sum::<u64>();
        }
        Ok((loss.mean() as f32, tokens))
    }

    /// The examples of a step: every epoch has an order of its own, which only the seed decides.
    fn batch(&self, step: u64) -> Vec<Sequence<'a>> {
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let mut order: Vec<&Example> = self.examples.iter().collect();
        let seed = self.settings.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(epoch);
        fastrand::Rng::with_seed(seed).shuffle(&mut order);
        let size = self.settings.batch.max(1);
        let mine = order.into_iter().skip(within as usize * size).take(size);
        mine.map(|example| Sequence { tokens: &example.tokens, learn: &example.learn }).collect()
    }
}

/// Runs of sequences that together have at most so many tokens, or are one.
fn passes<'b, 'a>(batch: &'b [Sequence<'a>], most: usize) -> Vec<&'b [Sequence<'a>]> {
    let mut passes = Vec::new();
    let (mut from, mut tokens) = (0, 0);
    for (at, sequence) in batch.iter().enumerate() {
        if at > from && tokens + sequence.tokens.len() > most {
            passes.push(&batch[from..at]);
            (from, tokens) = (at, 0);
        }
        tokens += sequence.tokens.len();
    }
    passes.push(&batch[from..]);
    passes
}
