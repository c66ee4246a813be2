use std::path::Path;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, open, run::prepare_home, say};
use crate::daemon::{Services, home_of};
use crate::forget::{self, Forgotten};
use crate::pipeline::{Chain, Rebuild, Rebuilt};
use crate::spool::{Home, InstanceLock, LockError};

/// Options of `atles rebuild`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What came of it as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let services = Services::default();
    let loaded = match open::config(config, &services) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let home = home_of(&loaded.config);
    if let Err(problem) = prepare_home(&home) {
        say::error(&problem, Some(problem.hint()));
        return Exit::Failure;
    }
    let _lock = match InstanceLock::take(&home) {
        Ok(lock) => lock,
        Err(problem) => {
            let hint =
                "stop the daemon, rebuild, start it again; what is dropped meanwhile waits in the spool";
            say::error(&problem, matches!(problem, LockError::Taken { .. }).then_some(hint));
            return Exit::Failure;
        }
    };
    let forgotten = match forgotten(&home, &services, &loaded.config.decode) {
        Ok(forgotten) => Arc::new(forgotten),
        Err(exit) => return exit,
    };
    let threads = match loaded.config.settings.workers.threads {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        threads => threads,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(problem) => {
            say::error(format_args!("cannot start threads: {problem}"), None);
            return Exit::Failure;
        }
    };
    let chain = Arc::new(Chain::from(loaded.config));
    let rebuild = Rebuild { home, chain, forgotten, in_flight: 2 * threads + 2 };
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} files  {per_sec}  {eta} left") {
        bar.set_style(style);
    }
    let done = runtime.block_on(rebuild.run(|through, of| {
        bar.set_length(of);
        bar.set_position(through);
    }));
    bar.finish_and_clear();
    match done {
        Ok(rebuilt) => shown(&rebuilt, args),
        Err(problem) => {
            say::error(&problem, problem.hint());
            Exit::Failure
        }
    }
}

/// What must not come back; what was begun to be forgotten is finished first.
fn forgotten(
    home: &Home,
    services: &Services,
    decode: &crate::stages::decode::Decode,
) -> Result<Forgotten, Exit> {
    let failed = |message: String, hint: Option<&str>| {
        say::error(message, hint);
        Exit::Failure
    };
    let key =
        services.home_key(home).map_err(|problem| failed(format!("state/home.key: {problem}"), None))?;
    if forget::is_pending(home)
        && crate::memory::carry::look_at(&home.memory_db()).is_none_or(|it| it.is_ok())
    {
        forget::resume(home, decode, key).map_err(|problem| failed(problem.to_string(), problem.hint()))?;
    }
    Forgotten::read(home, key)
        .map_err(|problem| failed(format!("cannot read {}: {problem}", home.receipts().display()), None))
}

fn shown(rebuilt: &Rebuilt, args: &Args) -> Exit {
    if let Some(aside) = &rebuilt.set_aside {
        eprintln!("the old memory.db was damaged; it lies in {}", aside.display());
    }
    if !rebuilt.not_run.is_empty() {
        eprintln!(
            "not run, for they act outside: {}; what they had added is not in the new memory.db",
            rebuilt.not_run.join(", ")
        );
    }
    for (name, why) in &rebuilt.failed {
        say::error(format_args!("{name}: {why}"), None);
    }
    let told = if args.json {
        say::json(rebuilt)
    } else {
        let carried = match rebuilt.carried {
            0 => String::new(),
            number => format!(", {number} of them taken over because their file is not in done/ any more"),
        };
        say::data(&format!(
            "{} from {}{carried}\n",
            say::count(rebuilt.sessions, "session", "sessions"),
            say::count(rebuilt.files, "file", "files"),
        ))
    };
    if rebuilt.failed.is_empty() { told } else { Exit::Failure }
}
