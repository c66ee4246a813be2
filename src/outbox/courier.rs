//! The thread that makes files from the journal, off the path of the sessions.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::error;

use super::Place;
use super::desk::Desk;
use super::journal::Reader;
use crate::platform;
use crate::session::SessionKey;
use crate::spool::Home;

/// How long to wait before trying again after a file could not be written.
const RETRY: Duration = Duration::from_secs(2);
/// Segments of the journal that may wait for their files before whoever releases more is held up: 128 MiB.
const MOST_BEHIND: u64 = 8;
/// How long one release is held up at most; where files cannot be written, all goes on without them for now.
const HELD_UP: Duration = Duration::from_secs(1);

/// Says whether a session is in the ledger.
pub type Settled = dyn Fn(&SessionKey) -> bool + Send + Sync;

/// The thread that turns batches of the journal into files, in order.
///
/// New sessions come first: while they want the processor this thread waits, and its files follow once there is room,
/// or when too much of the journal has gathered.
#[derive(Debug)]
pub struct Courier {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    progress: Arc<Progress>,
    stopping: Arc<AtomicBool>,
}

/// A batch to deliver, and the sessions in it that were not settled after all.
type Order = (Place, Vec<SessionKey>);

#[derive(Debug, Default)]
struct Progress {
    keep: AtomicBool,
    ordered: AtomicU64,
    delivered: Mutex<Delivered>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Delivered {
    batches: u64,
    /// The segment of the last one.
    segment: u64,
}

impl Courier {
    /// Writes what an earlier run left in the journal, then starts the thread. `open_segment` is the one that is
    /// being written now.
    ///
    /// # Errors
    /// If what was left cannot be written, or no thread can be started.
    pub fn start(home: &Home, open_segment: u64, settled: &Settled) -> io::Result<Self> {
        let mut desk = Desk::open(home)?;
        desk.recover(open_segment, settled)?;
        let progress = Arc::new(Progress::default());
        lock(&progress.delivered).segment = open_segment;
        let stopping = desk.stopping.clone();
        let (orders, inbox) = channel();
        let told = progress.clone();
        let thread = std::thread::Builder::new().name("courier".into()).spawn(move || {
            platform::be_nice();
            desk.run(open_segment, &inbox, &told);
        })?;
        Ok(Courier { orders: Some(orders), thread: Some(thread), progress, stopping })
    }

    /// Lets a batch be written to its files: its sessions are in the ledger now, but for those in `left_out`. Waits a
    /// moment where too many wait already.
    pub fn release(&self, batch: Place, left_out: Vec<SessionKey>) {
        self.progress.ordered.fetch_add(1, Ordering::AcqRel);
        if let Some(orders) = &self.orders {
            let _ = orders.send((batch, left_out));
        }
        let behind = |delivered: &mut Delivered| delivered.segment + MOST_BEHIND < batch.segment;
        let delivered = lock(&self.progress.delivered);
        let _ = self.progress.changed.wait_timeout_while(delivered, HELD_UP, behind);
    }

    /// Keeps every piece of the journal until the next start, which works out which of its sessions are settled: a
    /// write of the ledger failed, and whether it is there only that start can tell.
    pub fn keep_journal(&self) {
        self.progress.keep.store(true, Ordering::Release);
    }

    /// Batches that are settled but not yet written to their files.
    pub fn backlog(&self) -> u64 {
        self.progress.ordered.load(Ordering::Acquire).saturating_sub(lock(&self.progress.delivered).batches)
    }

    /// Waits until everything released so far is written.
    pub fn wait_until_delivered(&self) {
        let ordered = self.progress.ordered.load(Ordering::Acquire);
        let delivered = lock(&self.progress.delivered);
        let _delivered = self
            .progress
            .changed
            .wait_while(delivered, |delivered| delivered.batches < ordered)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

/// Delivers what was released, unless it cannot be written: then the journal keeps it for the next start.
impl Drop for Courier {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the courier thread panicked");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    fn run(&mut self, open_segment: u64, inbox: &Receiver<Order>, progress: &Progress) {
        let mut reader: Option<Reader> = None;
        let mut oldest = open_segment;
        while let Some((batch, left_out)) = next_order(inbox, &mut reader) {
            while let Err(failure) = self.deliver_batch(&mut reader, batch, &left_out) {
                error!(error = %failure, "cannot write session logs or training data; trying again");
                reader = None;
                let until = Instant::now() + RETRY;
                while Instant::now() < until {
                    if self.stopping.load(Ordering::Acquire) {
                        return;
                    }
                    std::thread::sleep(RETRY / 40);
                }
            }
            {
                let mut delivered = lock(&progress.delivered);
                *delivered = Delivered { batches: delivered.batches + 1, segment: batch.segment };
            }
            progress.changed.notify_all();
            if batch.segment > oldest && !progress.keep.load(Ordering::Acquire) {
                self.discard(oldest..batch.segment);
                oldest = batch.segment;
            }
        }
        // Everything was delivered and nothing is being appended any more.
        if !progress.keep.load(Ordering::Acquire) {
            self.discard(oldest..oldest + 1);
        }
    }

    fn deliver_batch(
        &mut self,
        reader: &mut Option<Reader>,
        batch: Place,
        left_out: &[SessionKey],
    ) -> io::Result<()> {
        let at_batch = reader.take().filter(|reader| reader.place() == batch);
        let mut at_batch = match at_batch {
            Some(reader) => reader,
            None => Reader::of_this_run(&self.dir, batch)?,
        };
        let lost =
            || io::Error::new(io::ErrorKind::InvalidData, "a batch of the journal cannot be read back");
        let mut records = at_batch.next()?.ok_or_else(lost)?.records;
        records.retain(|record| !left_out.contains(&record.key));
        self.deliver(&records)?;
        *reader = Some(at_batch);
        Ok(())
    }
}

/// Waits for the next batch to deliver; a reader that has to wait gives its memory back.
fn next_order(inbox: &Receiver<Order>, reader: &mut Option<Reader>) -> Option<Order> {
    if let Ok(order) = inbox.try_recv() {
        return Some(order);
    }
    reader.iter_mut().for_each(Reader::rest);
    inbox.recv().ok()
}

#[cfg(test)]
mod tests {
    use super::super::journal::segments;
    use super::super::{Journal, Output, Record};
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.prepare().unwrap();
        (dir, home)
    }

    fn session(id: u8) -> Vec<Record<'static>> {
        let key = SessionKey([id; 32]);
        let line = format!("{{\"key\":\"{key}\"}}").into_bytes();
        let name = format!("log_{id}.json").into();
        vec![
            Record { key, output: Output::SessionLog { name, content: line.clone().into() } },
            Record { key, output: Output::MasterLine(line.into()) },
        ]
    }

    fn master(home: &Home) -> Vec<String> {
        let text = std::fs::read_to_string(home.logs().join("master_log.jsonl")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn after_a_crash_settled_sessions_get_their_files_once_and_others_none() {
        let (_dir, home) = home();
        let mut journal = Journal::open(&home.outbox()).unwrap();
        for id in 1..=3 {
            journal.append(&session(id)).unwrap();
        }
        drop(journal);
        // The first was delivered before the crash, and a torn line of the second was left.
        let first = format!("{{\"key\":\"{}\"}}\n{{\"key\":\"02", SessionKey([1; 32]));
        std::fs::write(home.logs().join("master_log.jsonl"), first).unwrap();

        for _ in 0..2 {
            let journal = Journal::open(&home.outbox()).unwrap();
            drop(Courier::start(&home, journal.end().segment, &|key| key.0[0] != 3).unwrap());
            assert_eq!(master(&home).len(), 2, "{:?}", master(&home));
            assert!(home.logs().join("log_2.json").exists());
            assert!(!home.logs().join("log_3.json").exists(), "never settled");
        }
    }

    #[test]
    fn a_hole_that_a_power_loss_left_in_the_master_log_is_filled_again() {
        let (_dir, home) = home();
        let mut journal = Journal::open(&home.outbox()).unwrap();
        for id in 1..=3 {
            journal.append(&session(id)).unwrap();
        }
        drop(journal);
        let line = |id: u8| format!("{{\"key\":\"{}\"}}\n", SessionKey([id; 32]));
        let hole = "\0".repeat(line(2).len());
        let torn = [line(9), line(1), hole, line(3)].concat();
        std::fs::write(home.logs().join("master_log.jsonl"), torn).unwrap();
        let journal = Journal::open(&home.outbox()).unwrap();
        drop(Courier::start(&home, journal.end().segment, &|_| true).unwrap());
        // The third stood on the torn line and was written again with the second.
        assert_eq!(master(&home).concat(), [9, 1, 2, 3].map(line).concat().replace('\n', ""));
    }

    #[test]
    fn a_session_recorded_twice_counts_as_it_was_recorded_last() {
        let record = |name: &'static str| {
            let (name, content) = (name.into(), name.as_bytes().into());
            Record { key: SessionKey([1; 32]), output: Output::SessionLog { name, content } }
        };
        let logs = |home: &Home| [1, 2].map(|n| home.logs().join(format!("{n}.json")).exists());
        for crash in [false, true] {
            let (_dir, home) = home();
            let mut journal = Journal::open(&home.outbox()).unwrap();
            let first = journal.append(&[record("1.json")]).unwrap();
            if crash {
                journal.append(&[record("2.json")]).unwrap();
                let journal = Journal::open(&home.outbox()).unwrap();
                drop(Courier::start(&home, journal.end().segment, &|_| true).unwrap());
            } else {
                let courier = Courier::start(&home, journal.end().segment, &|_| true).unwrap();
                courier.release(first, vec![SessionKey([1; 32])]);
                courier.release(journal.append(&[record("2.json")]).unwrap(), Vec::new());
                courier.wait_until_delivered();
            }
            assert_eq!(logs(&home), [false, true], "crash: {crash}");
        }
    }

    #[test]
    fn what_cannot_be_written_now_is_written_later_and_a_stop_does_not_wait_for_it() {
        let (_dir, home) = home();
        let (logs, away) = (home.logs(), home.root.join("away"));
        let mut journal = Journal::open(&home.outbox()).unwrap();
        let courier = Courier::start(&home, journal.end().segment, &|_| true).unwrap();
        std::fs::rename(&logs, &away).unwrap();
        std::fs::write(&logs, "in the way").unwrap();
        for id in 1..=3 {
            courier.release(journal.append(&session(id)).unwrap(), Vec::new());
        }
        drop((courier, journal));

        std::fs::remove_file(&logs).unwrap();
        std::fs::rename(&away, &logs).unwrap();
        let journal = Journal::open(&home.outbox()).unwrap();
        drop(Courier::start(&home, journal.end().segment, &|_| true).unwrap());
        assert_eq!(master(&home).len(), 3);
        assert!((1..=3).all(|id| home.logs().join(format!("log_{id}.json")).exists()));
    }

    #[test]
    fn whoever_releases_too_much_is_held_up_but_not_for_good() {
        let (_dir, home) = home();
        let mut journal = Journal::open(&home.outbox()).unwrap();
        let courier = Courier::start(&home, journal.end().segment, &|_| true).unwrap();
        let place = journal.append(&session(1)).unwrap();
        let far = Place { segment: place.segment + MOST_BEHIND + 1, ..place };
        let began = Instant::now();
        courier.release(far, Vec::new());
        assert!(began.elapsed() >= HELD_UP, "its segment cannot be read, so it is never delivered");
    }

    #[test]
    fn released_batches_are_written_in_order_and_the_journal_is_gone_afterwards() {
        let (_dir, home) = home();
        let mut journal = Journal::open(&home.outbox()).unwrap();
        let courier = Courier::start(&home, journal.end().segment, &|_| true).unwrap();
        for id in 1..=20 {
            courier.release(journal.append(&session(id)).unwrap(), Vec::new());
        }
        courier.wait_until_delivered();
        assert_eq!((courier.backlog(), master(&home).len()), (0, 20));
        assert!(master(&home).is_sorted());
        drop(journal);
        drop(courier);
        assert_eq!(segments(&home.outbox()).unwrap(), [0_u64; 0]);
    }
}
