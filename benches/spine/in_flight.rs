//! Throughput by how many sessions may be under way at once.

use std::process::Stdio;

use crate::daemon::{Home, sync_and_settle};
use crate::options::Options;
use crate::report::{Report, median, short};
use crate::{Bench, Outcome, sessions};

const FILES: usize = 2000;
const COUNTS: [usize; 5] = [1, 4, 16, 64, 256];

pub(crate) fn run(bench: &Bench, options: &Options, report: &mut Report) -> Outcome {
    let mut rates = vec![Vec::new(); COUNTS.len()];
    for round in 0..options.rounds {
        for (count, rates) in COUNTS.iter().zip(&mut rates) {
            let home = Home::make(bench.folder.join(format!("in-flight-{count}-{round}")))?;
            home.set("in_flight = 64", &format!("in_flight = {count}"))?;
            sessions::fill(&home.spool(), 0..FILES, 10_000, 20);
            sync_and_settle();
            let status = home.atles().args(["run", "--once"]).stderr(Stdio::null()).status()?;
            assert!(status.success(), "atles run --once: {status}");
            rates.push(home.settled_rate(FILES).ok_or("the log does not tell")?);
        }
    }
    report.part("in-flight", &["under way at once", "10 KB files/s, median", "rounds"]);
    for (count, rates) in COUNTS.iter().zip(&rates) {
        let rounds: Vec<String> = rates.iter().copied().map(short).collect();
        report.row(&[count.to_string(), short(median(rates)), rounds.join(", ")]);
        report.figure(&format!("{count}.files_per_second"), median(rates));
    }
    Ok(())
}
