//! The way of the files: read and taken through the chain side by side, judged and stored one after the other.

use std::collections::VecDeque;
use std::ffi::OsString;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::known::{End, Judged, Ledger, commit};
use super::plan::{Listed, Plan};
use super::{Rebuild, RebuildError, Rebuilt};
use crate::config::{OnError, StageEntry};
use crate::forget::is_stub;
use crate::memory::Writer;
use crate::pipeline::chain::{Chain, Rehearsed};
use crate::pipeline::contain::contain;
use crate::pipeline::known_stems;
use crate::pipeline::reading::{envelopes, longest_of_each};
use crate::pipeline::standing::{Opening, Standing, judge};
use crate::platform;
use crate::session::Envelope;
use crate::spool::shown;
use crate::state::{LearnedRecord, StateBatch};

/// Files in one commit.
const COMMIT: u64 = 64;
/// Bytes of files read ahead.
const ROOM: u64 = 64 << 20;

/// A file whose sessions are on their way through the chain.
struct UnderWay {
    number: u64,
    learned_at: Timestamp,
    sessions: Vec<JoinHandle<(Judged, End)>>,
}

type Decoded = Result<Vec<Envelope>, String>;

impl Rebuild {
    /// Takes the files through the chain, from the first; what an earlier try stored is only judged again.
    pub(super) async fn go_through(
        &self,
        plan: &Plan,
        begun: u64,
        memory: &mut Writer,
        ledger: &mut Ledger,
        rebuilt: &mut Rebuilt,
        tell: &mut impl FnMut(u64, u64),
    ) -> Result<(), RebuildError> {
        let total = plan.files.len() as u64;
        let mut decoding: VecDeque<(u64, JoinHandle<Decoded>)> = VecDeque::new();
        let mut under_way: VecDeque<UnderWay> = VecDeque::new();
        let mut waiting: Vec<(Vec<(Judged, End)>, Timestamp)> = Vec::new();
        let (mut next, mut ahead) = (0, 0);
        loop {
            while let Some(listed) = plan.files.get(next)
                && decoding.len() < self.in_flight
                && (ahead == 0 || ahead + listed.size <= ROOM)
            {
                ahead += listed.size;
                decoding.push_back((next as u64, self.read(listed)));
                next += 1;
            }
            if under_way.len() < self.in_flight
                && let Some((number, decoded)) = decoding.pop_front()
            {
                let Some(listed) = plan.files.get(number as usize) else { continue };
                let decoded = decoded.await.map_err(|panic| RebuildError::Panic(panic.to_string()))?;
                ahead -= listed.size;
                let sessions = self.judge(listed, decoded, number < begun, ledger, rebuilt)?;
                let learned_at = Timestamp::from_millisecond(listed.learned_ms).unwrap_or_default();
                under_way.push_back(UnderWay { number, learned_at, sessions });
                continue;
            }
            let Some(UnderWay { number, learned_at, sessions }) = under_way.pop_front() else { break };
            let mut ended = Vec::with_capacity(sessions.len());
            for session in sessions {
                ended.push(session.await.map_err(|panic| RebuildError::Panic(panic.to_string()))?);
            }
            if number < begun {
                for (judged, end) in ended {
                    match end {
                        End::Passed => ledger.note(judged),
                        End::Finished => drop(ledger.met.insert(judged.envelope.identity)),
                        End::Failed(why) => rebuilt.failed.push((judged.record.file, why)),
                    }
                }
                continue;
            }
            waiting.push((ended, learned_at));
            tell(number + 1, total);
            if (number + 1) % COMMIT == 0 || number + 1 == total {
                commit(memory, &mut waiting, ledger, rebuilt, number + 1)?;
            }
        }
        Ok(())
    }

    /// Reads and decodes a file, on a thread that may wait for the disk.
    fn read(&self, listed: &Listed) -> JoinHandle<Decoded> {
        let name: OsString = platform::name_from_bytes(listed.name.clone());
        let path = self.home.done.join(&name);
        let (chain, forgotten) = (self.chain.clone(), self.forgotten.clone());
        tokio::task::spawn_blocking(move || {
            let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
            if is_stub(&bytes) {
                return Ok(Vec::new());
            }
            let name = shown(&name);
            let decode = || chain.decode.decode(&bytes, &name);
            let mut decoded = contain(decode)?.map_err(|error| error.to_string())?;
            forgotten.strip(&mut decoded);
            Ok(longest_of_each(envelopes(decoded, &name, bytes.len() as u64)))
        })
    }

    /// Judges the sessions of a file, and sends those that count through the chain. `stored`: an earlier try went
    /// through the file, and what it stored need not be taken through the chain again.
    fn judge(
        &self,
        listed: &Listed,
        decoded: Decoded,
        stored: bool,
        ledger: &mut Ledger,
        rebuilt: &mut Rebuilt,
    ) -> Result<Vec<JoinHandle<(Judged, End)>>, RebuildError> {
        let name = shown(&platform::name_from_bytes(listed.name.clone()));
        let envelopes = match decoded {
            Ok(envelopes) => envelopes,
            Err(why) => {
                rebuilt.failed.push((name, why));
                return Ok(Vec::new());
            }
        };
        let mut sessions = Vec::new();
        for mut envelope in envelopes {
            let opening = Opening::of(&envelope);
            let standing = judge(&ledger.state, &mut envelope, opening)?;
            if matches!(standing, Standing::Duplicate(_) | Standing::Older(_)) {
                continue;
            }
            let record = self.record(&envelope, opening, &name, listed.entry, ledger);
            let mut batch = StateBatch::default();
            batch.put_learned(&envelope.identity, &record);
            ledger.state.apply(batch)?;
            let chain = self.chain.clone();
            let known = stored && ledger.stored.contains(&envelope.identity);
            sessions.push(tokio::spawn(async move {
                let end = if known { End::Passed } else { rehearse(&chain, &mut envelope).await };
                (Judged { envelope, record }, end)
            }));
        }
        Ok(sessions)
    }

    fn record(
        &self,
        envelope: &Envelope,
        opening: Opening,
        file: &str,
        entry: u64,
        ledger: &Ledger,
    ) -> LearnedRecord {
        let stem = ledger
            .stems
            .of(envelope)
            .unwrap_or_else(|| format!("rebuilt-{}", &envelope.identity.to_string()[..16]));
        LearnedRecord {
            key: envelope.key.to_string(),
            file: file.to_owned(),
            messages: opening.messages,
            examples: known_stems::examples(&self.home, &stem),
            first: opening.first,
            all: opening.all,
            stem,
            entry,
        }
    }
}

/// Takes a session through the chain as `atles check --dry-run` does: nothing outside of it is touched.
async fn rehearse(chain: &Chain, envelope: &mut Envelope) -> End {
    let mut end = End::Passed;
    let tell = |entry: &StageEntry, how: Rehearsed<'_>| match how {
        Rehearsed::Finished(_) => end = End::Finished,
        Rehearsed::Failed(why) if entry.on_error != OnError::Continue => {
            end = End::Failed(format!("{}: {why}", entry.name));
        }
        _ => {}
    };
    chain.rehearse(envelope, tell).await;
    end
}
