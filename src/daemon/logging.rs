use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::rotate::RotatingFile;
use crate::config::{Level, Logs};
use crate::spool::Home;

/// Lines that may wait for the disk; beyond that their writers wait. Room for them is set aside in advance.
const WAITING_LINES: usize = 4096;

/// Writes what is left when dropped.
#[derive(Debug)]
pub struct LogGuard {
    _file: WorkerGuard,
}

/// Sends the daemon's events to `logs/daemon.log` and, if asked, to standard error.
///
/// Events carry ids and counts, never what was said in a chat; a panic is logged with its place only.
///
/// # Errors
/// If the log file cannot be opened.
pub fn start_logging(home: &Home, logs: &Logs, on_stderr: bool) -> std::io::Result<LogGuard> {
    let path = home.logs().join("daemon.log");
    let file = RotatingFile::open(path, logs.rotate.max_size.0, logs.rotate.keep)?;
    let (file, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).lossy(false).finish(file);
    let level = match logs.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // Other crates speak up only about trouble: their debug lines may carry content.
    let ours = Targets::new().with_target("atles", level).with_default(level.min(LevelFilter::WARN));
    let stderr = on_stderr.then(|| {
        fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .with_filter(ours.clone())
    });
    let to_file = fmt::layer().with_writer(file).with_ansi(false).with_target(false).with_filter(ours);
    // A second start in one process keeps the first's subscriber.
    let _ = tracing_subscriber::registry().with(to_file).with(stderr).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic");
    }));
    Ok(LogGuard { _file: guard })
}
