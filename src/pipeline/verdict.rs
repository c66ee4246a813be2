//! From a failure to the sidecar that explains it.

use std::io::ErrorKind;

use jiff::Timestamp;

use super::chain::{Failure, RetryWish};
use super::unit::Judged;
use crate::config::Retry;
use crate::session::formats::DecodeError;
use crate::spool::{AttemptRecord, Claimed, ReadError, Refusal, Sidecar};
use crate::state::FileRecord;

/// Makes a dead letter of a file.
pub(super) fn dead_letter(
    failure: Failure,
    file: &Claimed,
    record: &FileRecord,
    now: Timestamp,
    size: u64,
) -> Judged {
    let earlier = record.attempts.iter().map(|attempt| AttemptRecord {
        at: Timestamp::from_millisecond(attempt.at).unwrap_or_default().to_string(),
        stage: attempt.stage.clone(),
        error: attempt.error.clone(),
    });
    let last =
        AttemptRecord { at: now.to_string(), stage: failure.stage.clone(), error: failure.message.clone() };
    let sidecar = Sidecar {
        file: file.shown(),
        failed_at: now.to_string(),
        attempts: earlier.chain([last]).collect(),
        what_to_do: failure.hint.unwrap_or_else(|| {
            format!("mend what the message names, then `atles failed retry {}`", shell_word(&file.shown()))
        }),
        stage: failure.stage,
        kind: failure.kind.to_owned(),
        message: failure.message,
        causes: failure.causes,
        line: failure.line,
        column: failure.column,
        path: failure.path,
        session: None,
        size,
        name_bytes: Sidecar::odd_name(&file.name),
    };
    Judged::Failed { sidecar: Box::new(sidecar), sessions: Vec::new() }
}

/// A name as one word of a shell command.
fn shell_word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./~".contains(c);
    if name.chars().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

/// A file that could not be read.
pub(super) fn unreadable(problem: &ReadError, retry: &Retry) -> Failure {
    let kind = match problem {
        ReadError::Refused(Refusal::NotAFile(_)) => "not_a_file",
        ReadError::Refused(Refusal::TooLarge { .. }) => "too_large",
        ReadError::Changing | ReadError::Gone | ReadError::Io(_) => "unreadable",
    };
    let mut failure = Failure::new("spool", kind, problem.to_string());
    failure.hint = Some(match problem {
        ReadError::Refused(refusal) => refusal.hint().to_owned(),
        // The disk said no, or there was a lack of something: that may pass.
        ReadError::Io(error) if error.kind() != ErrorKind::PermissionDenied => {
            failure.retry = Some(RetryWish { policy: retry.clone(), after: None });
            "see what the system's log says of the disk, then `atles failed retry`".to_owned()
        }
        _ => "let the daemon's user read the file, then `atles failed retry`".to_owned(),
    });
    failure
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        let mut failure = Failure::new("decode", error.kind.as_str(), error.message);
        failure.line = error.line;
        failure.column = error.column;
        failure.path = error.path;
        failure.hint = error.hint;
        failure
    }
}
