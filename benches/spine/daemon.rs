//! Homes, and the real program at work in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Found, Outcome};

/// A home of its own for one measurement, with the pipeline.toml that ATLES comes with.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// The folder of pipeline.toml.
    pub(crate) folder: PathBuf,
}

impl Home {
    pub(crate) fn make(folder: PathBuf) -> std::io::Result<Self> {
        let home = Home { folder };
        fs::create_dir_all(home.spool())?;
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline.toml"), home.pipeline())?;
        Ok(home)
    }

    pub(crate) fn pipeline(&self) -> PathBuf {
        self.folder.join("pipeline.toml")
    }

    /// Replaces a line of pipeline.toml; there must be one that begins so.
    pub(crate) fn set(&self, line: &str, by: &str) -> Outcome {
        let text = fs::read_to_string(self.pipeline())?;
        let old = text.lines().find(|old| old.starts_with(line)).ok_or(format!("no line {line:?}"))?;
        fs::write(self.pipeline(), text.replacen(old, by, 1))?;
        Ok(())
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("atles_memory")
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.root().join("spool")
    }

    pub(crate) fn done(&self) -> PathBuf {
        self.root().join("done")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root().join("logs")
    }

    pub(crate) fn atles(&self) -> Command {
        // Another build, to compare with, where it is named.
        let program = std::env::var_os("ATLES_PROGRAM");
        let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_atles").into()));
        command.arg("--config").arg(self.pipeline()).env_remove("ATLES_CONFIG");
        // A base that this machine has would be trained while something else is measured.
        command.env("ATLES_CACHE", self.pipeline().with_file_name("cache"));
        command
    }

    /// Files a second between the daemon's `started` line and its last `settled` line.
    pub(crate) fn settled_rate(&self, files: usize) -> Option<f64> {
        let mut log = String::new();
        for name in (1..=5).rev().map(|n| format!("daemon.log.{n}")).chain(["daemon.log".to_owned()]) {
            log += &fs::read_to_string(self.logs().join(name)).unwrap_or_default();
        }
        let time = |line: &str| line.split_whitespace().next()?.parse::<jiff::Timestamp>().ok();
        let started = log.lines().find(|line| line.contains("started")).and_then(time)?;
        let last = log.lines().rfind(|line| line.contains("settled")).and_then(time)?;
        Some(files as f64 / (last - started).total(jiff::Unit::Second).ok()?)
    }
}

/// A running daemon. Stopped when dropped, whatever happened.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts the daemon and waits until it watches the spool.
    pub(crate) fn start(home: &Home) -> Found<Self> {
        let daemon = Daemon::spawn(home)?;
        wait(|| {
            let output = home.atles().args(["status", "--json"]).output();
            output.is_ok_and(|output| {
                String::from_utf8_lossy(&output.stdout).contains("\"watcher\": \"native\"")
            })
        });
        Ok(daemon)
    }

    /// Starts the daemon.
    pub(crate) fn spawn(home: &Home) -> Found<Self> {
        Ok(Daemon { child: home.atles().arg("run").stderr(Stdio::null()).spawn()? })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn proc(&self, file: &str) -> std::io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
    }

    /// Processor time since the start, in seconds; in steps of a hundredth.
    pub(crate) fn cpu_seconds(&self) -> Found<f64> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(ticks as f64 / 100.0)
    }

    fn status_mib(&self, key: &str) -> Found<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find(|line| line.starts_with(key)).ok_or("no such line")?;
        Ok(line.split_whitespace().nth(1).unwrap_or("0").parse::<f64>()? / 1024.0)
    }

    pub(crate) fn resident_mib(&self) -> Found<f64> {
        self.status_mib("VmRSS:")
    }

    pub(crate) fn peak_mib(&self) -> Found<f64> {
        self.status_mib("VmHWM:")
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        count(Path::new(&format!("/proc/{}/fd", self.child.id())))
    }

    pub(crate) fn stop(mut self) -> Outcome {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the daemon ended with {status}").into()) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
pub(crate) fn wait(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(1800);
    while !done() {
        assert!(Instant::now() < deadline, "waited for half an hour");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Has everything written to the disk, so that one measurement does not pay for the one before.
pub(crate) fn sync() {
    let _ = Command::new("sync").status();
}

/// The same for files that shall lie in a spool before a daemon starts: one that was just written would be waited for
/// (`[spool] settle`) and read twice.
pub(crate) fn sync_and_settle() {
    sync();
    std::thread::sleep(Duration::from_secs(1));
}

/// Entries of a folder.
pub(crate) fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}
