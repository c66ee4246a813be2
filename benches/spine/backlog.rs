//! Files that wait at the start, and a burst on top that overflows the watch queue.

use std::fs;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Home, count, sync, wait};
use crate::options::Options;
use crate::report::Report;
use crate::{Bench, Outcome, sessions};

pub(crate) fn run(bench: &Bench, options: &Options, report: &mut Report) -> Outcome {
    let files = options.files;
    let extra = files / 5;
    let home = Home::make(bench.folder.join("backlog"))?;
    sessions::fill(&home.spool(), 0..files, 2_000, 6);
    let burst = home.folder.join("burst");
    sessions::fill(&burst, files..files + extra, 2_000, 6);
    sync();
    let started = Instant::now();
    let daemon = Daemon::spawn(&home)?;
    wait(|| count(&home.done()) > 0);
    let first = started.elapsed().as_secs_f64();
    for entry in fs::read_dir(&burst)? {
        let entry = entry?;
        fs::rename(entry.path(), home.spool().join(entry.file_name()))?;
    }
    wait(|| {
        std::thread::sleep(Duration::from_millis(500));
        count(&home.done()) == files + extra
    });
    let seconds = started.elapsed().as_secs_f64();
    let rate = home.settled_rate(files + extra).unwrap_or((files + extra) as f64 / seconds);
    let peak = daemon.peak_mib()?;
    daemon.stop()?;
    report.part("backlog", &["figure", "value"]);
    report.row(&[
        "files of 2 KB waiting at the start".into(),
        format!("{files}, and a burst of {extra} on top"),
    ]);
    report.row(&["from the program's start to the first file in done/".into(), format!("{first:.2} s")]);
    report.row(&["until all were in done/".into(), format!("{seconds:.0} s, {rate:.0} files/s")]);
    report.row(&["peak resident memory".into(), format!("{peak:.0} MiB")]);
    report.figure("files", files + extra);
    report.figure("first_done_seconds", first);
    report.figure("files_per_second", rate);
    report.figure("peak_mib", peak);
    Ok(())
}
