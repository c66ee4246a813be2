//! Programs beside and below this one: in the background, or in the foreground of one terminal.

use std::io;
use std::process::Command;

/// Keeps what happens in the terminal (Ctrl-C, its end) from a program that is about to be started.
pub fn apart_from_terminal(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(windows)]
    {
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        let flags = CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW;
        std::os::windows::process::CommandExt::creation_flags(command, flags);
    }
    #[cfg(not(any(unix, windows)))]
    let _ = command;
}

/// Signals that are meant for a program in our foreground, while it runs.
pub struct PassedOn {
    #[cfg(unix)]
    listening: Vec<(rustix::process::Signal, tokio::signal::unix::Signal)>,
}

/// One of them.
pub struct Caught {
    #[cfg(unix)]
    signal: rustix::process::Signal,
}

#[cfg(unix)]
impl PassedOn {
    /// From now on these signals do not end this process.
    pub fn listen() -> io::Result<Self> {
        use rustix::process::Signal;
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [
            (Signal::INT, SignalKind::interrupt()),
            (Signal::QUIT, SignalKind::quit()),
            (Signal::TERM, SignalKind::terminate()),
            (Signal::HUP, SignalKind::hangup()),
            (Signal::USR1, SignalKind::user_defined1()),
            (Signal::USR2, SignalKind::user_defined2()),
        ];
        let listening = kinds.into_iter().map(|(number, kind)| Ok((number, signal(kind)?)));
        Ok(PassedOn { listening: listening.collect::<io::Result<_>>()? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Caught {
        std::future::poll_fn(|context| {
            for (signal, stream) in &mut self.listening {
                if let std::task::Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return std::task::Poll::Ready(Caught { signal: *signal });
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

#[cfg(not(unix))]
impl PassedOn {
    /// From now on Ctrl-C does not end this process.
    pub fn listen() -> io::Result<Self> {
        Ok(PassedOn {})
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Caught {
        let _ = tokio::signal::ctrl_c().await;
        Caught {}
    }
}

impl Caught {
    /// Hands it to the program, unless the terminal has done so already.
    pub fn pass_on(&self, pid: u32) {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process};
            let from_terminal = matches!(self.signal, Signal::INT | Signal::QUIT) && is_in_foreground();
            if let Some(pid) = Pid::from_raw(pid.cast_signed()).filter(|_| !from_terminal) {
                let _ = kill_process(pid, self.signal);
            }
        }
        #[cfg(not(unix))]
        let _ = pid;
    }
}

/// Whether the keys of a terminal reach this process, and with it what it started.
#[cfg(unix)]
fn is_in_foreground() -> bool {
    std::fs::File::open("/dev/tty")
        .ok()
        .and_then(|terminal| rustix::termios::tcgetpgrp(terminal).ok())
        .is_some_and(|group| group == rustix::process::getpgrp())
}
