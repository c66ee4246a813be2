use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use super::elements::{Element, Elements};
use super::handed::Handed;
use super::input::{Kind, Part, parts};
use super::report::Report;
use crate::platform;
use crate::session::formats::{Decoded, Format, Unit, decode_leniently, unit};
use crate::session::{Session, SessionKey};
use crate::spool::{Delivery, DeliveryError, Home, InstanceLock};

/// The JSON of one conversation, or a transcript, that is read at most, in bytes. What is larger is listed.
const LARGEST: usize = 32 << 20;
/// Sessions that are synced together.
const BATCH: usize = 512;
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(100);

/// Values that are looked at to tell what a file holds.
const FIRST: usize = 20;

/// The prefix of the files' names.
const PREFIX: &str = "import";

/// From when on conversations are imported.
#[derive(Debug, Clone, Copy)]
pub struct Since(pub Timestamp);

/// How an import is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// The format; [`Format::Auto`] tells it by the shape of each file.
    pub format: Format,
    /// Whose chats they are, whatever the export says.
    pub user: Option<String>,
    /// Conversations that ended before are left out; those without a time are not.
    pub since: Option<Since>,
    /// Hand over also what an earlier import handed over: what was forgotten since and is allowed again, say.
    pub again: bool,
    /// Only count.
    pub dry_run: bool,
    /// Larger session files are refused by the spool.
    pub max_size: u64,
    /// Bytes that stay free on the disk.
    pub min_free: u64,
    /// With so many files in the spool a daemon that runs is let to catch up, until half of them are gone.
    pub waiting: usize,
}

/// Why an import stopped. What was handed over before stays so.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The home cannot be used.
    #[error("cannot write to the home: {0}")]
    Home(#[from] io::Error),
    /// Another import has the home.
    #[error("another import runs on this home")]
    Busy,
    /// There is no room left.
    #[error("the disk is nearly full")]
    DiskFull,
}

impl ImportError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ImportError::Home(_) => None,
            ImportError::Busy => Some("wait until it is over"),
            ImportError::DiskFull => {
                Some("make room and run the same command again: it goes on where it stopped")
            }
        }
    }
}

/// What an import tells while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes were read since the last time.
    Read(u64),
    /// The daemon is let to catch up.
    Waiting,
}

/// An import under way.
pub struct Import<'a> {
    home: &'a Home,
    options: Options,
    progress: &'a mut dyn FnMut(Progress),
    handed: Handed,
    /// What this import took, where what earlier ones took does not count.
    taken: HashSet<SessionKey>,
    /// `None` in a dry run.
    delivery: Option<Delivery>,
    report: Report,
}

/// What can go wrong with a part: the part itself (outside), or the import (inside).
type Tried<T> = io::Result<Result<T, ImportError>>;

impl<'a> Import<'a> {
    /// Reads these files and folders, and hands what they hold to the spool. `began` is told how many bytes there are.
    ///
    /// # Errors
    /// See [`ImportError`]. What cannot be read is no error: it is listed in the report.
    pub fn run(
        home: &'a Home,
        paths: &[PathBuf],
        options: Options,
        began: impl FnOnce(u64),
        progress: &'a mut dyn FnMut(Progress),
    ) -> Result<Report, ImportError> {
        let mut report = Report::default();
        let parts = parts(paths, &mut report);
        began(parts.iter().map(|part| part.size).sum());
        let (handed, delivery) = if options.dry_run {
            (Handed::look(home)?, None)
        } else {
            // The lock of the record comes first: it says that nobody else delivers.
            let handed = Handed::open(home)?.ok_or(ImportError::Busy)?;
            (handed, Some(Delivery::new(home, PREFIX)?))
        };
        let mut import = Import { home, options, progress, handed, taken: HashSet::new(), delivery, report };
        let total = Cell::new(0);
        for part in &parts {
            import.part(part, &total)?;
        }
        import.publish()?;
        Ok(import.report)
    }

    fn part(&mut self, part: &Part, total: &Cell<u64>) -> Result<(), ImportError> {
        self.report.files += 1;
        let lines =
            matches!(self.options.format, Format::Jsonl | Format::Jan | Format::ClaudeCode | Format::Codex);
        let text = self.options.format == Format::Transcript
            || (self.options.format == Format::Auto && part.kind == Kind::Text);
        let whole = match self.options.format {
            _ if lines || text => Ok(true),
            Format::Auto => part.read(total, |reader| holds_parts(reader)),
            _ => Ok(false),
        };
        let tried: Tried<()> =
            whole.and_then(|whole| {
                part.read(total, |reader| {
                    if whole { self.whole(part, reader, text) } else { self.elements(part, reader) }
                })
            });
        match tried {
            Ok(result) => result,
            Err(error) => {
                self.report.problem(&part.label, None, error.to_string());
                Ok(())
            }
        }
    }

    /// Reads the values of a part one by one.
    fn elements(&mut self, part: &Part, reader: &mut dyn Read) -> Tried<()> {
        let mut elements = Elements::new(reader, LARGEST);
        let (mut number, mut bytes) = (0, 0);
        while let Some(element) = elements.next()? {
            number += 1;
            let tried = match element {
                Element::Value(value) => self.conversation(part, Some(number), value, self.options.format),
                Element::TooLarge => {
                    self.report.problem(&part.label, Some(number), too_large());
                    Ok(())
                }
                Element::Torn => {
                    self.report.problem(&part.label, Some(number), "the file ends in the middle of it");
                    Ok(())
                }
            };
            if let Err(error) = tried {
                return Ok(Err(error));
            }
            (self.progress)(Progress::Read(elements.bytes - bytes));
            bytes = elements.bytes;
        }
        if number == 0 {
            self.report.problem(&part.label, None, "there is no conversation in it");
        }
        Ok(Ok(()))
    }

    /// Reads a part as one conversation, or as lines of many.
    fn whole(&mut self, part: &Part, reader: &mut dyn Read, text: bool) -> Tried<()> {
        let mut bytes = Vec::new();
        reader.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > LARGEST {
            self.report.problem(&part.label, None, too_large());
            return Ok(Ok(()));
        }
        let json = bytes.trim_ascii_start().starts_with(b"{") && self.options.format == Format::Auto;
        let format = if text && !json { Format::Transcript } else { self.options.format };
        let tried = self.conversation(part, None, &bytes, format);
        (self.progress)(Progress::Read(bytes.len() as u64));
        Ok(tried)
    }

    fn conversation(
        &mut self,
        part: &Part,
        number: Option<u64>,
        bytes: &[u8],
        format: Format,
    ) -> Result<(), ImportError> {
        match decode_leniently(bytes, format) {
            Ok(Decoded { sessions, skipped, .. }) => {
                for note in &skipped {
                    self.report.skip(note);
                }
                self.report.conversations += sessions.len() as u64;
                sessions.into_iter().try_for_each(|session| self.hand_over(part, number, session))
            }
            Err(error) => {
                self.report.conversations += u64::from(number.is_some());
                let place = error.path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default();
                self.report.problem(&part.label, number, format!("{place}{}", error.message));
                Ok(())
            }
        }
    }

    fn hand_over(
        &mut self,
        part: &Part,
        number: Option<u64>,
        mut session: Session,
    ) -> Result<(), ImportError> {
        if let Some(user) = &self.options.user {
            session.user_id = Some(user.clone());
        }
        if self.options.since.is_some_and(|since| ended_before(&session, since)) {
            self.report.older += 1;
            return Ok(());
        }
        let key = SessionKey::of(&session);
        let already = if self.options.again { !self.taken.insert(key) } else { self.handed.knows(&key) };
        if already {
            self.report.already += 1;
            return Ok(());
        }
        if let Some(delivery) = &mut self.delivery {
            match delivery.stage(&session, &key, self.options.max_size) {
                Ok(()) => {}
                Err(error @ DeliveryError::TooLarge) => {
                    self.report.problem(&part.label, number, error.to_string());
                    return Ok(());
                }
                Err(DeliveryError::Io(error)) if platform::is_disk_full(&error) => {
                    return Err(ImportError::DiskFull);
                }
                Err(DeliveryError::Io(error)) => return Err(error.into()),
            }
        }
        self.handed.note(&key);
        self.report.imported += 1;
        self.report.messages += session.messages.len() as u64;
        if self.delivery.as_ref().is_some_and(|delivery| delivery.staged() >= BATCH) {
            self.publish()?;
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), ImportError> {
        let Some(delivery) = &mut self.delivery else { return Ok(()) };
        delivery.publish()?;
        self.handed.sync()?;
        let free = platform::free_bytes(&self.home.spool)?;
        if free.is_some_and(|free| free < self.options.min_free) {
            return Err(ImportError::DiskFull);
        }
        self.let_the_daemon_catch_up()
    }

    /// Waits while too much lies in the spool and a daemon is there to take it. Without one all of it is laid ready.
    fn let_the_daemon_catch_up(&mut self) -> Result<(), ImportError> {
        let Some(delivery) = &self.delivery else { return Ok(()) };
        if delivery.waiting()? < self.options.waiting {
            return Ok(());
        }
        while delivery.waiting()? > self.options.waiting / 2 && InstanceLock::is_taken(self.home) {
            (self.progress)(Progress::Waiting);
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// Whether the values of a file are parts of one conversation (messages, lines of a log), so that it is read whole. Some
/// logs begin with lines that tell nothing.
fn holds_parts(reader: &mut dyn Read) -> io::Result<bool> {
    let mut elements = Elements::new(reader, LARGEST);
    for _ in 0..FIRST {
        let found = match elements.next()? {
            Some(Element::Value(value)) => unit(value),
            Some(Element::TooLarge) => Unit::Unknown,
            Some(Element::Torn) | None => return Ok(false),
        };
        if found != Unit::Unknown || elements.in_list() {
            return Ok(found == Unit::Part);
        }
    }
    Ok(false)
}

fn too_large() -> String {
    format!("larger than {} MiB", LARGEST >> 20)
}

fn ended_before(session: &Session, since: Since) -> bool {
    let last = session.messages.iter().filter_map(|message| message.timestamp).max();
    last.max(session.end_time).or(session.start_time).is_some_and(|end| end.timestamp() < since.0)
}
