//! How fast sessions are learned, by the real program on the real disk, beside what people use today.
//!
//! `cargo bench --bench spine` runs everything but the soak; `-- PART…` some of `limits`, `throughput`, `in-flight`,
//! `shares`, `latency`, `idle`, `backlog` and `soak`. `--rounds N`, `--sizes 2KB,10KB`, `--files N` (of the backlog),
//! `--sessions N`, `--users N`, `--minutes N` and `--retention AGE` (of the soak) say how much of it; `--json FILE`
//! writes the figures, `--docs` the tables into docs/BENCHMARKS.md.
//!
//! Each figure comes with what it is compared to, measured in the same run: machines are shared and noisy, so ratios
//! count.

mod backlog;
mod daemon;
mod idle;
mod in_flight;
mod latency;
mod limits;
mod options;
mod report;
mod rivals;
mod sessions;
mod shares;
mod soak;
mod throughput;

use std::fs;
use std::path::{Path, PathBuf};

use options::Options;
use report::Report;

type Found<T> = Result<T, Box<dyn std::error::Error>>;
type Outcome = Found<()>;

/// Where the homes of a run lie.
struct Bench {
    folder: PathBuf,
}

fn main() -> Outcome {
    let options = Options::read(std::env::args().skip(1))?;
    // Left behind on purpose: on some file systems creating files is slow for minutes after many were deleted.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("spine-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    eprintln!("working in {} (delete it afterwards)", folder.display());
    let bench = Bench { folder };
    let mut report = Report::new(&options);
    for part in &options.parts {
        match *part {
            "limits" => limits::run(&bench, &mut report)?,
            "throughput" => throughput::run(&bench, &options, &mut report)?,
            "in-flight" => in_flight::run(&bench, &options, &mut report)?,
            "shares" => shares::run(&bench, &mut report)?,
            "latency" => latency::run(&bench, &mut report)?,
            "idle" => idle::run(&bench, &mut report)?,
            "backlog" => backlog::run(&bench, &options, &mut report)?,
            _ => soak::run(&bench, &options, &mut report)?,
        }
    }
    report.finish(&options)
}
