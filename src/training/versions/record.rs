use serde::{Deserialize, Serialize};

/// What a run tells of itself: the output of `atles train --now --json`. Losses are means per token of the
/// assistant's answers, in natural logarithms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version it made.
    pub version: String,
    /// The base, as `[training]` names it.
    pub base: String,
    /// Sessions in the run.
    pub sessions: usize,
    /// Answers that were learned.
    pub examples_train: usize,
    /// Answers that were measured with.
    pub examples_held_out: usize,
    /// Tokens taken through the model to learn.
    pub tokens: u64,
    /// How many a second.
    pub tokens_per_second: f64,
    /// The process's highest resident memory; 0 where the system does not tell.
    pub peak_rss_bytes: u64,
    /// The first step's loss.
    pub loss_first: f64,
    /// The last step's loss.
    pub loss_last: f64,
    /// Loss on the held-out sessions with what was current before (the base, where nothing was).
    pub held_out_before: f64,
    /// The same with the new version.
    pub held_out_after: f64,
    /// Loss on general questions with the base.
    pub anchor_before: f64,
    /// The same with the new version.
    pub anchor_after: f64,
    /// What the gate said.
    pub decision: Decision,
    /// Why.
    pub reason: String,
}

/// What the gate said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It takes the place of the current version.
    Promoted,
    /// It is kept to be looked at.
    Rejected,
}

/// `metrics.json` of a version: the record, and what only a closer look wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The run's record.
    #[serde(flatten)]
    pub record: Record,
    /// The run, `run_<yyyymmdd_hhmmss>`.
    pub run: String,
    /// When it ended; ISO 8601.
    pub finished: String,
    /// Seconds from its start to its end, without breaks.
    pub seconds: f64,
    /// What was measured: `adapter` or `merged`.
    pub measured: String,
    /// The version that was current before.
    pub previous: Option<String>,
    /// Held-out loss on sessions that the previous version did not know, before and after.
    pub new_held_out: Option<(f64, f64)>,
    /// Held-out loss on those that it knew, before and after.
    pub old_held_out: Option<(f64, f64)>,
    /// Share of the draws in which the loss fell.
    pub confidence: f64,
    /// How much questions tell of the learned answers, in nats per token, by the base's judgement.
    pub relevance: Option<f64>,
    /// Mean loss of every step.
    pub losses: Vec<f32>,
}

/// `lineage.json` of a version: what it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// The run.
    pub run: String,
    /// The base.
    pub base: BaseUsed,
    /// The sessions, those held out included.
    pub sessions: Vec<LineageSession>,
    /// `[training]` as it was.
    pub settings: serde_json::Value,
    /// The program, as in `atles 0.1.0`.
    pub code: String,
}

/// A base model that a version builds on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseUsed {
    /// As `[training]` names it.
    pub name: String,
    /// Its file at the time.
    pub path: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// A session that a version knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageSession {
    /// The chat app's id.
    pub session_id: String,
    /// Names the session across its revisions, hexadecimal.
    pub identity: String,
    /// Names the content, hexadecimal.
    pub key: String,
    /// Whether it was measured with instead of learned.
    pub held_out: bool,
}
