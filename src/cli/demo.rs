use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use include_dir::{Dir, include_dir};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, open, report, run::prepare, say};
use crate::config::{Loaded, Span, Training, TriggerMode, default_pipeline};
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
    /// Fetch nothing: a model is trained only if the base model is on this machine already.
    #[arg(long)]
    offline: bool,
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
    let training = loaded.config.settings.training.clone();
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
            let shown = say::page(&page);
            eprintln!("\nlearned in {:.1} s", started.elapsed().as_secs_f64());
            drop((state, runtime));
            train(&home, &folder, training, args.offline);
            shown
        }
        Err(problem) => {
            say::error(problem, None);
            Exit::Failure
        }
    }
}

/// Fine-tunes the base model on the samples, where it can be had. That it cannot is no failure of the demo.
#[cfg(feature = "trainer")]
fn train(home: &Home, folder: &Path, mut settings: Training, offline: bool) {
    use super::models::PullBar;
    use crate::training::base::{BaseError, Cache, pull, resolve};

    let fetched = Cache::of_user().ok_or(BaseError::NoCache).and_then(|cache| {
        match resolve(&settings.base, folder, &cache) {
            Err(BaseError::NotPulled { name }) if !offline => {
                eprintln!("\nfetching the base model {name}");
                let bar = PullBar::new();
                pull(name, &cache, &mut |progress| bar.show(progress))
            }
            other => other,
        }
    });
    if let Err(problem) = fetched {
        eprintln!("\nno model is trained, all else works: {problem}");
        if let Some(hint) = problem.hint() {
            eprintln!("hint:  {hint}");
        }
        return;
    }
    // Once through the samples instead of twice, at twice the rate: the processor may have two cores.
    settings.epochs = 1;
    settings.learning_rate *= 2.0;
    eprintln!("\ntraining {} on the samples", settings.base);
    match super::train::train(home, folder, &settings) {
        Ok(finished) => drop(say::data(&format!("\nTRAINED\n{}", super::train::page(&finished)))),
        Err(problem) => {
            eprintln!("no model was trained: {problem}");
            if let Some(hint) = problem.hint() {
                eprintln!("hint:  {hint}");
            }
        }
    }
}

#[cfg(not(feature = "trainer"))]
fn train(_: &Home, _: &Path, _: Training, _: bool) {
    eprintln!("\nthis build trains no model");
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
    // One after the other, so that the report is the same each time: which of two versions of a chat came first.
    loaded.config.settings.workers.in_flight = 1;
    // The demo trains by itself, in the foreground.
    loaded.config.settings.training.trigger.mode = TriggerMode::Manual;
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
