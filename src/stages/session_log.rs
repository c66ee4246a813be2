//! The stage `session_log`, and what is written for it.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::memory::Stored;
use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Effect, Envelope, LogFiles, Moment};

/// Writes down what became of the session: a log of its own, a line in the master log, and the statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionLogSettings {
    /// Whether each session gets a file `logs/session_log_<session>_<time>.json`. The master log says the same, one
    /// session a line; switch the files off where tens of thousands of them are a burden.
    pub per_session: bool,
    /// Whether each session gets a line in `logs/master_log.jsonl`.
    pub master: bool,
}

impl Default for SessionLogSettings {
    fn default() -> Self {
        SessionLogSettings { per_session: true, master: true }
    }
}

impl StageConfig for SessionLogSettings {
    const KIND: &'static str = "session_log";

    fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let SessionLogSettings { per_session, master } = self;
        Ok(Box::new(WriteLog(LogFiles { per_session, master })))
    }
}

struct WriteLog(LogFiles);

#[async_trait]
impl Stage for WriteLog {
    async fn process(&self, envelope: &mut Envelope, _: &StageContext<'_>) -> Result<Verdict, StageError> {
        envelope.effects.retain(|effect| !matches!(effect, Effect::SessionLog(_)));
        envelope.effects.push(Effect::SessionLog(self.0));
        Ok(Verdict::Continue)
    }
}

/// The log of one session: `logs/session_log_<session>_<time>.json`, and a line of `logs/master_log.jsonl`. The
/// fields down to `errors` are those of the ATLES daemon that came before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionLog {
    /// The chat app's id of the session.
    pub session_id: String,
    /// When the chat began; ISO 8601.
    pub start_time: Option<String>,
    /// When the chat ended; ISO 8601.
    pub end_time: Option<String>,
    /// Messages in the session.
    pub messages_count: u64,
    /// Words in them.
    pub tokens_processed: u64,
    /// New messages, preferences and facts in memory.db.
    pub memory_items_created: u64,
    /// Whether a run that used the session made a version that was promoted.
    pub fine_tune_applied: bool,
    /// Loss on the held-out examples after that run.
    pub fine_tune_loss: Option<f64>,
    /// The version that run made, or the current one where that was rejected.
    pub model_version: Option<String>,
    /// What is better than before, in short sentences with counts.
    pub improvements: Vec<String>,
    /// Errors of stages that the pipeline lets pass (`on_error = "continue"`).
    pub errors: Vec<String>,
    /// The session key, in hexadecimal.
    pub key: String,
    /// Name of the file in done/.
    pub file: String,
    /// Whose session it is.
    pub user_id: Option<String>,
    /// The version of the pipeline that learned it.
    pub pipeline: String,
    /// What the stages did, in order.
    pub stages: Vec<StageRun>,
    /// The training run that used the session; `queued` while none has.
    pub training_run: Option<String>,
}

/// What stands in `training_run` of a session that waits for its run.
pub const QUEUED: &str = "queued";

/// What one stage did with a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRun {
    /// Its name in the chain.
    pub name: String,
    /// How it ended.
    pub status: StageStatus,
    /// Milliseconds.
    pub took_ms: f64,
    /// Its own words: counts, never the chat's text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageStatus {
    /// It did its work.
    Done,
    /// Its `when` was false.
    Skipped,
    /// It ended the chain: the session is settled as it is.
    Finished,
    /// It failed, and the chain went on (`on_error = "continue"`).
    Failed,
}

impl SessionLog {
    /// The log of a session that was stored, not yet trained on.
    pub fn new(envelope: &Envelope, stored: &Stored, pipeline: &str, stages: Vec<StageRun>) -> Self {
        let session = &envelope.session;
        let text = |at: Option<Moment>| at.map(|at| at.to_string());
        SessionLog {
            session_id: session.session_id.clone(),
            start_time: text(session.start_time),
            end_time: text(session.end_time),
            messages_count: session.messages.len() as u64,
            tokens_processed: session.words(),
            memory_items_created: stored.new_items,
            fine_tune_applied: false,
            fine_tune_loss: None,
            model_version: None,
            improvements: improvements(envelope, stored),
            errors: errors(&stages),
            key: envelope.key.to_string(),
            file: envelope.file.name.clone(),
            user_id: session.user_id.clone(),
            pipeline: pipeline.to_owned(),
            stages,
            training_run: envelope.effects.iter().any(is_queued).then(|| QUEUED.to_owned()),
        }
    }
}

fn is_queued(effect: &Effect) -> bool {
    matches!(effect, Effect::TrainingSet { chat } if chat.iter().any(|turn| turn.learn))
}

fn improvements(envelope: &Envelope, stored: &Stored) -> Vec<String> {
    let examples = envelope.effects.iter().map(|effect| match effect {
        Effect::TrainingData { examples, .. } => *examples as u64,
        _ => 0,
    });
    [
        (stored.new_messages, "message remembered", "messages remembered"),
        (stored.new_preferences, "new preference", "new preferences"),
        (stored.new_facts, "new fact", "new facts"),
        (examples.sum(), "training example", "training examples"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
    .collect()
}

fn errors(stages: &[StageRun]) -> Vec<String> {
    let failed = stages.iter().filter(|stage| stage.status == StageStatus::Failed);
    failed.map(|stage| format!("{}: {}", stage.name, stage.note.as_deref().unwrap_or("failed"))).collect()
}

/// `logs/daemon_stats.json`. The fields down to `start_time` are those of the ATLES daemon that came before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Statistics {
    /// Sessions learned, over all runs of the daemon; a revision counts again.
    pub sessions_processed: u64,
    /// Messages in them that were new.
    pub total_messages: u64,
    /// New messages, preferences and facts in memory.db.
    pub total_memory_items: u64,
    /// Training runs finished.
    pub total_fine_tunes: u64,
    /// Hours since this run of the daemon began.
    pub uptime_hours: f64,
    /// ISO 8601.
    pub last_updated: String,
    /// When this run of the daemon began; ISO 8601.
    pub start_time: String,
    /// Files that ended in failed/.
    pub sessions_failed: u64,
    /// Sessions whose content had been learned before.
    pub duplicates: u64,
    /// Sessions that a stage settled early, by a filter for example.
    pub filtered: u64,
    /// Sessions that took the place of an earlier revision.
    pub revisions: u64,
    /// Files that wait in the spool or are under way.
    pub queue: u64,
    /// Files that wait for their next attempt.
    pub retrying: u64,
}

impl Statistics {
    /// Counts a session that was stored.
    pub fn count(&mut self, stored: &Stored) {
        self.sessions_processed += 1;
        self.total_messages += stored.new_messages;
        self.total_memory_items += stored.new_items;
        self.revisions += u64::from(stored.replaced);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::session::{FileFacts, Message, Role, Session};

    fn envelope() -> Envelope {
        let session = Session {
            session_id: "s1".to_owned(),
            start_time: Moment::parse("2024-05-01T10:00:00"),
            end_time: Moment::parse("2024-05-01T10:05:00Z"),
            messages: vec![
                Message::new(Role::User, "my secret plan"),
                Message::new(Role::Assistant, "two words"),
            ],
            ..Session::default()
        };
        let mut envelope =
            Envelope::new(session, FileFacts { name: "s1.json".to_owned(), ..FileFacts::default() });
        envelope.effects.push(Effect::TrainingData {
            lines: String::new(),
            examples: 1,
            signatures: Vec::new(),
            answers: Vec::new(),
        });
        envelope
    }

    #[test]
    fn the_log_has_the_old_daemons_fields_and_tells_in_counts_what_got_better() {
        let stored = Stored { new_items: 5, new_messages: 2, new_preferences: 3, ..Stored::default() };
        let failed = StageRun {
            name: "enrich".to_owned(),
            status: StageStatus::Failed,
            took_ms: 1.5,
            note: Some("the server answered 500".to_owned()),
        };
        let done =
            StageRun { name: "memory".to_owned(), status: StageStatus::Done, took_ms: 0.25, note: None };
        let log = SessionLog::new(&envelope(), &stored, "p1", vec![failed, done]);
        let shown = serde_json::to_value(&log).unwrap();
        let expected = json!({
            "session_id": "s1",
            "start_time": "2024-05-01T10:00:00",
            "end_time": "2024-05-01T10:05:00Z",
            "messages_count": 2,
            "tokens_processed": 5,
            "memory_items_created": 5,
            "fine_tune_applied": false,
            "fine_tune_loss": null,
            "model_version": null,
            "improvements": ["2 messages remembered", "3 new preferences", "1 training example"],
            "errors": ["enrich: the server answered 500"],
            "key": envelope().key.to_string(),
            "file": "s1.json",
            "user_id": null,
            "pipeline": "p1",
            "stages": [
                {"name": "enrich", "status": "failed", "took_ms": 1.5, "note": "the server answered 500"},
                {"name": "memory", "status": "done", "took_ms": 0.25},
            ],
            "training_run": null,
        });
        assert_eq!(shown, expected);
        assert_eq!(serde_json::from_value::<SessionLog>(shown).unwrap(), log);
    }

    #[test]
    fn statistics_count_what_was_new_and_read_files_that_know_fewer_fields() {
        let mut statistics: Statistics =
            serde_json::from_value(json!({"sessions_processed": 7, "total_messages": 10})).unwrap();
        statistics.count(&Stored { new_items: 5, new_messages: 2, replaced: true, ..Stored::default() });
        let Statistics { sessions_processed, total_messages, total_memory_items, revisions, .. } = statistics;
        assert_eq!((sessions_processed, total_messages, total_memory_items, revisions), (8, 12, 5, 1));
    }

    #[tokio::test]
    async fn it_promises_the_files_that_the_settings_name() {
        let services = Services::detached(std::path::Path::new("/home"), std::path::Path::new("/"));
        let settings: SessionLogSettings = toml::from_str("per_session = false").unwrap();
        let stage = settings.build(&services).unwrap();
        let mut envelope = envelope();
        let cx = StageContext { name: "session_log", attempt: 1, dry_run: false };
        assert_eq!(stage.process(&mut envelope, &cx).await.unwrap(), Verdict::Continue);
        let promised = envelope.effects.last().unwrap();
        assert!(matches!(promised, Effect::SessionLog(LogFiles { per_session: false, master: true })));
    }
}
