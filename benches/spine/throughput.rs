//! Throughput by size, side by side with what people use today: round after round, everybody in turn.

use std::process::Stdio;

use crate::daemon::{Home, count, sync_and_settle};
use crate::limits::{Limits, parse_rate};
use crate::options::Options;
use crate::report::{Report, median, short};
use crate::rivals::{Rival, rivals};
use crate::{Bench, Found, Outcome, sessions};

/// A size of session files.
struct Size {
    name: &'static str,
    bytes: usize,
    messages: usize,
    /// How many there are to be learned.
    files: usize,
}

const SIZES: [Size; 4] = [
    Size { name: "2KB", bytes: 2_000, messages: 6, files: 4000 },
    Size { name: "10KB", bytes: 10_000, messages: 20, files: 5000 },
    Size { name: "100KB", bytes: 100_000, messages: 60, files: 500 },
    Size { name: "5MB", bytes: 5_000_000, messages: 1200, files: 10 },
];

/// Per contender, files a second in each round.
type Rates = Vec<Vec<f64>>;

pub(crate) fn run(bench: &Bench, options: &Options, report: &mut Report) -> Outcome {
    let (rivals, left_out) = rivals(bench);
    let mut limits = Vec::new();
    let mut measured: Vec<(&Size, Rates)> = Vec::new();
    for size in
        SIZES.iter().filter(|size| options.sizes.is_empty() || options.sizes.iter().any(|s| s == size.name))
    {
        let mut rates = vec![Vec::new(); 1 + rivals.len()];
        for round in 0..options.rounds {
            limits.push(Limits::measure(&bench.folder.join(format!("limits-{}-{round}", size.name)))?);
            one_round(bench, &rivals, size, round, &mut rates)?;
            let line: Vec<String> =
                rates.iter().filter_map(|rates| rates.last().copied()).map(short).collect();
            eprintln!("{}, round {}: {} files/s", size.name, round + 1, line.join(", "));
        }
        measured.push((size, rates));
    }
    side_by_side(&rivals, &left_out, &measured, report);
    shares_of_limits(&measured, &limits, report)
}

/// Everybody once, in an order that turns from round to round.
fn one_round(bench: &Bench, rivals: &[Rival], size: &Size, round: usize, rates: &mut Rates) -> Outcome {
    let contenders = rates.len();
    for turn in 0..contenders {
        let who = (turn + round) % contenders;
        let folder = bench.folder.join(format!("throughput-{}-{who}-{round}", size.name));
        let rate = match who.checked_sub(1).and_then(|rival| rivals.get(rival)) {
            Some(rival) => {
                rival.rate(&folder, (size.files / rival.one_in).max(3), size.bytes, size.messages)?
            }
            None => ours(Home::make(folder)?, size)?,
        };
        rates[who].push(rate);
    }
    Ok(())
}

fn ours(home: Home, size: &Size) -> Found<f64> {
    sessions::fill(&home.spool(), 0..size.files, size.bytes, size.messages);
    sync_and_settle();
    let status = home.atles().args(["run", "--once"]).stderr(Stdio::null()).status()?;
    assert!(status.success(), "atles run --once: {status}");
    assert_eq!(count(&home.done()), size.files);
    Ok(home.settled_rate(size.files).ok_or("the log does not tell")?)
}

fn side_by_side(rivals: &[Rival], left_out: &[String], measured: &[(&Size, Rates)], report: &mut Report) {
    report.part(
        "throughput",
        &["sessions of", "who", "durable", "files/s, median", "rounds", "ATLES is faster by, round by round"],
    );
    for (size, rates) in measured {
        for (who, rates_of_one) in rates.iter().enumerate() {
            let (name, durable) = match who.checked_sub(1).and_then(|rival| rivals.get(rival)) {
                Some(rival) => (rival.name, rival.durable),
                None => ("**ATLES**, the default chain", "all of it"),
            };
            let ratios: Vec<f64> =
                rates[0].iter().zip(rates_of_one).map(|(ours, theirs)| ours / theirs).collect();
            let rounds: Vec<String> = rates_of_one.iter().copied().map(short).collect();
            let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.1}")).collect();
            let ratio = match who {
                0 => "-".into(),
                _ => format!("**{:.1}×** ({})", median(&ratios), each.join(", ")),
            };
            report.row(&[
                size.name.into(),
                name.into(),
                durable.into(),
                short(median(rates_of_one)),
                rounds.join(", "),
                ratio,
            ]);
            let key =
                |what: &str| format!("{}.{}.{what}", size.name, name.trim_matches('*').replace("**", ""));
            report.figure(&key("files_per_second"), rates_of_one.clone());
            if who > 0 {
                report.figure(&key("ratio"), median(&ratios));
            }
        }
    }
    report.line(
        "\nThe Python daemon's loop writes as many files as ATLES does, and rows; the two scripts write rows only. Its sleeps \
         are taken out, and it finds its files by listing them; the scripts watch, and their start does not count.",
    );
    for reason in left_out {
        report.line(&format!("\nLeft out: {reason}."));
    }
}

/// Our figures as shares of what the machine can do, measured between the rounds.
fn shares_of_limits(measured: &[(&Size, Rates)], limits: &[Limits], report: &mut Report) -> Outcome {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let of = |value: fn(&Limits) -> f64| median(&limits.iter().map(value).collect::<Vec<_>>());
    let (syncs, renames, files) = (of(|l| l.syncs), of(|l| l.renames), of(|l| l.files));
    report.line(&format!(
        "\nLimits in the same run: {} syncs of 4 KiB, {} renames, {} files made and renamed a second, one after the other.\n",
        short(syncs),
        short(renames),
        short(files)
    ));
    report.figure("limits.syncs_per_second", syncs);
    report.figure("limits.renames_per_second", renames);
    report.figure("limits.files_per_second", files);
    report.line("| sessions of | files for each sync that is possible | time that claim, moves and small files take at least | MB/s | `serde_json` alone, all cores | share |");
    report.line("|---|---|---|---|---|---|");
    for (size, rates) in measured {
        let rate = median(&rates[0]);
        let bytes = sessions::session(0, size.bytes, size.messages).len() as f64;
        let parse = parse_rate(size.bytes, size.messages)? * cores;
        let moving = rate * (2.0 / renames + 2.0 / files) / cores;
        let ours = rate * bytes / 1e6;
        report.row(&[
            size.name.into(),
            format!("{:.2}", rate / syncs),
            format!("{:.0} % of the cores", moving * 100.0),
            short(ours),
            short(parse),
            format!("{:.1} %", ours / parse * 100.0),
        ]);
        report.figure(&format!("{}.parse_megabytes_per_second", size.name), parse);
        report.figure(&format!("{}.share_of_parse_rate", size.name), ours / parse);
    }
    Ok(())
}
