//! `[training]`: which model is trained, how, when, and what a new version must prove.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::validate::{Fault, fault};
use super::{CommandTrainer, OpenaiTrainer, Publish, Span};

/// Fine-tuning a model on what the stage `fine_tune` collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// The model to train: a known name (`atles models pull` lists them), `"ollama:NAME"` for a model of the local
    /// Ollama, or the path of a GGUF file. While it is not on this machine nothing is trained, and the training log
    /// says so.
    pub base: String,
    /// Who trains.
    pub trainer: TrainerKind,
    /// When a run starts. The conditions stand side by side: the first that holds starts one.
    pub trigger: Trigger,
    /// Rank of the adapter, 1 to 256: how much it can learn.
    pub rank: usize,
    /// Strength of the adapter: what it learned counts `alpha / rank` times. Usually twice the rank.
    pub alpha: f32,
    /// The highest learning rate. It rises during the first steps and falls along half a cosine to a tenth.
    pub learning_rate: f32,
    /// How often each session is seen, 1 to 100. A run ends earlier when the held-out sessions get no better.
    pub epochs: u64,
    /// Chats, or parts of long ones, that make one step.
    pub batch: usize,
    /// The longest part of a chat in tokens; longer chats are cut between exchanges. Bounds the memory.
    pub max_length: usize,
    /// Threads of the trainer, which run at low priority; 0 = as many as there are cores, at most 4.
    pub threads: usize,
    /// Speed or memory.
    pub memory: MemoryMode,
    /// The numbers that it learns with. It is measured with `f32` either way.
    pub precision: Precision,
    /// Seed of all that is drawn by lot. The same sessions, settings and seed give the same adapter.
    pub seed: u64,
    /// Share of the sessions that is held out to measure with, 0.05 to 0.5.
    pub held_out: f64,
    /// Which sessions are held out.
    pub held_out_by: HeldOutBy,
    /// Fewer answers than this to learn from, and no run starts.
    pub min_answers: usize,
    /// Sessions in a run at most: those that are new, and of the earlier ones a draw.
    pub max_sessions: usize,
    /// What a new version must prove before it takes the place of the current one.
    pub gate: Gate,
    /// The program that trains where `trainer = "command"`.
    pub command: CommandTrainer,
    /// The server that trains where `trainer = "openai"`.
    pub openai: OpenaiTrainer,
    /// Where a version goes once the gate let it through.
    pub publish: Publish,
}

impl Default for Training {
    fn default() -> Self {
        Training {
            base: "smollm2-135m-instruct".into(),
            trainer: TrainerKind::default(),
            trigger: Trigger::default(),
            rank: 8,
            alpha: 16.0,
            learning_rate: 5e-4,
            epochs: 2,
            batch: 4,
            max_length: 512,
            threads: 0,
            memory: MemoryMode::default(),
            precision: Precision::default(),
            seed: 0,
            held_out: 0.15,
            held_out_by: HeldOutBy::default(),
            min_answers: 16,
            max_sessions: 1000,
            gate: Gate::default(),
            command: CommandTrainer::default(),
            openai: OpenaiTrainer::default(),
            publish: Publish::default(),
        }
    }
}

/// Who trains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrainerKind {
    /// This program itself, on the processor.
    #[default]
    Embedded,
    /// A program of your own.
    Command,
    /// A server that speaks the protocol of OpenAI's fine-tuning jobs.
    Openai,
}

/// Speed or memory of the embedded trainer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemoryMode {
    /// Fastest.
    #[default]
    Normal,
    /// About a third of the memory, and 40 % slower.
    Low,
}

/// The numbers that the embedded trainer learns with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Rounded to bfloat16 where the model's own weights are multiplied, summed in `f32`; on a processor that cannot
    /// do that by itself (AVX512-BF16), as `"single"`.
    #[default]
    Mixed,
    /// All in `f32`.
    Single,
}

/// Which sessions are held out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeldOutBy {
    /// As by lot, by the session's identity: one that is held out stays held out.
    #[default]
    Lot,
    /// The last ones: it asks whether what was learned helps with what comes next. They are learned by later runs.
    Time,
}

/// When a run starts. The conditions stand side by side: the first that holds starts one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trigger {
    /// What is waited for.
    pub mode: TriggerMode,
    /// When so many new answers are collected; 0 = never for this reason.
    pub examples: usize,
    /// When something is new and no session came for so long, as in `"30m"`; absent: never for this reason.
    pub idle: Option<Span>,
    /// When something is new and the last run is so long ago, as in `"1d"`; absent: never for this reason.
    pub every: Option<Span>,
    /// At this time of the day when something is new, as in `"03:30"`; absent: never for this reason.
    pub at: Option<String>,
}

impl Default for Trigger {
    fn default() -> Self {
        Trigger { mode: TriggerMode::default(), examples: 64, idle: None, every: None, at: None }
    }
}

/// What is waited for before a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriggerMode {
    /// One of the conditions below.
    #[default]
    Collect,
    /// Nothing: every session that brings something new asks for a run. Those that come meanwhile share the next.
    PerSession,
    /// A person: only `atles train --now` trains.
    Manual,
}

/// What a new version must prove before it takes the place of the current one. Losses are means per token of the
/// assistant's answers, measured on the very file that would be published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// The loss on new sessions that were held out must fall by this share, as in `0.01` for 1 %.
    pub improve: f64,
    /// How sure that must be, 0.5 to 0.999: the share of the draws (paired bootstrap) in which it falls at all.
    pub confidence: f64,
    /// The loss on sessions held out earlier may rise by this share at most.
    pub old: f64,
    /// The loss on general questions that come with the program may rise by this share at most, against the base.
    pub anchor: f64,
    /// How much a question must tell of its answer, in nats per token: so much dearer must the learned answers be to
    /// the base after questions of other chats. It guards against training on answers that do not belong to their
    /// questions. 0 = do not look.
    pub relevance: f64,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { improve: 0.01, confidence: 0.95, old: 0.01, anchor: 0.01, relevance: 0.1 }
    }
}

impl Trigger {
    /// The time of day in `at`.
    pub fn time_of_day(&self) -> Option<jiff::civil::Time> {
        jiff::civil::Time::strptime("%H:%M", self.at.as_deref()?.trim()).ok()
    }
}

/// What is wrong with `[training]` although the types fit.
pub(super) fn training_faults(training: &Training) -> Vec<Fault> {
    let Training { trigger, gate, .. } = training;
    let mut all = Vec::new();
    let mut check = |holds: bool, key: &str, message: &str, hint: &str| {
        if !holds {
            all.push(fault(&[&format!("training.{key}")], message, hint));
        }
    };
    check(
        !training.base.trim().is_empty(),
        "base",
        "a run needs a model",
        "the default is \"smollm2-135m-instruct\"",
    );
    check((1..=256).contains(&training.rank), "rank", "`rank` is from 1 to 256", "8 or 16 is usual");
    check(
        training.alpha.is_finite() && training.alpha > 0.0,
        "alpha",
        "`alpha` is a number above 0",
        "twice the rank is usual",
    );
    check(
        training.learning_rate > 0.0 && training.learning_rate <= 0.1,
        "learning_rate",
        "`learning_rate` is above 0 and at most 0.1",
        "1e-4 to 1e-3 is usual, less for larger models",
    );
    check((1..=100).contains(&training.epochs), "epochs", "`epochs` is from 1 to 100", "1 to 3 is usual");
    check((1..=1024).contains(&training.batch), "batch", "`batch` is from 1 to 1024", "the default is 4");
    check(
        (64..=32_768).contains(&training.max_length),
        "max_length",
        "`max_length` is from 64 to 32768 tokens",
        "the default is 512",
    );
    check(
        training.threads <= 256,
        "threads",
        "`threads` is at most 256",
        "0 takes as many as there are cores, at most 4",
    );
    check(
        (0.05..=0.5).contains(&training.held_out),
        "held_out",
        "`held_out` is a share from 0.05 to 0.5",
        "without sessions to measure with no version can prove itself",
    );
    check(training.min_answers > 0, "min_answers", "a run needs something to learn", "the default is 16");
    check(
        training.max_sessions >= 10,
        "max_sessions",
        "`max_sessions` is at least 10",
        "the default is 1000",
    );
    check(
        trigger.at.is_none() || trigger.time_of_day().is_some(),
        "trigger.at",
        "not a time of the day",
        "write hours and minutes, as in \"03:30\"",
    );
    for (key, span) in [("trigger.idle", trigger.idle), ("trigger.every", trigger.every)] {
        let hint = "write a duration such as \"30m\", or leave the key out";
        check(span.is_none_or(|span| !span.0.is_zero()), key, "a run would start without a pause", hint);
    }
    for (key, share) in [("gate.improve", gate.improve), ("gate.old", gate.old), ("gate.anchor", gate.anchor)]
    {
        check((0.0..=1.0).contains(&share), key, "not a share from 0 to 1", "0.01 stands for 1 %");
    }
    check(
        (0.0..=5.0).contains(&gate.relevance),
        "gate.relevance",
        "`relevance` is from 0 to 5 nats per token",
        "the default is 0.1; 0 does not look",
    );
    check(
        (0.5..=0.999).contains(&gate.confidence),
        "gate.confidence",
        "`confidence` is from 0.5 to 0.999",
        "the default is 0.95",
    );
    let elsewhere = training.command.problems(training.trainer == TrainerKind::Command);
    let elsewhere =
        elsewhere.into_iter().chain(training.openai.problems(training.trainer == TrainerKind::Openai));
    for (key, message, hint) in elsewhere {
        check(false, &key, &message, &hint);
    }
    all.extend(
        training.publish.problems().into_iter().map(|(key, message, hint)| fault(&[key], message, hint)),
    );
    all
}
