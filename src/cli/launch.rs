//! `atles run -- COMMAND…`: a chat app in the foreground, and a daemon that learns from it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use super::{Exit, open, outcome, say};
use crate::config::Loaded;
use crate::daemon::{Request, Services, ask, home_of};
use crate::platform;
use crate::spool::{AdoptionRules, Home, InstanceLock, NameFilter, adopt, live_token};

/// How long is waited for the app's sessions to be learned.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long is waited for a daemon that does not answer.
const STARTING: Duration = Duration::from_secs(15);
/// How often it is looked whether they are.
const LOOK: Duration = Duration::from_millis(40);

/// What is to be run, and what becomes of the daemon.
pub(super) struct Launch<'a> {
    /// The app and its arguments; at least one word.
    pub(super) command: &'a [OsString],
    /// Do not wait for its sessions to be learned.
    pub(super) no_wait: bool,
    /// Leave a daemon that was started for it running.
    pub(super) keep: bool,
}

pub(super) fn run(config: Option<&Path>, launch: &Launch<'_>) -> Exit {
    let Some(place) = Place::find(config) else { return Exit::BadConfig };
    if let Err(problem) = place.home.prepare() {
        say::error(&problem, Some(problem.hint()));
        return Exit::Failure;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(problem) => {
            say::error(format_args!("cannot start: {problem}"), None);
            return Exit::Failure;
        }
    };
    let mut daemon = Background::ensure(&place);
    let before = outcome::Before::now(&place.home);
    runtime.block_on(async {
        let run = outcome::Run::new();
        let status = match foreground(&place, launch.command, &run).await {
            Ok(status) => status,
            Err(problem) => {
                say::error(
                    format_args!("cannot start {}: {problem}", Path::new(&launch.command[0]).display()),
                    None,
                );
                daemon.stop(&place.home);
                let missing = problem.kind() == std::io::ErrorKind::NotFound;
                return Exit::App(if missing { 127 } else { 126 });
            }
        };
        if !launch.no_wait {
            tokio::select! {
                () = settle(&place, &run, &mut daemon) => {}
                _ = tokio::signal::ctrl_c() => eprintln!("not waiting any longer"),
            }
            eprint!("{}", outcome::page(&place.home, &run, &before));
            if !launch.keep {
                daemon.stop(&place.home);
            }
        }
        Exit::App(code_of(status))
    })
}

/// The pipeline.toml and the home it names.
struct Place {
    config: PathBuf,
    home: Home,
    names: NameFilter,
    max_size: u64,
}

impl Place {
    fn find(config: Option<&Path>) -> Option<Self> {
        let Loaded { config, path, .. } = open::config(config, &Services::default()).ok()?;
        let spool = &config.settings.spool;
        let include: Vec<String> = spool.include.iter().map(ToString::to_string).collect();
        Some(Place {
            home: home_of(&config),
            names: NameFilter::new(&include),
            max_size: spool.max_size.0,
            config: std::path::absolute(&path).unwrap_or(path),
        })
    }
}

/// A daemon in the background, if this command had to start one.
struct Background(Option<Child>);

impl Background {
    fn ensure(place: &Place) -> Self {
        if InstanceLock::is_taken(&place.home) {
            return Background(None);
        }
        let started = own_program().and_then(|program| {
            let mut command = Command::new(program);
            command.arg("--config").arg(&place.config).arg("run");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            platform::apart_from_terminal(&mut command);
            command.spawn()
        });
        Background(
            started
                .inspect_err(|problem| {
                    say::error(
                        format_args!("cannot start the daemon: {problem}"),
                        Some("the chat is kept in the spool, and learned when a daemon runs"),
                    );
                })
                .ok(),
        )
    }

    /// Ends the daemon that was started here, unless other chats run on.
    fn stop(&mut self, home: &Home) {
        let Some(child) = &mut self.0 else { return };
        let deadline = Instant::now() + STARTING;
        let mut asked = false;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            if names_in(&home.spool).iter().any(|name| live_token(name).is_some()) {
                return;
            }
            // One that is just starting does not listen yet.
            asked = asked || ask(home, &Request::Stop).is_ok();
            if cfg!(not(unix)) {
                // There is no socket to ask by; what is under way is resumed at the next start.
                let _ = child.kill();
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn own_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// Runs the app with our terminal until it ends.
async fn foreground(place: &Place, command: &[OsString], run: &outcome::Run) -> std::io::Result<ExitStatus> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let mut app = tokio::process::Command::new(program);
    app.args(arguments)
        .env("ATLES_SPOOL", &place.home.spool)
        .env("ATLES_CONFIG", &place.config)
        .env("ATLES_RUN", run.token());
    if std::env::var_os("ATLES_BIN").is_none()
        && let Ok(program) = own_program()
    {
        app.env("ATLES_BIN", program);
    }
    // Before the app starts: a signal that comes now must not end us alone.
    let mut signals = platform::PassedOn::listen()?;
    let mut child = app.spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => if let Some(pid) = child.id() {
                signal.pass_on(pid);
            }
        }
    }
}

/// The app's own code, or 128 and the signal that ended it, as shells tell it.
fn code_of(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().map_or(1, |code| u8::try_from(code & 0xFF).unwrap_or(1))
}

/// Waits until what the app left in the spool is settled.
async fn settle(place: &Place, run: &outcome::Run, daemon: &mut Background) {
    let home = &place.home;
    adopt_what_it_left(place, run);
    let here = waiting(place, |name| run.may_own(name));
    let deadline = Instant::now() + PATIENCE;
    let mut absent_since = None;
    loop {
        let left = waiting(place, |name| run.owns(name) || here.iter().any(|waits| waits == name));
        if left.is_empty() {
            return;
        }
        if InstanceLock::is_taken(home) {
            absent_since = None;
        } else if absent_since.get_or_insert_with(Instant::now).elapsed() > STARTING {
            let log = home.logs().join("daemon.log");
            say::error(
                "no daemon runs; what was said waits in the spool",
                Some(&format!("{} tells why; `atles run` starts one", log.display())),
            );
            return;
        } else if daemon.0.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
            // It ran when the app began, and was stopped since.
            *daemon = Background::ensure(place);
        }
        if Instant::now() > deadline {
            eprintln!(
                "{} still not learned; `atles status` tells more",
                say::count(left.len() as u64, "file is", "files are")
            );
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The app has ended: what it did not finish is learned as it is, without waiting for a silence.
fn adopt_what_it_left(place: &Place, run: &outcome::Run) {
    let rules =
        AdoptionRules { silent_for: Duration::ZERO, names: place.names.clone(), max_size: place.max_size };
    for name in names_in(&place.home.spool) {
        if live_token(&name).is_some() && run.owns(&name) {
            // The daemon may have been quicker.
            let _ = adopt(&place.home, &name, &rules, SystemTime::now());
        }
    }
}

/// Names of files that are not settled yet.
fn waiting(place: &Place, counts: impl Fn(&OsString) -> bool) -> Vec<OsString> {
    let mut names = names_in(&place.home.spool);
    names.retain(|name| place.names.takes(name));
    names.extend(names_in(&place.home.work));
    names.retain(counts);
    names
}

fn names_in(dir: &Path) -> Vec<OsString> {
    std::fs::read_dir(dir)
        .map(|entries| entries.flatten().map(|entry| entry.file_name()).collect())
        .unwrap_or_default()
}
