use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use include_dir::{Dir, include_dir};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, open, report, run::prepare, say};
use crate::config::{Loaded, Span, default_pipeline};
use crate::daemon::{Daemon, Ended, Services, home_of};
use crate::spool::Home;

/// The sessions that the demo learns.
static SAMPLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/sample_spool");

/// Options of `atles demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder for the demo's home; it must not exist yet.
    #[arg(long, value_name = "FOLDER")]
    home: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Exit {
    let folder = args.home.clone().unwrap_or_else(fresh_folder);
    let services = Services::default();
    let loaded = match lay_out(&folder, &services) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let home = home_of(&loaded.config);
    let (_log, runtime) = match prepare(&home, &loaded.config, false) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    eprintln!("learning {} sample files in {}", SAMPLES.files().count(), home.root.display());
    let started = Instant::now();
    let (ended, state) = match runtime.block_on(learn(loaded, services)) {
        Ok(learned) => learned,
        Err(exit) => return exit,
    };
    if let Ended::Stuck(reason) = ended {
        say::error(reason, None);
        return Exit::Failure;
    }
    match report::page(&home, &state, &folder.join("pipeline.toml")) {
        Ok(page) => {
            let shown = say::data(&page);
            eprintln!("\nlearned in {:.1} s", started.elapsed().as_secs_f64());
            shown
        }
        Err(problem) => {
            say::error(problem, None);
            Exit::Failure
        }
    }
}

/// `atles_demo`, or the first number of it that is free.
fn fresh_folder() -> PathBuf {
    let numbered = (2..).map(|number| PathBuf::from(format!("atles_demo-{number}")));
    std::iter::once(PathBuf::from("atles_demo"))
        .chain(numbered)
        .find(|folder| !folder.exists())
        .unwrap_or_else(|| PathBuf::from("atles_demo"))
}

/// Makes the folder with a pipeline.toml and the samples in its spool.
fn lay_out(folder: &Path, services: &Services) -> Result<Loaded, Exit> {
    let failure = |problem: std::io::Error| {
        say::error(format_args!("cannot lay out {}: {problem}", folder.display()), None);
        Exit::Failure
    };
    if folder.exists() {
        say::error(
            format_args!("{} exists", folder.display()),
            Some("name a folder that does not exist yet"),
        );
        return Err(Exit::Usage);
    }
    std::fs::create_dir_all(folder).map_err(failure)?;
    let config = folder.join("pipeline.toml");
    std::fs::write(&config, default_pipeline()).map_err(failure)?;
    let mut loaded = open::config(Some(&config), services)?;
    // The samples are whole when the daemon starts; nobody is still writing the broken ones.
    loaded.config.settings.spool.settle = Span::millis(1);
    loaded.config.settings.spool.grace = Span::millis(1);
    let home: Home = home_of(&loaded.config);
    home.prepare().map_err(|problem| {
        say::error(&problem, Some(problem.hint()));
        Exit::Failure
    })?;
    for file in SAMPLES.files() {
        let Some(name) = file.path().file_name() else { continue };
        std::fs::write(home.spool.join(name), file.contents()).map_err(failure)?;
    }
    Ok(loaded)
}

async fn learn(loaded: Loaded, services: Services) -> Result<(Ended, crate::state::State), Exit> {
    let bar = ProgressBar::new(SAMPLES.files().count() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} files") {
        bar.set_style(style);
    }
    let daemon = Daemon::start(loaded, services, true).map_err(|problem| {
        say::error(&problem, problem.hint());
        Exit::Failure
    })?;
    let state = daemon.state();
    let ended = daemon.run_watched(Duration::from_millis(40), |now| bar.set_position(now.settled)).await;
    bar.finish_and_clear();
    Ok((ended, state))
}
