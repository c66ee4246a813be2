//! What the daemon costs when nothing happens.

use std::fs;
use std::time::Duration;

use crate::daemon::{Daemon, Home, count, wait};
use crate::report::Report;
use crate::{Bench, Outcome, sessions};

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Outcome {
    let home = Home::make(bench.folder.join("idle"))?;
    let daemon = Daemon::start(&home)?;
    for number in 0..20 {
        let hidden = home.spool().join(format!(".{number}"));
        fs::write(&hidden, sessions::session(number, 10_000, 20))?;
        fs::rename(hidden, home.spool().join(format!("idle-{number}.json")))?;
    }
    wait(|| count(&home.done()) == 20);
    std::thread::sleep(Duration::from_secs(3));
    let before = daemon.cpu_seconds()?;
    let watched = Duration::from_secs(30);
    std::thread::sleep(watched);
    let share = (daemon.cpu_seconds()? - before) / watched.as_secs_f64() * 100.0;
    let resident = daemon.resident_mib()?;
    report.part("idle", &["figure", "value"]);
    report.row(&[
        format!("processor time, {} s after 20 sessions of 10 KB", watched.as_secs()),
        format!("{share:.2} % of a core"),
    ]);
    report.row(&["resident memory".into(), format!("{resident:.1} MiB")]);
    report.row(&["open descriptors".into(), daemon.descriptors().to_string()]);
    report.figure("cpu_percent", share);
    report.figure("resident_mib", resident);
    daemon.stop()
}
