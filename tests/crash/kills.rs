//! A daemon that is killed and started again and again while files come in.

use std::time::{Duration, Instant};

use crate::chats::Dice;
use crate::oracle::{Counts, Faults, at_any_moment, done_is_learned, when_settled, whole_files};
use crate::support::{Home, Pipeline, wait_until};
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

/// One home, killed so many times.
fn kill_again_and_again(seed: u64, kills: usize) {
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
    }
    writer.finish();
    settle(&home);
    let story = format!("CRASH_SEED={seed}, settled after {kills} kills");
    assert_none(&when_settled(&home, &writer.expected, Counts::Exact), &home, &story);
}

/// `CRASH_SEED`, `CRASH_KILLS` (in all) and `CRASH_HOMES` (side by side) may be given.
#[test]
fn a_daemon_killed_at_any_moment_loses_nothing_and_learns_nothing_twice() {
    let (seed, kills, homes) = (seed(), number("CRASH_KILLS", 200) as usize, number("CRASH_HOMES", 2));
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
                    kill_again_and_again(seed + round as u64, kills);
                    println!("seed {}: {kills} kills, nothing lost or doubled", seed + round as u64);
                }
            });
        }
    });
}
