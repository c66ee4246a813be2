use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use crate::{Bench, Found, sessions};

/// A program that learns sessions in its own way.
#[derive(Debug)]
pub(crate) struct Rival {
    /// What it is called in the tables.
    pub(crate) name: &'static str,
    /// What is on the disk when it says that a session is done.
    pub(crate) durable: &'static str,
    /// Of the files that the daemon gets, it gets so many, as it takes longer: one in so many.
    pub(crate) one_in: usize,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Works through a folder and prints files a second.
    Loop(PathBuf),
    /// Watches a folder, says `ready`, learns what is moved in, and says `done`.
    Watcher { program: PathBuf, script: PathBuf },
}

/// Those that can be run here; the names and reasons of those that cannot.
pub(crate) fn rivals(bench: &Bench) -> (Vec<Rival>, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/spine");
    let mut there = Vec::new();
    let mut left_out = Vec::new();
    if runs("python3", &["--version"]) {
        there.push(Rival {
            name: "Python daemon's loop",
            durable: "nothing synced",
            one_in: 2,
            way: Way::Loop(folder.join("python_daemon_loop.py")),
        });
    } else {
        left_out.push("the Python daemon's loop: there is no python3".into());
    }
    match python_with_watchdog(bench) {
        Ok(program) => there.push(Rival {
            name: "watchdog + SQLite",
            durable: "rows synced",
            one_in: 4,
            way: Way::Watcher { program, script: folder.join("rivals/watchdog_sqlite.py") },
        }),
        Err(reason) => left_out.push(format!("watchdog + SQLite: {reason}")),
    }
    let missing: Vec<&str> = [("inotifywait", "--help"), ("jq", "--version"), ("sqlite3", "--version")]
        .into_iter()
        .filter(|(program, flag)| !starts(program, flag))
        .map(|(program, _)| program)
        .collect();
    if missing.is_empty() {
        there.push(Rival {
            name: "inotifywait + jq + sqlite3",
            durable: "rows synced",
            one_in: 25,
            way: Way::Watcher { program: "bash".into(), script: folder.join("rivals/inotify_jq_sqlite.sh") },
        });
    } else {
        left_out.push(format!("inotifywait + jq + sqlite3: there is no {}", missing.join(", no ")));
    }
    (there, left_out)
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Whether a program is there; what it answers does not matter.
fn starts(program: &str, flag: &str) -> bool {
    Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// A Python that has `watchdog`: the system's, or an environment beside the benchmark's files.
fn python_with_watchdog(bench: &Bench) -> Result<PathBuf, String> {
    let has_it = |python: &Path| runs(&python.display().to_string(), &["-c", "import watchdog"]);
    let system = PathBuf::from("python3");
    if has_it(&system) {
        return Ok(system);
    }
    let environment = bench.folder.with_file_name("watchdog");
    let python = environment.join("bin/python");
    if has_it(&python) {
        return Ok(python);
    }
    eprintln!("installing watchdog into {}", environment.display());
    let environment = environment.display().to_string();
    if !runs("python3", &["-m", "venv", &environment]) {
        return Err("no environment for it could be made".into());
    }
    if runs(&python.display().to_string(), &["-m", "pip", "install", "--quiet", "watchdog"]) {
        Ok(python)
    } else {
        Err("it could not be installed".into())
    }
}

impl Rival {
    /// Files a second, in a folder that is made for it.
    pub(crate) fn rate(&self, folder: &Path, files: usize, bytes: usize, messages: usize) -> Found<f64> {
        let (spool, home) = (folder.join("spool"), folder.join("home"));
        fs::create_dir_all(&home)?;
        match &self.way {
            Way::Loop(script) => {
                sessions::fill(&spool, 0..files, bytes, messages);
                crate::daemon::sync();
                let output = Command::new("python3").arg(script).args([spool, home]).output()?;
                Ok(String::from_utf8(output.stdout)?.trim().parse()?)
            }
            Way::Watcher { program, script } => {
                let waiting = folder.join("waiting");
                fs::create_dir_all(&spool)?;
                sessions::fill(&waiting, 0..files, bytes, messages);
                crate::daemon::sync();
                let mut watcher = Watcher::start(program, script, &spool, &home, files)?;
                watcher.hear("ready")?;
                let started = Instant::now();
                for entry in fs::read_dir(&waiting)? {
                    let entry = entry?;
                    fs::rename(entry.path(), spool.join(entry.file_name()))?;
                }
                watcher.hear("done")?;
                Ok(files as f64 / started.elapsed().as_secs_f64())
            }
        }
    }
}

struct Watcher {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watcher {
    fn start(program: &Path, script: &Path, spool: &Path, home: &Path, files: usize) -> Found<Self> {
        let mut command = Command::new(program);
        command.arg(script).args([spool, home]).arg(files.to_string()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        Ok(Watcher { child, lines })
    }

    fn hear(&mut self, wanted: &str) -> Found<()> {
        match self.lines.next().transpose()? {
            Some(line) if line == wanted => Ok(()),
            other => Err(format!("the script said {other:?} instead of {wanted:?}").into()),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It ends by itself after the last file; otherwise something went wrong.
        if self.lines.next().is_some() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
