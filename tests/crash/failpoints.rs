//! A crash at every failpoint that the program has.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use crate::chats::Dice;
use crate::kills::{assert_none, seed};
use crate::oracle::{at_any_moment, done_is_learned, when_settled, whole_files};
use crate::support::{Home, Pipeline, files_below};
use crate::writer::Writer;

/// When the failpoint is armed: for which time it is reached, and after which other crash. Some are met only by a
/// start that has something to mend; and a crash on a crash is its own case.
const ARMED: [(usize, Option<&str>); 4] =
    [(1, None), (1, Some("settler.ledger_synced")), (1, Some("courier.files_made")), (4, None)];

/// The names that the code gives its failpoints.
fn names() -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let texts = files_below(&source).into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let name = |after: &str| after.split('"').next().unwrap().to_owned();
    texts.flat_map(|text| text.split("failpoint(\"").skip(1).map(name).collect::<Vec<_>>()).collect()
}

/// Works through the spool with a failpoint armed; whether it was reached.
fn crashes(home: &Home, failpoint: &str, count: usize) -> bool {
    let mut command = home.command();
    command.args(["run", "--once"]).env("ATLES_FAILPOINT", format!("{failpoint}:{count}"));
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.signal() == Some(6) || matches!(status.code(), Some(0 | 3)), "{failpoint}: {status}");
    status.signal().is_some()
}

/// Crashes at one failpoint several times, and takes the state store away after each if so asked; how often it was
/// reached.
fn crash_at(failpoint: &str, seed: u64, store_is_lost: bool) -> usize {
    let home = Home::with(&Pipeline::new().spool("grace", "\"60ms\"").section("[workers]\nin_flight = 4"));
    let mut writer = Writer::new(&home, Dice::new(seed));
    let is_of_making = failpoint.starts_with("state_anew");
    let mut reached = 0;
    for (count, earlier) in ARMED {
        writer.drop_some(6);
        if let Some(earlier) = earlier {
            crashes(&home, earlier, 1);
        }
        // The start that makes it anew is interrupted too.
        if is_of_making || (store_is_lost && count > 1) {
            lose_the_store(&home);
        }
        if crashes(&home, failpoint, count) {
            reached += 1;
            let mut faults = at_any_moment(&home, &writer.expected, None);
            faults.extend(whole_files(&home, true));
            faults.extend(done_is_learned(&home, &writer.expected));
            assert_none(&faults, &home, &format!("CRASH_SEED={seed}, crash at {failpoint}:{count}"));
            if store_is_lost {
                lose_the_store(&home);
            }
        }
    }
    let said = home.atles(&["run", "--once"]);
    assert!(matches!(said.code, Some(0 | 3)), "after {failpoint}: {said:?}");
    let story = format!("CRASH_SEED={seed}, settled after {reached} crashes at {failpoint}");
    assert_none(&when_settled(&home, &writer.expected), &home, &story);
    reached
}

fn lose_the_store(home: &Home) {
    let sled = home.path("state/sled");
    if sled.exists() {
        std::fs::remove_dir_all(sled).unwrap();
    }
}

/// Crashes at each failpoint that `wanted` wants; `all` must be reached.
fn crash_at_each(store_is_lost: bool, all: bool) {
    if std::env::var_os("ATLES_PROGRAM").is_some_and(|path| path.to_string_lossy().contains("release")) {
        return println!("passed over: a release build has no failpoints");
    }
    let seed = seed();
    println!("CRASH_SEED={seed}");
    let names: Vec<String> = names().into_iter().collect();
    assert!(names.len() > 20, "{names:?}");
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let reached = crash_at(name, seed, store_is_lost);
                    println!("{name}: {reached} crashes, nothing lost or doubled");
                    assert!(!all || reached > 0, "the failpoint {name} was never reached");
                }
            });
        }
    });
}

#[test]
fn a_crash_at_any_failpoint_loses_nothing_and_learns_nothing_twice() {
    crash_at_each(false, true);
}

#[test]
fn a_state_store_that_is_gone_after_a_crash_at_any_failpoint_is_made_anew_with_all_that_was_known() {
    crash_at_each(true, false);
}
