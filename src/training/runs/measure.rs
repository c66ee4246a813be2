//! Measuring: the losses of a model, with or without an adapter, on the texts of a run.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::RunFailure;
use crate::config::{self, MemoryMode, Training};
use crate::session::{Role, SpokenTurn};
use crate::training::artefact::read_adapter;
use crate::training::gguf::{Gguf, GgufError};
use crate::training::model::{
    Adapter, Base, Engine, EngineSettings, Loss, Memory, ModelError, Precision, Sequence, Stopped,
};
use crate::training::tokenizer::{ChatTemplate, Tokenizer};
use crate::training::trainer::{Encoder, Example};

/// Tokens at most that the answers' questions are swapped on.
const SWAPPED_TOKENS: usize = 5_000;

/// The chats of a run, by what they are for.
#[derive(Debug, Clone, Default)]
pub struct Texts<'a> {
    /// Held-out chats that the version before did not know.
    pub new: Vec<&'a [SpokenTurn]>,
    /// Held-out chats that it knew.
    pub old: Vec<&'a [SpokenTurn]>,
    /// General questions that are never learned.
    pub anchor: Vec<&'a [SpokenTurn]>,
    /// Chats that are learned.
    pub learned: Vec<&'a [SpokenTurn]>,
}

/// The same as tokens of one model family.
#[derive(Debug, Default)]
pub struct Encoded {
    new: Vec<Example>,
    old: Vec<Example>,
    anchor: Vec<Example>,
}

/// A model in memory, ready to be measured.
#[derive(Debug)]
pub struct Yardstick {
    engine: Engine,
    encoder: Encoder,
    pass: usize,
}

impl Yardstick {
    /// Loads a model.
    pub fn load(model: &Path, settings: &Training, stop: &Arc<AtomicBool>) -> Result<Self, RunFailure> {
        let file = open(model)?;
        let encoder = encoder(&file, settings)?;
        let base = load(&file, model, stop)?;
        let engine = Engine::new(base, engine_settings(settings, stop))
            .map_err(|error| RunFailure::file("threads", &error))?;
        Ok(Yardstick { engine, encoder, pass: settings.max_length })
    }

    /// The texts as this model reads them.
    pub fn encode(&self, texts: &Texts<'_>) -> Result<Encoded, RunFailure> {
        let all = |chats: &[&[SpokenTurn]]| -> Result<Vec<Example>, RunFailure> {
            let mut examples = Vec::new();
            for chat in chats {
                examples.extend(encode(&self.encoder, chat)?);
            }
            Ok(examples)
        };
        Ok(Encoded { new: all(&texts.new)?, old: all(&texts.old)?, anchor: all(&texts.anchor)? })
    }

    /// Answers after their own questions, and after questions from elsewhere: the next one of another chat.
    fn swap(&self, chats: &[&[SpokenTurn]]) -> Result<(Vec<Example>, Vec<Example>), RunFailure> {
        let pairs: Vec<(usize, &SpokenTurn, &SpokenTurn)> = (chats.iter().enumerate())
            .flat_map(|(chat, turns)| turns.windows(2).map(move |pair| (chat, &pair[0], &pair[1])))
            .filter(|(_, question, answer)| question.role == Role::User && answer.learn)
            .collect();
        let (mut own, mut swapped, mut tokens) = (Vec::new(), Vec::new(), 0);
        // Every so many, so that the few that fit are of all chats.
        let stride = if pairs.len().is_multiple_of(7) { 1 } else { 7 };
        for at in (0..pairs.len()).map(|number| number * stride % pairs.len()) {
            let (chat, question, answer) = pairs[at];
            let others = pairs.iter().cycle().skip(at + 1).take(pairs.len());
            let Some((_, other, _)) = others.into_iter().find(|(from, ..)| *from != chat) else { break };
            let both = [question, other].map(|question| {
                let chat = [question.clone(), answer.clone()];
                encode(&self.encoder, &chat)
            });
            let [ours, theirs] = both;
            let (ours, theirs) = (ours?, theirs?);
            // Of answers that are too long there is none, and then neither of the other.
            if ours.len() != 1 || theirs.len() != 1 {
                continue;
            }
            tokens += ours.iter().chain(&theirs).map(|example| example.tokens.len()).sum::<usize>();
            if tokens > SWAPPED_TOKENS && !own.is_empty() {
                break;
            }
            own.extend(ours);
            swapped.extend(theirs);
        }
        Ok((own, swapped))
    }

    /// Reads an adapter for this model.
    pub fn adapter(&self, path: &Path) -> Result<Adapter, ModelError> {
        read_adapter(path, self.engine.base().shape())
    }

    /// The losses on what is held out: new, then old.
    pub fn held_out(
        &mut self,
        adapter: Option<&Adapter>,
        texts: &Encoded,
    ) -> Result<[Vec<Loss>; 2], RunFailure> {
        Ok([self.losses(adapter, &texts.new)?, self.losses(adapter, &texts.old)?])
    }

    /// The losses on general questions.
    pub fn general(&mut self, adapter: Option<&Adapter>, texts: &Encoded) -> Result<Vec<Loss>, RunFailure> {
        self.losses(adapter, &texts.anchor)
    }

    /// The losses on learned answers after their own questions, and after those of other chats, without an adapter.
    pub fn relevance(&mut self, texts: &Texts<'_>) -> Result<[Vec<Loss>; 2], RunFailure> {
        let (own, swapped) = self.swap(&texts.learned)?;
        Ok([self.losses(None, &own)?, self.losses(None, &swapped)?])
    }

    fn losses(&mut self, adapter: Option<&Adapter>, examples: &[Example]) -> Result<Vec<Loss>, RunFailure> {
        Ok(losses(&mut self.engine, adapter, examples, self.pass)?)
    }
}

impl From<Stopped> for RunFailure {
    fn from(Stopped: Stopped) -> Self {
        RunFailure::Stopped
    }
}

/// The losses of examples, in passes of at most so many tokens.
pub(super) fn losses(
    engine: &mut Engine,
    adapter: Option<&Adapter>,
    examples: &[Example],
    pass: usize,
) -> Result<Vec<Loss>, Stopped> {
    let mut all = Vec::with_capacity(examples.len());
    let mut rest = examples;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = rest.iter().take_while(|example| {
            tokens += example.tokens.len();
            tokens <= pass
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        let batch: Vec<Sequence<'_>> =
            now.iter().map(|example| Sequence { tokens: &example.tokens, learn: &example.learn }).collect();
        let mut found = engine.losses(adapter, &batch)?;
        found.resize(now.len(), Loss::default());
        all.extend(found);
        rest = later;
    }
    Ok(all)
}

/// A chat as examples.
pub(super) fn encode(encoder: &Encoder, chat: &[SpokenTurn]) -> Result<Vec<Example>, RunFailure> {
    encoder.encode(chat).map(|encoded| encoded.examples).map_err(|error| RunFailure::Failed {
        message: error.to_string(),
        hint: Some("another base model has another chat template".into()),
    })
}

pub(super) fn open(model: &Path) -> Result<Gguf, RunFailure> {
    Gguf::open(model).map_err(|error| unusable(model, &error))
}

/// Reads a model's weights.
pub(super) fn load(file: &Gguf, model: &Path, stop: &AtomicBool) -> Result<Arc<Base>, RunFailure> {
    match Base::load_unless(stop, file) {
        Ok(base) => Ok(Arc::new(base)),
        Err(ModelError::Gguf(GgufError::Stopped)) => Err(RunFailure::Stopped),
        Err(error) => Err(unusable(model, &error)),
    }
}

pub(super) fn encoder(file: &Gguf, settings: &Training) -> Result<Encoder, RunFailure> {
    let failed = |message: String| {
        RunFailure::failed(message, "name another model in `[training] base`; `atles models pull` lists some")
    };
    let tokenizer = Tokenizer::from_gguf(file).map_err(|error| failed(error.to_string()))?;
    let template = ChatTemplate::from_gguf(file, &tokenizer).map_err(|error| failed(error.to_string()))?;
    Ok(Encoder::new(tokenizer, template, settings.max_length))
}

pub(super) fn unusable(model: &Path, error: &dyn std::error::Error) -> RunFailure {
    RunFailure::failed(
        format!("the base model {} cannot be used: {error}", model.display()),
        "pull it again, or name another model in `[training] base`",
    )
}

pub(super) fn engine_settings(settings: &Training, stop: &Arc<AtomicBool>) -> EngineSettings {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if settings.threads == 0 { cores.min(4) } else { settings.threads };
    let memory = match settings.memory {
        MemoryMode::Normal => Memory::Normal,
        MemoryMode::Low => Memory::Low,
    };
    let precision = match settings.precision {
        config::Precision::Mixed => Precision::Mixed,
        config::Precision::Single => Precision::Single,
    };
    EngineSettings { threads, memory, precision, low_priority: true, stop: stop.clone() }
}
