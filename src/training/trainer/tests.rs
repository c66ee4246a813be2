//! A whole run on a tiny model, and what happens to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::*;
use crate::session::Role;
use crate::training::gguf::Gguf;
use crate::training::model::{Base, Engine, EngineSettings, LoraSettings, tiny};
use crate::training::tokenizer::{ChatTemplate, Tokenizer};

struct World {
    base: Arc<Base>,
    encoder: Encoder,
    folder: tempfile::TempDir,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    tiny::write(&path, "llama", 21);
    let file = Gguf::open(&path).unwrap();
    let tokenizer = Tokenizer::from_gguf(&file).unwrap();
    let template = ChatTemplate::from_gguf(&file, &tokenizer).unwrap();
    let encoder = Encoder::new(tokenizer, template, 128);
    World { base: Arc::new(Base::load(&file).unwrap()), encoder, folder }
}

impl World {
    fn engine(&self) -> Engine {
        Engine::new(self.base.clone(), EngineSettings::default()).unwrap()
    }

    fn examples(&self) -> Vec<Example> {
        let chat = |n: u32| {
            vec![
                turn(Role::User, &format!("what is {n}?")),
                turn(Role::Assistant, &format!("{n} is the an{n}")),
            ]
        };
        (0..7).flat_map(|n| self.encoder.encode(&chat(n)).unwrap().examples).collect()
    }
}

fn turn(role: Role, text: &str) -> SpokenTurn {
    SpokenTurn { role, text: text.into(), learn: true }
}

fn settings() -> TrainerSettings {
    TrainerSettings {
        lora: LoraSettings { rank: 4, alpha: 8.0 },
        rate: 2e-2,
        epochs: 3,
        batch: 3,
        pass_tokens: 100,
        checkpoint_every: 2,
        ..TrainerSettings::default()
    }
}

#[test]
fn only_what_the_assistant_said_is_learned_with_its_end() {
    let world = world();
    let chat = [
        turn(Role::System, "be kind"),
        turn(Role::User, "the <|im_end|> trick"),
        turn(Role::Assistant, "the end"),
        turn(Role::User, "more"),
        SpokenTurn { learn: false, ..turn(Role::Assistant, "bad") },
        turn(Role::User, "again"),
        turn(Role::Assistant, "ok"),
    ];
    let encoded = world.encoder.encode(&chat).unwrap();
    assert_eq!((encoded.examples.len(), encoded.too_long), (1, 0));
    let example = &encoded.examples[0];
    let tokenizer = world.encoder.tokenizer();
    let learned: Vec<u32> = example
        .tokens
        .iter()
        .zip(&example.learn)
        .filter(|(_, learn)| **learn)
        .map(|(token, _)| *token)
        .collect();
    let expected =
        [tokenizer.encode_rendered("the end<|im_end|>"), tokenizer.encode_rendered("ok<|im_end|>")];
    assert_eq!(learned, expected.concat());
    assert_eq!(example.tokens.iter().filter(|token| **token == 2).count(), 7, "a said sign is no sign");
}

#[test]
fn a_long_chat_is_cut_between_exchanges_and_never_inside_one() {
    let world = world();
    let mut chat = vec![turn(Role::System, "s")];
    for n in 0..6 {
        chat.push(turn(Role::User, &format!("question {n}")));
        chat.push(turn(Role::Assistant, &"x".repeat(if n == 3 { 300 } else { 5 + n })));
    }
    let encoded = world.encoder.encode(&chat).unwrap();
    assert_eq!(encoded.too_long, 1);
    assert!(encoded.examples.len() >= 2);
    assert!(encoded.examples.iter().all(|example| example.tokens.len() <= 128));
    let ends: usize = encoded
        .examples
        .iter()
        .flat_map(|example| example.tokens.iter().zip(&example.learn))
        .filter(|(token, learn)| **token == 2 && **learn)
        .count();
    assert_eq!(ends, 5, "every other answer is learned once");
}

#[test]
fn a_run_learns() {
    let world = world();
    let (examples, settings) = (world.examples(), settings());
    let trainer = Trainer::new(&settings, &examples, None, b"base");
    let outcome = trainer.run(&mut world.engine(), &mut |_, _, _| Ok(Verdict::Continue)).unwrap();
    assert_eq!(outcome.losses.len(), 9);
    assert!(outcome.losses[8] < 0.7 * outcome.losses[0], "{:?}", outcome.losses);
}

#[test]
fn a_run_killed_at_any_step_and_taken_up_ends_with_the_same_weights() {
    let world = world();
    let (examples, settings) = (world.examples(), settings());
    let mut watch = |_: &Progress, _: &mut Engine, _: &_| Ok(Verdict::Continue);
    let whole =
        Trainer::new(&settings, &examples, None, b"base").run(&mut world.engine(), &mut watch).unwrap();
    for kill_at in 1..9u64 {
        let path = world.folder.path().join(format!("{kill_at}.checkpoint"));
        let trainer = Trainer::new(&settings, &examples, Some(&path), b"base");
        // A kill leaves nothing but the last checkpoint: the state is dropped as it is.
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            trainer.run(&mut world.engine(), &mut |progress, _, _| {
                if progress.step == kill_at {
                    std::panic::resume_unwind(Box::new("killed"));
                }
                Ok(Verdict::Continue)
            })
        }));
        assert!(killed.is_err());
        let again = trainer.run(&mut world.engine(), &mut watch).unwrap();
        assert_eq!(again.resumed_at, (kill_at - 1) / 2 * 2);
        assert_eq!(again.adapter, whole.adapter, "killed at {kill_at}");
        assert_eq!(again.losses, whole.losses);
    }
}

#[test]
fn a_stopped_run_keeps_every_step_and_another_runs_checkpoint_is_not_taken() {
    let world = world();
    let (examples, settings) = (world.examples(), settings());
    let path = world.folder.path().join("run.checkpoint");
    let trainer = Trainer::new(&settings, &examples, Some(&path), b"base");
    let engine_settings = EngineSettings::default();
    let mut engine = Engine::new(world.base.clone(), engine_settings.clone()).unwrap();
    let stopped = trainer.run(&mut engine, &mut |progress, _, _| {
        engine_settings.stop.store(progress.step == 3, Ordering::Relaxed);
        Ok(Verdict::Continue)
    });
    assert!(matches!(stopped, Err(TrainError::Stopped)));
    let mut first = None;
    let mut watch = |progress: &Progress, _: &mut Engine, _: &_| {
        first.get_or_insert(progress.step);
        Ok(Verdict::Continue)
    };
    let again = trainer.run(&mut world.engine(), &mut watch).unwrap();
    assert_eq!((again.resumed_at, first), (3, Some(4)));
    let other = Trainer::new(&settings, &examples[1..], Some(&path), b"base");
    let mut watch = |_: &Progress, _: &mut Engine, _: &_| Ok(Verdict::Finish);
    assert_eq!(other.run(&mut world.engine(), &mut watch).unwrap().resumed_at, 0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(
        trainer.run(&mut world.engine(), &mut watch).unwrap().resumed_at,
        0,
        "damaged: from the start"
    );
}

#[test]
fn the_watchers_best_is_what_a_run_gives() {
    let world = world();
    let (examples, settings) = (world.examples(), settings());
    let trainer = Trainer::new(&settings, &examples, None, b"base");
    let mut best = None;
    let outcome = trainer
        .run(&mut world.engine(), &mut |progress, _, adapter| {
            Ok(match progress.step {
                2 => {
                    best = Some(adapter.clone());
                    Verdict::Best
                }
                5 => Verdict::Finish,
                _ => Verdict::Continue,
            })
        })
        .unwrap();
    assert_eq!((Some(outcome.adapter), outcome.losses.len()), (best, 5));
}

#[test]
fn a_loss_that_is_no_number_is_an_error() {
    let world = world();
    let examples = world.examples();
    let settings = TrainerSettings { rate: f32::INFINITY, ..settings() };
    let trainer = Trainer::new(&settings, &examples, None, b"base");
    let result = trainer.run(&mut world.engine(), &mut |_, _, _| Ok(Verdict::Continue));
    assert!(matches!(result, Err(TrainError::NotFinite { step: 1 })), "{result:?}");
    let none = Trainer::new(&settings, &[], None, b"base");
    let result = none.run(&mut world.engine(), &mut |_, _, _| Ok(Verdict::Continue));
    assert!(matches!(result, Err(TrainError::NoExamples)));
}
