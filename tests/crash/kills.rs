//! A daemon that is killed and started again and again while files come in.

use std::fs;
use std::time::{Duration, Instant};

use crate::chats::Dice;
use crate::oracle::{Faults, at_any_moment, done_is_learned, when_settled, whole_files};
use crate::support::{Home, Pipeline, files_below, wait_until};
use crate::writer::{GRACE, Writer};

/// Kills on one home, then the next is begun: looking through all of a home after each kill takes the longer the more
/// there is in it.
const KILLS_A_HOME: usize = 100;
/// A kill comes within 2^0 to 2^this many milliseconds after the start; a start takes some thirty.
const LONGEST_LIFE: usize = 9;

pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

pub(crate) fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    number("CRASH_SEED", u64::from(now.subsec_nanos()))
}

pub(crate) fn new_home() -> Home {
    let grace = format!("\"{}ms\"", GRACE.as_millis());
    Home::with(&Pipeline::new().spool("grace", &grace).section("[workers]\nin_flight = 8"))
}

#[track_caller]
pub(crate) fn assert_none(faults: &Faults, home: &Home, story: &str) {
    assert!(
        faults.is_empty(),
        "{story}\n{}\n--- the daemon said:\n{}",
        faults.join("\n"),
        last(&home.words())
    );
}

/// The end of a long text.
fn last(words: &str) -> String {
    let lines: Vec<&str> = words.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Lets a daemon finish what is there, and stops it.
pub(crate) fn settle(home: &Home) {
    let daemon = home.start();
    wait_until("all is settled", || {
        let report = home.status();
        ["spool", "work", "undelivered"].iter().all(|count| report[*count] == 0)
    });
    daemon.stop();
}

/// What happens to the state store while the daemon is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    IsKept,
    /// Every few kills it is deleted or damaged.
    IsLost,
}

/// Ways for a state store to be lost.
const LOSSES: [&str; 4] = ["deleted", "all noise", "its settings cut off", "its log all zeros"];

fn lose_the_store(home: &Home, how: &str) {
    let sled = home.path("state/sled");
    if !sled.join("db").exists() {
        return;
    }
    match how {
        "deleted" => fs::remove_dir_all(sled).unwrap(),
        "all noise" => {
            for path in files_below(&sled) {
                let length = path.metadata().unwrap().len();
                let noise: Vec<u8> =
                    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
                fs::write(path, noise).unwrap();
            }
        }
        "its settings cut off" => {
            fs::write(sled.join("conf"), "segment_size: 7\nnonsense").unwrap();
        }
        _ => {
            let length = sled.join("db").metadata().unwrap().len();
            fs::write(sled.join("db"), vec![0; length as usize]).unwrap();
        }
    }
}

/// One home, killed so many times.
fn kill_again_and_again(seed: u64, kills: usize, store: Store) {
    let home = new_home();
    let mut dice = Dice::new(seed);
    let mut writer = Writer::new(&home, Dice::new(seed ^ 0xD1CE));
    for kill in 1..=kills {
        let life = Duration::from_micros(1 << (10 + dice.below(LONGEST_LIFE + 1)));
        let life = life.mul_f64(0.5 + dice.below(1000) as f64 / 1000.0);
        let steps = dice.below(6);
        let born = Instant::now();
        let daemon = home.start_unasked();
        for step in 1..=steps {
            let at = life.mul_f64(step as f64 / (steps + 1) as f64);
            std::thread::sleep(at.saturating_sub(born.elapsed()));
            writer.step();
        }
        std::thread::sleep(life.saturating_sub(born.elapsed()));
        daemon.kill();
        let story = format!("CRASH_SEED={seed}, kill {kill} after {life:?}");
        let mut faults = at_any_moment(&home, &writer.expected, writer.being_written());
        if kill % 10 == 0 {
            faults.extend(whole_files(&home, true));
            faults.extend(done_is_learned(&home, &writer.expected));
        }
        assert_none(&faults, &home, &story);
        if store == Store::IsLost && dice.percent(15) {
            lose_the_store(&home, LOSSES[dice.below(LOSSES.len())]);
        }
    }
    writer.finish();
    settle(&home);
    let story = format!("CRASH_SEED={seed}, settled after {kills} kills");
    assert_none(&when_settled(&home, &writer.expected), &home, &story);
}

/// `CRASH_SEED`, `CRASH_KILLS` (in all) and `CRASH_HOMES` (side by side) may be given.
fn kill_many(kills: u64, store: Store) {
    let (seed, kills, homes) = (seed(), number("CRASH_KILLS", kills) as usize, number("CRASH_HOMES", 2));
    println!("CRASH_SEED={seed} CRASH_KILLS={kills} CRASH_HOMES={homes}");
    let rounds = kills.div_ceil(KILLS_A_HOME);
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..homes {
            scope.spawn(|| {
                loop {
                    let round = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if round >= rounds {
                        return;
                    }
                    let kills = KILLS_A_HOME.min(kills - round * KILLS_A_HOME);
                    kill_again_and_again(seed + round as u64, kills, store);
                    println!("seed {}: {kills} kills, nothing lost or doubled", seed + round as u64);
                }
            });
        }
    });
}

#[test]
fn a_daemon_killed_at_any_moment_loses_nothing_and_learns_nothing_twice() {
    kill_many(200, Store::IsKept);
}

#[test]
fn a_state_store_that_is_lost_between_kills_is_made_anew_with_all_that_was_known() {
    kill_many(100, Store::IsLost);
}
