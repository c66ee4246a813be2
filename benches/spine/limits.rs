//! What this machine can do at best, in the terms of what a session costs.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::report::{Report, median, short};
use crate::{Bench, Found, Outcome, sessions};

/// How long each limit is measured.
const LONG_ENOUGH: Duration = Duration::from_millis(500);

/// Rates of one processor and one disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Four KiB appended and synced, one after the other, a second.
    pub(crate) syncs: f64,
    /// Renames from one folder to another a second.
    pub(crate) renames: f64,
    /// Files of one KiB made under another name and renamed, a second; not synced.
    pub(crate) files: f64,
}

impl Limits {
    /// Measures in a folder that is made for it.
    pub(crate) fn measure(folder: &Path) -> Found<Self> {
        fs::create_dir_all(folder)?;
        Ok(Limits { syncs: syncs(folder)?, renames: renames(folder)?, files: files(folder)? })
    }
}

/// How often something can be done in a second.
fn rate(mut once: impl FnMut(usize) -> std::io::Result<()>) -> Found<f64> {
    let started = Instant::now();
    let mut times = 0;
    while started.elapsed() < LONG_ENOUGH {
        once(times)?;
        times += 1;
    }
    Ok(times as f64 / started.elapsed().as_secs_f64())
}

fn syncs(folder: &Path) -> Found<f64> {
    let mut file = File::create(folder.join("synced"))?;
    rate(|_| {
        file.write_all(&[7; 4096])?;
        file.sync_data()
    })
}

fn renames(folder: &Path) -> Found<f64> {
    let sides = [folder.join("here"), folder.join("there")];
    for side in &sides {
        fs::create_dir_all(side)?;
    }
    for number in 0..256 {
        fs::write(sides[0].join(number.to_string()), "x")?;
    }
    rate(|time| {
        let (name, side) = ((time % 256).to_string(), time / 256 % 2);
        fs::rename(sides[side].join(&name), sides[1 - side].join(&name))
    })
}

fn files(folder: &Path) -> Found<f64> {
    let content = [b'x'; 1024];
    rate(|time| {
        let aside = folder.join(".aside");
        fs::write(&aside, content)?;
        fs::rename(&aside, folder.join(format!("file-{time}")))
    })
}

/// Megabytes of a session that one processor parses a second, as `serde_json` does into its own values.
pub(crate) fn parse_rate(bytes: usize, messages: usize) -> Found<f64> {
    let texts: Vec<String> = (0..8).map(|number| sessions::session(number, bytes, messages)).collect();
    let mut parsed = 0;
    let times = rate(|time| {
        let text = &texts[time % texts.len()];
        parsed += text.len();
        let value: serde_json::Value = serde_json::from_str(text)?;
        std::hint::black_box(value);
        Ok(())
    })?;
    let mean = texts.iter().map(String::len).sum::<usize>() as f64 / texts.len() as f64;
    Ok(times * mean / 1e6)
}

/// All of them, and the trainer's.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Outcome {
    let mut rounds = Vec::new();
    for round in 0..3 {
        rounds.push(Limits::measure(&bench.folder.join(format!("limits-{round}")))?);
    }
    let of = |value: fn(&Limits) -> f64| median(&rounds.iter().map(value).collect::<Vec<_>>());
    report.part("limits", &["limit of this machine", "rate", "what it bounds"]);
    let mut row = |name: &str, key: &str, value: f64, unit: &str, bounds: &str| {
        report.row(&[name.into(), format!("{} {unit}", short(value)), bounds.into()]);
        report.figure(key, value);
    };
    row(
        "4 KiB appended and synced",
        "syncs_per_second",
        of(|l| l.syncs),
        "a second",
        "commits; sessions that come singly",
    );
    row(
        "renames between two folders",
        "renames_per_second",
        of(|l| l.renames),
        "a second",
        "claim and settle: two a session",
    );
    row(
        "files of 1 KiB made and renamed",
        "files_per_second",
        of(|l| l.files),
        "a second",
        "session log and training data: up to two a session",
    );
    row(
        "`serde_json` into values, 10 KB sessions",
        "parse_megabytes_per_second",
        parse_rate(10_000, 20)?,
        "MB/s on one core",
        "decoding",
    );
    #[cfg(feature = "trainer")]
    for threads in [1, 2] {
        let rate = atles::training::model::product_rate(threads, LONG_ENOUGH);
        row(
            &format!("the trainer's matrix product, {threads} thread{}", if threads == 1 { "" } else { "s" }),
            &format!("gemm_gflops_{threads}"),
            rate / 1e9,
            "GFLOP/s",
            "training",
        );
    }
    Ok(())
}
