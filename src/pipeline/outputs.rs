//! What a session leaves beside memory.db, as records of the journal.

use std::borrow::Cow;

use super::unit::{LearnedSession, Recorded};
use crate::outbox::{Output, Record};
use crate::session::{Effect, Envelope, LogFiles};
use crate::stages::session_log::{SessionLog, StageRun};
use crate::training::set::SetLine;

/// Moves the texts out of the envelope; only its counts are of use afterwards.
pub(super) fn outputs_of(session: &mut LearnedSession, now: jiff::Timestamp, out: &mut Vec<Record<'static>>) {
    let LearnedSession { envelope, replaces, stages, recorded, .. } = session;
    let key = envelope.key;
    let mut trained = false;
    for effect in &mut envelope.effects {
        if let Effect::TrainingData { lines, .. } = effect {
            trained = true;
            let name = format!("training_{}.jsonl", recorded.stem).into();
            let content = std::mem::take(lines).into_bytes();
            if !content.is_empty() || replaces.is_some() {
                out.push(Record { key, output: Output::TrainingData { name, content: content.into() } });
            }
        }
    }
    if !trained && replaces.as_ref().is_some_and(|earlier| earlier.examples > 0) {
        let name = format!("training_{}.jsonl", recorded.stem).into();
        out.push(Record { key, output: Output::TrainingData { name, content: Cow::default() } });
    }
    let wanted = envelope.effects.iter().find_map(|effect| match effect {
        Effect::SessionLog(files) => Some(*files),
        _ => None,
    });
    if let Some(wanted) = wanted {
        let log = session_log(envelope, recorded, std::mem::take(stages), wanted);
        out.extend(log.into_iter().map(|output| Record { key, output }));
    }
    // Last: this takes the chat out of the envelope, which the log still counts.
    out.extend(set_line(envelope, replaces.is_some(), recorded, now).map(|output| Record { key, output }));
}

/// The log of its own and the line of the master log, as far as they are wanted.
fn session_log(
    envelope: &Envelope,
    recorded: &Recorded,
    stages: Vec<StageRun>,
    wanted: LogFiles,
) -> Vec<Output<'static>> {
    let pipeline = format!("atles {}", env!("CARGO_PKG_VERSION"));
    let log = SessionLog::new(envelope, &recorded.stored, &pipeline, stages);
    let mut outputs = Vec::new();
    if wanted.per_session
        && let Ok(content) = serde_json::to_vec_pretty(&log)
    {
        let name = format!("session_log_{}.json", recorded.stem).into();
        outputs.push(Output::SessionLog { name, content: content.into() });
    }
    if wanted.master
        && let Ok(line) = serde_json::to_vec(&log)
    {
        outputs.push(Output::MasterLine(line.into()));
    }
    outputs
}

/// The session's line in the training set. A revision without answers worth learning takes the session out.
fn set_line(
    envelope: &mut Envelope,
    is_revision: bool,
    recorded: &Recorded,
    now: jiff::Timestamp,
) -> Option<Output<'static>> {
    let chat = envelope.effects.iter_mut().find_map(|effect| match effect {
        Effect::TrainingSet { chat } => Some(chat),
        _ => None,
    })?;
    let answers = chat.iter().filter(|turn| turn.learn).count();
    if answers == 0 && !is_revision {
        return None;
    }
    let line = SetLine {
        identity: envelope.identity.to_string(),
        key: envelope.key.to_string(),
        session_id: envelope.session.session_id.clone(),
        stem: recorded.stem.clone(),
        at: now.as_millisecond(),
        answers,
        chat: std::mem::take(chat),
    };
    serde_json::to_vec(&line).ok().map(|line| Output::SetLine(line.into()))
}
