//! The stage itself: part after part, from the cache or from the model.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::answer::{Additions, Broken, Proven, content, read};
use super::cache::Cache;
use super::prompt::{self, Part, for_ollama, for_openai, parts};
use super::{Api, LlmExtractSettings};
use crate::config::ByteSize;
use crate::pipeline::patch::apply;
use crate::pipeline::{Problem, Stage, StageContext, StageError, Verdict};
use crate::session::{Envelope, Session};
use crate::stages::http::{HttpSettings, client::Http};

/// The longest answer of a server that is read.
const ANSWER_MAX: ByteSize = ByteSize(1 << 20);

/// The stage: built once, used by all sessions at once.
pub(super) struct LlmExtract {
    settings: LlmExtractSettings,
    home: PathBuf,
    http: Http,
    turns: Semaphore,
}

/// How the parts of a session fared.
#[derive(Debug, Default)]
struct Tally {
    asked: usize,
    kept: usize,
    unproven: usize,
    unreadable: usize,
    echoed: usize,
    /// Parts that were passed over: both answers broken, too slow, or over the budget or the number of parts.
    skipped: usize,
    slow: usize,
}

/// What became of one part.
enum Outcome {
    Proven(Proven),
    Skipped,
}

impl LlmExtract {
    /// Checks the settings. `env` reads the environment.
    pub(super) fn new(
        settings: LlmExtractSettings,
        home: &Path,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = settings.problems();
        let http = HttpSettings {
            url: endpoint(&settings),
            headers: settings.headers.clone(),
            connect_timeout: settings.connect_timeout,
            max_output: ANSWER_MAX,
            proxy: settings.proxy,
        };
        match Http::new(&http, env) {
            Ok(http) if problems.is_empty() => {
                let turns = Semaphore::new(settings.parallel);
                Ok(LlmExtract { settings, home: home.to_path_buf(), http, turns })
            }
            Ok(_) => Err(problems),
            Err(more) => {
                problems.extend(more);
                Err(problems)
            }
        }
    }

    /// Asks for one part, and once more if the answer cannot be read.
    async fn ask(
        &self,
        part: &Part,
        session: &Session,
        until: Instant,
        tally: &mut Tally,
    ) -> Result<Outcome, StageError> {
        for again in [false, true] {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            tally.asked += 1;
            let model = &self.settings.model;
            let body = match self.settings.api {
                Api::Ollama => for_ollama(model, part, again),
                Api::Openai => for_openai(model, part, again),
            };
            let limit: Duration = left.min(self.settings.answer_timeout.0);
            let Ok(answer) = timeout(limit, self.http.post(body.to_string().into_bytes())).await else {
                tally.slow += 1;
                break;
            };
            let answer = answer.map_err(|error| self.explained(error))?;
            match content(&answer).and_then(|text| read(&text, part, session)) {
                Ok(proven) => return Ok(Outcome::Proven(proven)),
                Err(Broken::Unreadable) => tally.unreadable += 1,
                Err(Broken::Echo) => tally.echoed += 1,
            }
        }
        Ok(Outcome::Skipped)
    }

    fn explained(&self, error: StageError) -> StageError {
        match error {
            StageError::Permanent { message, source, .. } => StageError::Permanent {
                message,
                hint: Some(format!(
                    "does the server have the model {:?}, and does it take a JSON schema? For Ollama: `ollama pull` it",
                    self.settings.model
                )),
                source,
            },
            other => other,
        }
    }

    /// Names a part's question: the same question has the same answer.
    fn hash(&self, part: &Part) -> String {
        let asked = json!([prompt::VERSION, self.settings.api, self.settings.model, part.text]);
        blake3::hash(asked.to_string().as_bytes()).to_hex()[..32].to_owned()
    }
}

#[async_trait]
impl Stage for LlmExtract {
    async fn process(&self, envelope: &mut Envelope, cx: &StageContext<'_>) -> Result<Verdict, StageError> {
        let parts = parts(&envelope.session, usize::try_from(self.settings.part.0).unwrap_or(usize::MAX));
        if cx.dry_run {
            let (model, server) = (&self.settings.model, self.http.server());
            envelope.note = Some(format!("would ask {model} at {server} in {} parts", parts.len()));
            return Ok(Verdict::Continue);
        }
        let cache = Cache::of(&self.home, &envelope.identity);
        let mut tally =
            Tally { skipped: parts.len().saturating_sub(self.settings.max_parts), ..Tally::default() };
        let mut additions = Additions::default();
        let mut turn = None;
        let mut until = Instant::now();
        for part in parts.iter().take(self.settings.max_parts) {
            let hash = self.hash(part);
            let proven = match cache.get(&hash) {
                Some(proven) => {
                    tally.kept += 1;
                    proven
                }
                None => {
                    if turn.is_none() {
                        turn = self.turns.acquire().await.ok();
                        until = Instant::now() + self.settings.budget.0;
                    }
                    match self.ask(part, &envelope.session, until, &mut tally).await? {
                        Outcome::Proven(proven) => {
                            if let Err(problem) = cache.put(&hash, &proven) {
                                warn!(error = %problem, "an answer of the model could not be kept");
                            }
                            proven
                        }
                        Outcome::Skipped => {
                            tally.skipped += 1;
                            continue;
                        }
                    }
                }
            };
            tally.unproven += proven.unproven;
            additions.add(proven.found, part, &envelope.learned, self.settings.confidence);
        }
        drop(turn);
        let known = additions.known;
        let (facts, preferences) = (envelope.learned.facts.len(), envelope.learned.preferences.len());
        let patch: Value = json!({"facts": additions.facts, "preferences": additions.preferences});
        let verdict = apply(&patch, envelope, cx.name)?;
        envelope.patch = Some(patch);
        let learned = &envelope.learned;
        let added = [learned.facts.len() - facts, learned.preferences.len() - preferences];
        envelope.note = Some(tally.note(added, known));
        Ok(verdict)
    }

    fn acts_outside(&self) -> bool {
        true
    }
}

impl Tally {
    fn note(&self, [facts, preferences]: [usize; 2], known: usize) -> String {
        let mut note = format!("{facts} facts, {preferences} preferences");
        for (count, what) in [
            (known, "known already"),
            (self.unproven, "without proof"),
            (self.asked, "asked"),
            (self.kept, "answered before"),
            (self.unreadable, "answers unreadable"),
            (self.echoed, "answers only the schema"),
            (self.slow, "answers too slow"),
            (self.skipped, "parts passed over"),
        ] {
            if count > 0 {
                let _ = write!(note, ", {count} {what}");
            }
        }
        note
    }
}

fn endpoint(settings: &LlmExtractSettings) -> String {
    let base = settings.url.trim_end_matches('/');
    match settings.api {
        Api::Ollama => format!("{base}/api/chat"),
        Api::Openai if base.ends_with("/v1") => format!("{base}/chat/completions"),
        Api::Openai => format!("{base}/v1/chat/completions"),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
