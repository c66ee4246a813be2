use std::ffi::OsString;
use std::path::Path;

use super::launch::{self, Launch};
use super::{Exit, open, say};
use crate::config::Config;
use crate::daemon::{Daemon, Ended, LogGuard, Services, home_of, start_logging};
use crate::platform;
use crate::spool::{FolderError, Home};

/// Options of `atles run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Work through what is in the spool, then end. Exit code 3 if that left dead letters.
    #[arg(long, conflicts_with = "command")]
    once: bool,
    /// After the app has ended, do not wait for its chats to be learned. A daemon that was started for it runs on.
    #[arg(long, requires = "command")]
    no_wait: bool,
    /// Let a daemon that was started for the app run on after it.
    #[arg(long, requires = "command")]
    keep: bool,
    /// A chat app to run in the foreground, with $ATLES_SPOOL set. A daemon is started in the background if none runs;
    /// when the app has ended and its chats are learned, it says what was learned and stops that daemon. The exit code
    /// is the app's.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    if !args.command.is_empty() {
        let launch = Launch { command: &args.command, no_wait: args.no_wait, keep: args.keep };
        return launch::run(config, &launch);
    }
    if !args.once {
        platform::start_with_lean_allocator();
    }
    let services = Services::default();
    let loaded = match open::config(config, &services) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let home = home_of(&loaded.config);
    let (_log, runtime) = match prepare(&home, &loaded.config, true) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    runtime.block_on(async {
        let daemon = match Daemon::start(loaded, services, args.once) {
            Ok(daemon) => daemon,
            Err(problem) => {
                say::error(&problem, problem.hint());
                return Exit::Failure;
            }
        };
        if !args.once {
            eprintln!("learning what is dropped into {}", home.spool.display());
        }
        let mut failed = 0;
        let ended = daemon.run_watched(std::time::Duration::from_secs(1), |now| failed = now.failed).await;
        match ended {
            Ended::Stuck(reason) => {
                say::error(reason, Some("what is not learned yet waits in the spool and in work/"));
                Exit::Failure
            }
            Ended::Well if args.once && failed > 0 => {
                eprintln!(
                    "{} in {}",
                    say::count(failed, "dead letter", "dead letters"),
                    home.failed.display()
                );
                Exit::DeadLetters
            }
            Ended::Well | Ended::Deadline => Exit::Fine,
        }
    })
}

/// Makes the folders. The state store, memory.db and what programs write: files of the home are the user's alone.
pub(super) fn prepare_home(home: &Home) -> Result<(), FolderError> {
    platform::make_everything_private();
    home.prepare()
}

/// Makes the folders, starts the log and the runtime.
pub(super) fn prepare(
    home: &Home,
    config: &Config,
    on_stderr: bool,
) -> Result<(LogGuard, tokio::runtime::Runtime), Exit> {
    if let Err(problem) = prepare_home(home) {
        say::error(&problem, Some(problem.hint()));
        return Err(Exit::Failure);
    }
    let log = start_logging(home, &config.settings.logs, on_stderr).map_err(|problem| {
        say::error(
            format_args!("cannot write {}: {problem}", home.logs().join("daemon.log").display()),
            None,
        );
        Exit::Failure
    })?;
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let threads = match config.settings.workers.threads {
        0 => cores,
        threads => threads,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("worker")
        .enable_all()
        .build()
        .map_err(|problem| {
            say::error(format_args!("cannot start threads: {problem}"), None);
            Exit::Failure
        })?;
    Ok((log, runtime))
}
