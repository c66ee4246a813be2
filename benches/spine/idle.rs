//! What the daemon costs when nothing happens.

use std::fs;
use std::time::Duration;

use crate::daemon::{Daemon, Home, count, wait};
use crate::report::Report;
use crate::{Bench, Found, Outcome, sessions};

const WATCHED: Duration = Duration::from_secs(30);

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Outcome {
    let home = Home::make(bench.folder.join("idle"))?;
    report.part("idle", &["figure", "value"]);
    let Idle { share, resident, descriptors } = idle(&home)?;
    report.row(&[
        format!("processor time, {} s after 20 sessions of 10 KB", WATCHED.as_secs()),
        format!("{share:.2} % of a core"),
    ]);
    report.row(&["resident memory".into(), format!("{resident:.1} MiB")]);
    report.row(&["open descriptors".into(), descriptors.to_string()]);
    report.figure("cpu_percent", share);
    report.figure("resident_mib", resident);
    Ok(())
}

/// A daemon with nothing to do.
struct Idle {
    /// Per cent of a core.
    share: f64,
    /// MiB.
    resident: f64,
    descriptors: usize,
}

fn idle(home: &Home) -> Found<Idle> {
    let daemon = Daemon::start(home)?;
    for number in 0..20 {
        let hidden = home.spool().join(format!(".{number}"));
        fs::write(&hidden, sessions::session(number, 10_000, 20))?;
        fs::rename(hidden, home.spool().join(format!("idle-{number}.json")))?;
    }
    wait(|| count(&home.done()) == 20);
    std::thread::sleep(Duration::from_secs(3));
    let before = daemon.cpu_seconds()?;
    std::thread::sleep(WATCHED);
    let share = (daemon.cpu_seconds()? - before) / WATCHED.as_secs_f64() * 100.0;
    let (resident, descriptors) = (daemon.resident_mib()?, daemon.descriptors());
    daemon.stop()?;
    Ok(Idle { share, resident, descriptors })
}
