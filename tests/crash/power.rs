//! The power fails: of what the daemon did, the disk keeps what was synced, and of the rest what it likes.
//!
//! A few runs of the real program are recorded with `strace`; the model of the disk (`disk.rs`) makes folders of what
//! may be left of them at any moment; the daemon is started on each, and the oracle looks at what it makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::chats::{Dice, Expected};
use crate::disk::{Content, Disk, Fate};
use crate::kills::{number, seed};
use crate::oracle::{at_any_moment, when_settled};
use crate::support::{Home, Pipeline, files_below, program, said};
use crate::trace;
use crate::writer::Writer;

/// What is run.
struct Series {
    /// What is dropped before the program works through it; where something is named, it crashes there.
    runs: &'static [(Drop, Option<&'static str>)],
    /// Folders that somebody takes away after the first run.
    gone: &'static [&'static str],
}

type Drop = fn(&mut Writer<'_>);

const PLAIN: Series = Series {
    runs: &[
        (|writer| writer.drop_some(8), Some("settler.moved:3")),
        (|writer| writer.drop_some(6), None),
        (|writer| writer.drop_some(6), None),
    ],
    gone: &[],
};
/// A start that finds all but a folder has no other reason to sync its name than that it makes it; SQLite does so too
/// when it first writes, so nothing is learned here.
const FOLDERS_GONE: Series = Series {
    runs: &[(|_| {}, Some("state.flushed")), (|writer| (0..4).for_each(|_| writer.drop_broken()), None)],
    gone: &["failed"],
};

/// What was recorded.
struct Recording {
    disk: Disk,
    /// From which moment to which the program ran, and what had been dropped until then.
    runs: Vec<(std::ops::Range<usize>, Expected)>,
    /// What the home's key is in the end.
    key: Vec<u8>,
    /// Other links to the dropped files, so that they keep their inodes.
    _pool: TempDir,
}

fn home() -> Home {
    Home::with(&Pipeline::new().spool("grace", "\"60ms\"").section("[workers]\nin_flight = 4"))
}

/// Whether programs can be traced here.
fn can_trace() -> bool {
    let tried = Command::new("strace").args(["-o", "/dev/null", "-e", "trace=none", "true"]).output();
    let can = tried.is_ok_and(|run| run.status.success());
    if !can {
        println!(
            "PASSED OVER: there is no strace here, or it may not trace; nothing was shown about power loss"
        );
    }
    can
}

impl Recording {
    /// Records, with one sync left out if so asked.
    fn make(series: &Series, seed: u64, skip: Option<&str>) -> Self {
        // A call that was under way when the program crashed is recorded without its end: then once more.
        (0..10)
            .find_map(|_| Recording::try_make(series, seed, skip))
            .expect("a recording that has all that happened")
    }

    fn try_make(series: &Series, seed: u64, skip: Option<&str>) -> Option<Self> {
        let (home, pool) = (home(), TempDir::with_prefix("atles-pool-").unwrap());
        let mut disk = Disk::new(&home.path(""));
        disk.given_dir(&home.spool());
        let mut writer = Writer::new(&home, Dice::new(seed));
        let mut runs = Vec::new();
        for (number, &(drop, crash)) in series.runs.iter().enumerate() {
            drop(&mut writer);
            for name in home.names("spool") {
                let path = home.spool().join(name);
                let original = pool.path().join(path.symlink_metadata().unwrap().ino().to_string());
                // What a run that crashed has left in the spool was given before it.
                if !original.exists() {
                    fs::hard_link(&path, &original).unwrap();
                    disk.given_file(&path, &original);
                }
            }
            let calls = traced(&home, &pool.path().join(format!("trace-{number}")), crash, skip);
            let start = disk.now();
            disk.replay(calls);
            runs.push((start..disk.now(), writer.expected.clone()));
            if number == 0 {
                for path in series.gone.iter().map(|name| home.path(name)) {
                    fs::remove_dir(&path).unwrap();
                    disk.taken_dir(&path);
                }
            }
            if let Some(difference) = difference(&home, &disk) {
                assert!(
                    crash.is_some() || number > 0,
                    "the model has not seen all that happened: {difference}"
                );
                return None;
            }
        }
        let key = fs::read(home.path("state/home.key")).unwrap();
        Some(Recording { disk, runs, key, _pool: pool })
    }

    /// Lets the power fail once; what is wrong afterwards, if anything.
    fn fail(&self, dice: &mut Dice) -> Result<(), String> {
        let moments: Vec<usize> = self.disk.moments();
        let of_runs: Vec<usize> = moments.into_iter().filter(|at| self.at(*at).is_some()).collect();
        let moment = of_runs[dice.below(of_runs.len())];
        let expected = self.at(moment).unwrap();
        let fate = [Fate::Nothing, Fate::AllButOne, Fate::Names, Fate::Some, Fate::Some][dice.below(5)];
        let image = self.disk.fail_at(moment, fate, dice);
        let home = home();
        fs::remove_dir_all(home.path("")).unwrap();
        fs::create_dir(home.path("")).unwrap();
        image.make(&home.path(""));
        let was_settled = !home.done().is_empty();
        let mut faults = at_any_moment(&home, expected, None);
        let run = home.atles(&["run", "--once"]);
        if !matches!(run.code, Some(0 | 3)) {
            faults.push("the program does not work any more".to_owned());
        } else {
            let rebuilt = run.err.contains("made anew from the folders");
            if rebuilt && !self.is_opening(moment) {
                faults.push("the state store was lost".to_owned());
            }
            faults.extend(when_settled(&home, expected));
        }
        if was_settled && fs::read(home.path("state/home.key")).ok().as_ref() != Some(&self.key) {
            faults.push("the home has another key now".to_owned());
        }
        let story = format!("at moment {moment}, {fate:?} of what was not synced");
        let verdict = if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) };
        verdict.map_err(|faults| format!("{story}\n{faults}\n--- {}", run.err))
    }

    fn at(&self, moment: usize) -> Option<&Expected> {
        self.runs.iter().find(|(range, _)| range.contains(&moment)).map(|(_, expected)| expected)
    }

    /// Whether a start was still making or mending the state store. If the power fails just then, sled may not be able
    /// to read its own log, and the store has to be made anew from the folders.
    fn is_opening(&self, moment: usize) -> bool {
        let run = self.runs.iter().map(|(range, _)| range).find(|range| range.contains(&moment));
        run.is_some_and(|run| {
            self.disk.first_sync(".journal", run.start).is_none_or(|committed| moment < committed)
        })
    }

    /// Lets the power fail so many times, on both cores; the first that leaves something wrong, and its number.
    fn fail_often(&self, seed: u64, times: usize) -> Option<(usize, String)> {
        let (next, found) = (AtomicUsize::new(0), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= times || found.lock().unwrap().is_some() {
                            return;
                        }
                        if let Err(fault) = self.fail(&mut Dice::new(seed + number as u64)) {
                            found.lock().unwrap().get_or_insert((number, fault));
                        }
                    }
                });
            }
        });
        found.into_inner().unwrap()
    }
}

/// Works through the spool under `strace`.
fn traced(home: &Home, to: &Path, crash: Option<&str>, skip: Option<&str>) -> Vec<trace::Call> {
    let mut command = home.command_of(Command::new("strace"));
    command.args(trace::ARGUMENTS).arg(to).arg(program()).args(["run", "--once"]);
    for (name, value) in [("ATLES_FAILPOINT", crash), ("ATLES_SKIP_SYNC", skip)] {
        command.envs(value.map(|value| (name, value)));
    }
    let run = said(&mut command);
    assert!(crash.is_some() || matches!(run.code, Some(0 | 3)), "{run:?}");
    let text = fs::read_to_string(to).unwrap();
    fs::remove_file(to).unwrap();
    trace::read(&text)
}

/// The model must have seen all that happened: what it thinks is there is what is there. SQLite's shared memory is
/// written without calls, and made anew at each start; the socket is no file.
fn difference(home: &Home, disk: &Disk) -> Option<String> {
    let is_modelled = |path: &Path| !path.ends_with("memory.db-shm") && !path.ends_with("control.sock");
    let root = home.path("");
    let mut model: BTreeMap<PathBuf, Content> = disk
        .as_seen()
        .files()
        .into_iter()
        .filter_map(|(path, content)| Some((path, content?)))
        .filter(|(path, _)| is_modelled(path))
        .collect();
    for real in files_below(&root) {
        let path = real.strip_prefix(&root).unwrap();
        if !is_modelled(path) {
            continue;
        }
        let is_same = match model.remove(path) {
            Some(Content::Bytes(bytes)) => fs::read(&real).unwrap() == bytes,
            Some(Content::Link(original)) => {
                original.metadata().unwrap().ino() == real.metadata().unwrap().ino()
            }
            None => false,
        };
        if !is_same {
            return Some(path.display().to_string());
        }
    }
    model.into_keys().next().map(|path| path.display().to_string())
}

/// `CRASH_SEED` and `POWER_STATES` may be given.
#[test]
fn a_power_loss_at_any_moment_loses_nothing_and_learns_nothing_twice() {
    if !can_trace() {
        return;
    }
    let (seed, states) = (seed(), number("POWER_STATES", 60) as usize);
    println!("CRASH_SEED={seed} POWER_STATES={states}");
    for (series, states) in [(PLAIN, states - states / 6), (FOLDERS_GONE, states / 6)] {
        let found = Recording::make(&series, seed, None).fail_often(seed, states);
        assert!(found.is_none(), "CRASH_SEED={seed}: {}", found.unwrap().1);
    }
}

/// The names that the code gives its syncs.
fn sync_points() -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let texts = files_below(&source).into_iter().filter_map(|path| fs::read_to_string(path).ok());
    let name = |after: &str| after.split('"').next().unwrap().to_owned();
    texts.flat_map(|text| text.split("sync_point(\"").skip(1).map(name).collect::<Vec<_>>()).collect()
}

/// The syncs without which harm is found soon; the others are looked into only where many states are asked for.
const SOON: [&str; 9] =
    ["courier", "folders", "journal", "journal.segment", "key", "moves", "sidecar", "state", "state.redo"];

/// `CRASH_SEED` may be given, and `POWER_SKIP_STATES`: then every sync that has a name is left out once.
#[test]
fn each_sync_is_needed_because_without_it_a_power_loss_is_found_to_do_harm() {
    if !can_trace() {
        return;
    }
    let (seed, states) = (seed(), number("POWER_SKIP_STATES", 0) as usize);
    println!("CRASH_SEED={seed} POWER_SKIP_STATES={states}");
    let names = sync_points();
    assert!(SOON.iter().all(|name| names.contains(*name)), "{names:?}");
    let (names, states) = match states {
        0 => (SOON.map(str::to_owned).into(), 100),
        states => (names, states),
    };
    let mut missed = Vec::new();
    // What a run does by chance, and when, may leave a sync without a moment in which it alone matters: so up to four runs.
    let mut tell = |what: &str, record: &dyn Fn(&Series, u64) -> Recording| {
        let series = if what.ends_with("folders") { FOLDERS_GONE } else { PLAIN };
        let look = |seed| Some((seed, record(&series, seed).fail_often(seed, states)?));
        let found = (seed..seed + 4).find_map(look);
        match found {
            Some((seed, (number, fault))) => {
                let fault = fault.lines().nth(1).unwrap_or_default().to_owned();
                println!("without {what}: found at state {number} of seed {seed}: {fault}");
            }
            None => missed.push(what.to_owned()),
        }
    };
    for name in names {
        tell(&format!("the sync {name}"), &|series, seed| Recording::make(series, seed, Some(&name)));
    }
    // The syncs that SQLite makes are not ours to leave out; the model can forget them.
    tell("the syncs of SQLite's log", &|series, seed| {
        let mut recording = Recording::make(series, seed, None);
        assert!(recording.disk.forget_syncs("memory.db-wal") > 0);
        recording
    });
    assert!(missed.is_empty(), "CRASH_SEED={seed}: no harm found without {missed:?}");
}
