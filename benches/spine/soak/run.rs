use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::chats::{self, Kind};
use super::curves::{Panel, page};
use super::samples::{Sample, Stretch};
use crate::daemon::{Daemon, Home, count, wait};
use crate::options::Options;
use crate::report::{Report, median};
use crate::{Bench, Found, Outcome};

/// Files in the spool at most.
const WAITING: usize = 300;
/// Samples of a whole run, about.
const SAMPLES: usize = 200;
/// Of them, every so many also count what lies in done/.
const COUNT_EVERY: usize = 20;

/// Feeds the sessions, samples, and judges.
pub(crate) fn run(bench: &Bench, options: &Options, report: &mut Report) -> Outcome {
    let home = Home::make(bench.folder.join("soak"))?;
    if let Some(age) = &options.retention {
        home.set("# done = \"90d\"", &format!("done = \"{age}\""))?;
        home.set("# failed = \"365d\"", &format!("failed = \"{age}\""))?;
        home.set("# logs = \"90d\"", &format!("logs = \"{age}\""))?;
    }
    let daemon = Daemon::start(&home)?;
    let samples = feed(&home, &daemon, options)?;
    let peak = daemon.peak_mib()?;
    let totals = totals(&home)?;
    daemon.stop()?;
    write_up(&samples, peak, &totals, options, report)
}

/// The counts that the daemon itself keeps.
fn totals(home: &Home) -> Found<serde_json::Value> {
    let output = home.atles().args(["status", "--json"]).output()?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(status["totals"].clone())
}

/// Drops file after file while the spool has room for more, until all are settled. Every so many files it waits until
/// all of them are settled and in the full-text index, so that what a stretch costs is all that its files cost.
fn feed(home: &Home, daemon: &Daemon, options: &Options) -> Found<Vec<Sample>> {
    let sessions = options.sessions;
    let every = (sessions / SAMPLES).max(1);
    let started = Instant::now();
    let mut aside = Duration::ZERO;
    let mut samples = vec![Sample::take(home, daemon, 0, 0.0)?];
    let memory =
        Connection::open_with_flags(home.root().join("memory.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let (mut settled, mut said) = (0, Instant::now());
    let patience = Duration::from_secs((options.minutes as u64).saturating_mul(60));
    while settled < sessions && started.elapsed() < patience {
        let next = (settled + every).min(sessions);
        feed_some(home, settled..next, options.users)?;
        settled = next;
        wait(|| is_indexed(&memory));
        let mut sample = Sample::take(home, daemon, settled, (started.elapsed() - aside).as_secs_f64())?;
        if samples.len().is_multiple_of(COUNT_EVERY) || settled == sessions {
            let counting = Instant::now();
            sample.count_done(home);
            aside += counting.elapsed();
        }
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            let (seconds, resident) = (started.elapsed().as_secs(), sample.resident_mib);
            eprintln!("{settled} of {sessions} settled after {seconds} s, {resident:.0} MiB resident");
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// Drops the files of these numbers, never many at once, and waits until all are settled.
fn feed_some(home: &Home, numbers: std::ops::Range<usize>, users: usize) -> Outcome {
    let (spool, work) = (home.spool(), home.root().join("work"));
    let mut next = numbers.start;
    let deadline = Instant::now() + Duration::from_secs(1800);
    loop {
        let waiting = count(&spool);
        let room = WAITING.saturating_sub(waiting).min(numbers.end - next);
        if room == 0 && next == numbers.end && waiting + count(&work) == 0 {
            return Ok(());
        }
        if room == 0 || room < WAITING / 3 && room < numbers.end - next {
            assert!(Instant::now() < deadline, "waited for half an hour");
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        for number in next..next + room {
            let hidden = spool.join(format!(".soak-{number:07}.tmp"));
            fs::write(&hidden, chats::file(number, users))?;
            fs::rename(hidden, spool.join(format!("soak-{number:07}.json")))?;
        }
        next += room;
    }
}

/// Whether every session is in the full-text index.
fn is_indexed(memory: &Connection) -> bool {
    let sql = "SELECT value >= ifnull((SELECT max(id) FROM sessions), 0) FROM meta WHERE name = 'indexed'";
    memory.query_row(sql, [], |row| row.get(0)).unwrap_or(false)
}

/// Medians over the first tenth of the run and over its last: what other programs did for a while does not count.
struct Tenths {
    first: f64,
    last: f64,
}

impl Tenths {
    fn of(points: &[(f64, f64)]) -> Self {
        let tenth = points.len().div_ceil(10);
        let middle = |part: &[(f64, f64)]| median(&part.iter().map(|(_, y)| *y).collect::<Vec<_>>());
        Tenths { first: middle(&points[..tenth]), last: middle(&points[points.len() - tenth..]) }
    }

    fn growth(&self) -> f64 {
        self.last / self.first - 1.0
    }
}

fn write_up(
    samples: &[Sample],
    peak: f64,
    totals: &serde_json::Value,
    options: &Options,
    report: &mut Report,
) -> Outcome {
    let stretches: Vec<Stretch> =
        samples.windows(2).map(|pair| Stretch::between(&pair[0], &pair[1])).collect();
    let over = |value: fn(&Sample) -> f64| -> Vec<(f64, f64)> {
        samples[1..].iter().map(|sample| (sample.settled as f64, value(sample))).collect()
    };
    let cost = |value: fn(&Stretch) -> f64| -> Vec<(f64, f64)> {
        stretches.iter().map(|stretch| (stretch.settled as f64, value(stretch))).collect()
    };
    let done: Vec<(f64, f64)> = samples
        .iter()
        .filter_map(|sample| Some((sample.settled as f64, sample.done? as f64 / 1000.0)))
        .collect();
    let (cpu, wall) = (cost(|it| it.cpu_us), cost(|it| it.wall_us));
    let (memory, descriptors) = (over(|it| it.resident_mib), over(|it| it.descriptors as f64));

    report.part("soak", &["", "first tenth", "last tenth", "growth", "mark"]);
    let mut row = |name: &str, points: &[(f64, f64)], unit: &str, mark: Option<f64>| {
        let tenths = Tenths::of(points);
        let verdict = match mark {
            Some(mark) if tenths.growth() <= mark => format!("{:.0} % — met", mark * 100.0),
            Some(mark) => format!("{:.0} % — **missed**", mark * 100.0),
            None => "-".into(),
        };
        report.row(&[
            name.into(),
            format!("{:.1}{unit}", tenths.first),
            format!("{:.1}{unit}", tenths.last),
            format!("{:+.1} %", tenths.growth() * 100.0),
            verdict,
        ]);
        report.figure(&format!("{name}.first_tenth"), tenths.first);
        report.figure(&format!("{name}.last_tenth"), tenths.last);
    };
    row("processor time of a session", &cpu, " µs", Some(0.15));
    row("time of a session by the clock", &wall, " µs", Some(0.15));
    row("resident memory", &memory, " MiB", Some(0.15));
    row("open descriptors", &descriptors, "", Some(0.15));
    row("memory.db", &over(|it| it.memory_mb), " MB", None);
    row("state", &over(|it| it.sled_mb), " MB", None);
    by_thread(samples, report);
    let last = samples.last().cloned().unwrap_or_default();
    report.line(&format!(
        "\n{} files in {:.0} s; memory.db {:.2} KB a session, state {:.2} KB, master log {:.2} KB, training set {:.2} KB; \
         daemon.log and those before it {:.0} MB; peak {peak:.0} MiB resident. The daemon's counts: {totals}.",
        last.settled,
        last.seconds,
        each_kb(last.memory_mb, &last),
        each_kb(last.sled_mb, &last),
        each_kb(last.master_log_mb, &last),
        each_kb(last.set_mb, &last),
        last.daemon_log_mb,
    ));
    report.figure("peak_mib", peak);
    report.figure("totals", totals.clone());
    expected(last.settled, totals)?;

    let panels = [
        Panel { title: "processor time of a session, µs", curves: vec![("processor", cpu)] },
        Panel {
            title: "time of a session by the clock, µs (cut off at four times the median)",
            curves: vec![("clock", capped(&wall))],
        },
        Panel { title: "resident memory, MiB", curves: vec![("resident", memory)] },
        Panel { title: "open descriptors", curves: vec![("descriptors", descriptors)] },
        Panel {
            title: "memory.db and state, MB",
            curves: vec![("memory.db", over(|it| it.memory_mb)), ("state", over(|it| it.sled_mb))],
        },
        Panel {
            title: "logs and training set, MB",
            curves: vec![
                ("daemon.log*", over(|it| it.daemon_log_mb)),
                ("master_log", over(|it| it.master_log_mb)),
                ("training set", over(|it| it.set_mb)),
                ("outbox", over(|it| it.outbox_mb)),
            ],
        },
        Panel { title: "files in done/, thousands", curves: vec![("done", done)] },
    ];
    let title = format!("{} small sessions of {} users through one home", last.settled, options.users);
    let picture = page(&title, &panels);
    let path = match options.docs {
        true => Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/soak.svg"),
        false => PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("soak.svg"),
    };
    fs::write(&path, picture)?;
    eprintln!("curves in {}", path.display());
    Ok(())
}

/// What each thread took of a session at the beginning and at the end.
fn by_thread(samples: &[Sample], report: &mut Report) {
    let tenth = (samples.len() / 10).max(1);
    let parts =
        [(&samples[0], &samples[tenth]), (&samples[samples.len() - 1 - tenth], &samples[samples.len() - 1])];
    let of = |sample: &Sample, name: &str| {
        sample
            .threads
            .iter()
            .find(|(known, ..)| known == name)
            .map_or([0, 0], |(_, user, system)| [*user, *system])
    };
    for (name, ..) in &parts[1].1.threads {
        let [first, last] = parts.map(|(from, to)| {
            let files = (to.settled - from.settled).max(1) as f64;
            let (before, after) = (of(from, name), of(to, name));
            [0, 1].map(|which| (after[which] - before[which]) as f64 * 1e4 / files)
        });
        if last[0] + last[1] >= 5.0 {
            report.row(&[
                format!("thread `{name}`, in the program + in the system"),
                format!("{:.0} + {:.0} µs", first[0], first[1]),
                format!("{:.0} + {:.0} µs", last[0], last[1]),
                "-".into(),
                "-".into(),
            ]);
        }
    }
}

/// Without the peaks of times when the machine was held up.
fn capped(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let most = 4.0 * median(&points.iter().map(|(_, y)| *y).collect::<Vec<_>>());
    points.iter().map(|(at, y)| (*at, y.min(most))).collect()
}

fn each_kb(mb: f64, last: &Sample) -> f64 {
    mb * 1000.0 / last.settled.max(1) as f64
}

/// Every file counted as what it was.
fn expected(sessions: usize, totals: &serde_json::Value) -> Outcome {
    let of = |wanted: fn(Kind) -> bool| (0..sessions).filter(|number| wanted(chats::kind(*number))).count();
    let marks = [
        ("failed", of(|kind| kind == Kind::Broken)),
        ("duplicates", of(|kind| matches!(kind, Kind::Duplicate(_)))),
        ("revisions", of(|kind| matches!(kind, Kind::Revision(_)))),
        ("sessions", of(|kind| kind == Kind::New)),
    ];
    for (name, wanted) in marks {
        let counted = &totals[name];
        if counted.as_u64() != Some(wanted as u64) {
            return Err(format!("{name}: {wanted} were fed, {counted} counted").into());
        }
    }
    Ok(())
}
