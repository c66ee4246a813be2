//! The built-in trainer as a backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::RunFailure;
use super::measure::{encode, encoder, engine_settings, load, losses, open};
use crate::session::SpokenTurn;
use crate::training::artefact::write_adapter;
use crate::training::backend::{Artefact, Backend, BackendError, Job, Progress, Trained};
use crate::training::model::{Engine, LoraSettings, Loss};
use crate::training::trainer::{Encoder, Example, TrainError, Trainer, TrainerSettings, Verdict};

/// The trainer that is built into this program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Embedded;

impl Backend for Embedded {
    fn wants_files(&self) -> bool {
        false
    }

    fn train(
        &mut self,
        job: &Job<'_>,
        watch: &mut dyn FnMut(&Progress),
        stop: &Arc<AtomicBool>,
    ) -> Result<Trained, BackendError> {
        let (base, train, held_out) = {
            let file = open(job.base)?;
            let encoder = encoder(&file, job.settings)?;
            let base = load(&file, job.base, stop)?;
            (base, encode_all(&encoder, job.train)?, encode_all(&encoder, job.held_out)?)
        };
        let settings = trainer_settings(job);
        let mut engine = Engine::new(base, engine_settings(job.settings, stop))
            .map_err(|error| RunFailure::file("threads", &error))?;
        let checkpoint = job.folder.join("checkpoint");
        let origin = [hash_of(job.base)?.as_bytes(), engine.numbers().as_bytes()].concat();
        let trainer = Trainer::new(&settings, &train, Some(&checkpoint), &origin);
        let per_epoch = (train.len().div_ceil(settings.batch.max(1)) as u64).max(1);
        // Outlives a kill: a run that is taken up must judge as it would have without the break.
        let best_file = job.folder.join("best");
        let best = std::fs::read_to_string(&best_file).ok().and_then(|bits| bits.trim().parse().ok());
        let mut best = best.map_or(f64::INFINITY, f64::from_bits);
        let outcome = trainer.run(&mut engine, &mut |step, engine, adapter| {
            watch(&Progress {
                step: step.step,
                steps: step.steps,
                loss: step.loss,
                tokens: step.tokens,
                seconds: step.seconds,
            });
            if !step.step.is_multiple_of(per_epoch) || held_out.is_empty() {
                return Ok(Verdict::Continue);
            }
            // After each epoch: the best so far is what counts, and a run that gets worse ends.
            let mut all = Loss::default();
            losses(engine, Some(adapter), &held_out, settings.pass_tokens)?
                .into_iter()
                .for_each(|loss| all += loss);
            Ok(if all.mean() <= best {
                best = all.mean();
                // Where it cannot be written, only a break would matter.
                let _ = std::fs::write(&best_file, best.to_bits().to_string());
                Verdict::Best
            } else {
                Verdict::Finish
            })
        });
        let outcome = outcome.map_err(|error| failure(error, stop))?;
        let path = job.folder.join("adapter.gguf");
        write_adapter(&path, engine.base().shape(), &outcome.adapter, &format!("atles {}", job.run))
            .map_err(|error| BackendError::Later(error.to_string()))?;
        Ok(Trained {
            artefact: Artefact::Adapter(path),
            losses: outcome.losses,
            tokens: outcome.tokens,
            seconds: outcome.seconds,
        })
    }
}

fn trainer_settings(job: &Job<'_>) -> TrainerSettings {
    let settings = job.settings;
    TrainerSettings {
        lora: LoraSettings { rank: settings.rank, alpha: settings.alpha },
        rate: settings.learning_rate,
        epochs: settings.epochs,
        batch: settings.batch,
        pass_tokens: settings.max_length,
        seed: settings.seed,
        ..TrainerSettings::default()
    }
}

fn encode_all(encoder: &Encoder, chats: &[Vec<SpokenTurn>]) -> Result<Vec<Example>, RunFailure> {
    let mut examples = Vec::new();
    for chat in chats {
        examples.extend(encode(encoder, chat)?);
    }
    Ok(examples)
}

/// A checkpoint belongs to the model's content, not to its name.
fn hash_of(path: &std::path::Path) -> Result<blake3::Hash, RunFailure> {
    let mut hasher = blake3::Hasher::new();
    let read = std::fs::File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut hasher));
    read.map_err(|error| RunFailure::file("the base model", &error))?;
    Ok(hasher.finalize())
}

fn failure(error: TrainError, stop: &AtomicBool) -> BackendError {
    match error {
        TrainError::Stopped => BackendError::Stopped,
        _ if stop.load(Ordering::Relaxed) => BackendError::Stopped,
        TrainError::NoExamples => BackendError::Failed {
            message: "no chat is short enough to learn from".into(),
            hint: Some("raise `[training] max_length`".into()),
        },
        TrainError::NotFinite { .. } => BackendError::Failed {
            message: error.to_string(),
            hint: Some("lower `[training] learning_rate`, or pull the base model again".into()),
        },
        TrainError::Checkpoint { ref source, .. } if crate::platform::is_disk_full(source) => {
            BackendError::Later(format!("the disk is full: {error}"))
        }
        TrainError::Checkpoint { .. } => BackendError::Later(error.to_string()),
    }
}

impl From<RunFailure> for BackendError {
    fn from(failure: RunFailure) -> Self {
        match failure {
            RunFailure::Stopped => BackendError::Stopped,
            RunFailure::Failed { message, hint } => BackendError::Failed { message, hint },
            other => BackendError::Later(other.to_string()),
        }
    }
}
