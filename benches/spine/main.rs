//! How fast sessions are learned, by the real program on the real disk.
//!
//! `cargo bench --bench spine` runs everything; `-- throughput`, `-- shares`, `-- latency`, `-- idle` or `-- backlog` one
//! part.
//! Each figure comes with what it is compared to, measured in the same run: these machines are shared and noisy, so
//! ratios count.

mod sessions;
mod shares;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let runs = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    let bench = Bench::new()?;
    println!("| figure | value | compared to |\n|---|---|---|");
    if runs("throughput") {
        bench.throughput()?;
    }
    if runs("shares") {
        bench.shares()?;
    }
    if runs("latency") {
        bench.latency()?;
    }
    if runs("idle") {
        bench.idle()?;
    }
    if runs("backlog") {
        bench.backlog()?;
    }
    Ok(())
}

struct Bench {
    folder: PathBuf,
    rounds: usize,
}

impl Bench {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        // Left behind on purpose: on some file systems creating files is slow for minutes after many were deleted.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("spine-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        eprintln!("working in {} (delete it afterwards)", folder.display());
        let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
        Ok(Bench { folder, rounds })
    }

    fn home(&self, name: &str) -> Result<PathBuf, std::io::Error> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline.toml"), folder.join("pipeline.toml"))?;
        Ok(folder)
    }

    /// 5,000 files of 10 KB through the default chain, beside the loop of the Python daemon.
    fn throughput(&self) -> Outcome {
        const FILES: usize = 5000;
        let mut ratios = Vec::new();
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for round in 0..self.rounds {
            let folder = self.home(&format!("throughput-{round}"))?;
            sessions::fill(&folder.join("atles_memory/spool"), FILES, 10_000, 20);
            sync();
            let started = Instant::now();
            let status = atles(&folder).args(["run", "--once"]).stderr(Stdio::null()).status()?;
            let whole = FILES as f64 / started.elapsed().as_secs_f64();
            assert!(status.success(), "atles run --once: {status}");
            assert_eq!(count(&folder.join("atles_memory/done")), FILES);
            let learned = settled_rate(&folder.join("atles_memory/logs/daemon.log"), FILES).unwrap_or(whole);

            let python = self.folder.join(format!("python-{round}"));
            sessions::fill(&python.join("spool"), FILES, 10_000, 20);
            sync();
            let output = Command::new("python3")
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/spine/python_daemon_loop.py"))
                .args([python.join("spool"), python.join("home")])
                .output()?;
            let loops: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
            println!(
                "| round {} | {learned:.0} files/s until the last file was in done/ ({whole:.0} with start, small files and stop) | Python loop {loops:.0} files/s: {:.1}× |",
                round + 1,
                learned / loops
            );
            ratios.push(learned / loops);
            ours.push(learned);
            theirs.push(loops);
        }
        println!(
            "| **throughput**, median of {} | {:.0} files/s | {:.0} files/s: **{:.1}×** |",
            self.rounds,
            median(&mut ours),
            median(&mut theirs),
            median(&mut ratios)
        );
        Ok(())
    }

    /// Where the time of a backlog goes, and how often it waits for the disk.
    fn shares(&self) -> Outcome {
        const FILES: usize = 5000;
        let folder = self.home("shares")?;
        sessions::fill(&folder.join("atles_memory/spool"), FILES, 10_000, 20);
        sync();
        let daemon = Daemon::start(&folder)?;
        let done = folder.join("atles_memory/done");
        wait(|| count(&done) == FILES);
        let threads = shares::of_threads(daemon.child.id())?;
        daemon.stop()?;
        let each = |ticks: u64| ticks as f64 * 1e4 / FILES as f64;
        for (thread, user, system) in threads {
            println!(
                "| CPU time of `{thread}` for a session | {:.0} µs in the program, {:.0} µs in the system | - |",
                each(user),
                each(system)
            );
        }
        for (stage, median) in shares::of_stages(&folder.join("atles_memory/logs/master_log.jsonl"))? {
            println!("| stage `{stage}`, median | {median:.0} µs | - |");
        }

        let folder = self.home("syncs")?;
        sessions::fill(&folder.join("atles_memory/spool"), FILES, 10_000, 20);
        match shares::syncs(atles(&folder).args(["run", "--once"]), &folder.join("strace.txt"))? {
            Some(syncs) => println!(
                "| **fsync** and its kin for {FILES} files | {syncs} ({:.1} files for each, start and stop included) | the Python loop: none |",
                FILES as f64 / syncs as f64
            ),
            None => println!("| **fsync** | not counted: `strace` is not installed | - |"),
        }
        Ok(())
    }

    /// From the rename into the spool to the file's being in done/, ten files a second.
    fn latency(&self) -> Outcome {
        const FILES: usize = 300;
        let folder = self.home("latency")?;
        let daemon = Daemon::start(&folder)?;
        let (spool, done) = (folder.join("atles_memory/spool"), folder.join("atles_memory/done"));
        let mut took = Vec::new();
        for number in 0..FILES {
            let next = Instant::now() + Duration::from_millis(100);
            let hidden = spool.join(format!(".{number}.tmp"));
            fs::write(&hidden, sessions::session(number, 10_000, 20))?;
            let name = format!("latency-{number:04}.json");
            let settled = done.join(&name);
            let started = Instant::now();
            fs::rename(&hidden, spool.join(&name))?;
            while !settled.exists() {
                assert!(started.elapsed() < Duration::from_secs(20), "{name} was not learned");
                std::thread::sleep(Duration::from_micros(200));
            }
            took.push(started.elapsed().as_secs_f64() * 1e3);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        daemon.stop()?;
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!(
            "| **latency**, rename to done/, 10 files/s | p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, worst {:.1} ms | the Python daemon polls every 5 s |",
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        );
        Ok(())
    }

    /// What the daemon costs when nothing happens.
    fn idle(&self) -> Outcome {
        let folder = self.home("idle")?;
        let daemon = Daemon::start(&folder)?;
        for number in 0..20 {
            let hidden = folder.join(format!("atles_memory/spool/.{number}"));
            fs::write(&hidden, sessions::session(number, 10_000, 20))?;
            fs::rename(hidden, folder.join(format!("atles_memory/spool/idle-{number}.json")))?;
        }
        wait(|| count(&folder.join("atles_memory/done")) == 20);
        std::thread::sleep(Duration::from_secs(3));
        let before = daemon.cpu_seconds()?;
        let watched = Duration::from_secs(30);
        std::thread::sleep(watched);
        let share = (daemon.cpu_seconds()? - before) / watched.as_secs_f64() * 100.0;
        println!(
            "| **idle** for {} s after 20 sessions | {share:.2} % of a core, {:.1} MiB resident | - |",
            watched.as_secs(),
            daemon.resident_mib()?
        );
        daemon.stop()
    }

    /// 100,000 files waiting at the start, and a burst of 20,000 on top that overflows the watch queue.
    fn backlog(&self) -> Outcome {
        const FILES: usize = 100_000;
        const BURST: usize = 20_000;
        let folder = self.home("backlog")?;
        let spool = folder.join("atles_memory/spool");
        sessions::fill(&spool, FILES, 2_000, 6);
        let burst = folder.join("burst");
        fs::create_dir_all(&burst)?;
        for number in FILES..FILES + BURST {
            fs::write(burst.join(format!("bench-{number:06}.json")), sessions::session(number, 2_000, 6))?;
        }
        let started = Instant::now();
        let daemon = Daemon::start(&folder)?;
        for entry in fs::read_dir(&burst)? {
            let entry = entry?;
            fs::rename(entry.path(), spool.join(entry.file_name()))?;
        }
        let mut peak = 0.0_f64;
        let done = folder.join("atles_memory/done");
        wait(|| {
            peak = peak.max(daemon.resident_mib().unwrap_or(0.0));
            std::thread::sleep(Duration::from_millis(500));
            count(&done) == FILES + BURST
        });
        let seconds = started.elapsed().as_secs_f64();
        peak = peak.max(daemon.peak_mib()?);
        println!(
            "| **backlog** of {FILES} files of 2 KB and a burst of {BURST} | all {} in done/ after {seconds:.0} s ({:.0} files/s), peak {peak:.0} MiB resident | - |",
            FILES + BURST,
            (FILES + BURST) as f64 / seconds
        );
        daemon.stop()
    }
}

fn atles(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atles"));
    command.arg("--config").arg(folder.join("pipeline.toml")).env_remove("ATLES_CONFIG");
    command
}

/// A running daemon.
struct Daemon {
    child: Child,
}

impl Daemon {
    fn start(folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let child = atles(folder).arg("run").stderr(Stdio::null()).spawn()?;
        let daemon = Daemon { child };
        wait(|| {
            let output = atles(folder).args(["status", "--json"]).output();
            output.is_ok_and(|output| {
                String::from_utf8_lossy(&output.stdout).contains("\"watcher\": \"native\"")
            })
        });
        Ok(daemon)
    }

    fn proc(&self, file: &str) -> Result<String, std::io::Error> {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
    }

    fn cpu_seconds(&self) -> Result<f64, Box<dyn std::error::Error>> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(ticks as f64 / 100.0)
    }

    fn status_mib(&self, key: &str) -> Result<f64, Box<dyn std::error::Error>> {
        let status = self.proc("status")?;
        let line = status.lines().find(|line| line.starts_with(key)).ok_or("no such line")?;
        Ok(line.split_whitespace().nth(1).unwrap_or("0").parse::<f64>()? / 1024.0)
    }

    fn resident_mib(&self) -> Result<f64, Box<dyn std::error::Error>> {
        self.status_mib("VmRSS:")
    }

    fn peak_mib(&self) -> Result<f64, Box<dyn std::error::Error>> {
        self.status_mib("VmHWM:")
    }

    fn stop(mut self) -> Outcome {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the daemon ended with {status}").into()) }
    }
}

fn wait(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(1800);
    while !done() {
        assert!(Instant::now() < deadline, "waited for half an hour");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn sync() {
    let _ = Command::new("sync").status();
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Files a second between the daemon's `started` line and its last `settled` line.
fn settled_rate(log: &Path, files: usize) -> Option<f64> {
    let log = fs::read_to_string(log).ok()?;
    let time = |line: &str| line.split_whitespace().next()?.parse::<jiff::Timestamp>().ok();
    let started = log.lines().find(|line| line.contains("started")).and_then(time)?;
    let last = log.lines().rfind(|line| line.contains("settled")).and_then(time)?;
    Some(files as f64 / (last - started).total(jiff::Unit::Second).ok()?)
}
