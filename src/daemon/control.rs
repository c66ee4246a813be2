//! The control socket: a line of JSON asks, a line of JSON answers.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::spool::Home;

/// What can be asked of a running daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What it is doing.
    Status,
    /// Work again on a file that was moved from `failed/` to `work/`.
    TakeBack {
        /// The bytes of its name in `work/`.
        name: Vec<u8>,
    },
    /// Let go of everything, forget, and go on.
    Forget {
        /// What.
        order: crate::forget::Order,
    },
    /// Finish what is under way and end.
    Stop,
}

/// The daemon's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Box<super::Report>),
    /// To [`Request::Forget`].
    Forgot(Box<crate::forget::Receipt>),
    /// It is done, or will be.
    Ok,
    /// It was not understood.
    Error {
        /// Why.
        message: String,
        /// What can be done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

impl Response {
    pub(super) fn refusal(message: impl Into<String>) -> Self {
        Response::Error { message: message.into(), hint: None }
    }
}

/// Why the daemon could not be asked.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no daemon runs on {}", .0.display())]
    NotRunning(PathBuf),
    /// The conversation broke off.
    #[error("the daemon did not answer: {0}")]
    Broken(#[from] io::Error),
}

/// Where the socket is addressed. The names of sockets are short (108 bytes), those of homes need not be: a long one
/// is reached through its open folder.
#[cfg(unix)]
struct Address {
    path: PathBuf,
    _folder: Option<std::fs::File>,
}

#[cfg(unix)]
impl Address {
    fn of(home: &Home) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        const LONGEST_NAME: usize = 100;
        let path = home.socket();
        let through_folder = std::path::Path::new("/proc/self/fd");
        if path.as_os_str().len() <= LONGEST_NAME || !through_folder.exists() {
            return Ok(Address { path, _folder: None });
        }
        let folder = std::fs::File::open(&home.root)?;
        let path = through_folder.join(folder.as_raw_fd().to_string()).join("control.sock");
        Ok(Address { path, _folder: Some(folder) })
    }
}

/// Asks the daemon of a home, and waits ten seconds for its answer.
///
/// # Errors
/// [`ControlError::NotRunning`] if none runs.
pub fn ask(home: &Home, request: &Request) -> Result<Response, ControlError> {
    ask_within(home, request, Some(std::time::Duration::from_secs(10)))
}

/// Asks the daemon of a home, and waits for its answer as long as it takes.
///
/// # Errors
/// [`ControlError::NotRunning`] if none runs.
pub fn ask_patiently(home: &Home, request: &Request) -> Result<Response, ControlError> {
    ask_within(home, request, None)
}

#[cfg(unix)]
fn ask_within(
    home: &Home,
    request: &Request,
    patience: Option<std::time::Duration>,
) -> Result<Response, ControlError> {
    use std::io::{BufRead, BufReader, ErrorKind, Write};
    use std::os::unix::net::UnixStream;

    let not_running = || ControlError::NotRunning(home.root.clone());
    let address = Address::of(home).map_err(|_| not_running())?;
    let mut stream = match UnixStream::connect(&address.path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Err(not_running());
        }
        Err(error) => return Err(error.into()),
    };
    stream.set_read_timeout(patience)?;
    let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer).map_err(io::Error::from)?)
}

/// Always [`ControlError::NotRunning`]: there is no control socket on this system yet.
#[cfg(not(unix))]
fn ask_within(home: &Home, _: &Request, _: Option<std::time::Duration>) -> Result<Response, ControlError> {
    Err(ControlError::NotRunning(home.root.clone()))
}

#[cfg(unix)]
pub(super) mod server {
    use std::os::unix::fs::PermissionsExt;

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::sync::{mpsc, oneshot};
    use tracing::debug;

    use super::{Address, Home, Request, Response, io};

    /// Longest request, in bytes.
    const LONGEST: u64 = 64 << 10;

    /// A request and where its answer goes.
    pub(crate) type Asked = (Request, oneshot::Sender<Response>);

    /// Listens; every request goes to `inbox`. Ends when the inbox does.
    pub(crate) fn listen(home: &Home, inbox: mpsc::Sender<Asked>) -> io::Result<()> {
        let address = Address::of(home)?;
        // The instance lock is ours, so a socket that is still there is a dead daemon's.
        match std::fs::remove_file(home.socket()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&address.path)?;
        std::fs::set_permissions(home.socket(), std::fs::Permissions::from_mode(0o600))?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if !is_ours(&stream) {
                    continue;
                }
                let inbox = inbox.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, &inbox).await {
                        debug!(%error, "a control connection broke off");
                    }
                });
            }
        });
        Ok(())
    }

    /// Only the user who runs the daemon, and root, may steer it.
    fn is_ours(stream: &UnixStream) -> bool {
        let us = rustix::process::geteuid().as_raw();
        stream.peer_cred().is_ok_and(|peer| peer.uid() == us || peer.uid() == 0)
    }

    async fn serve(mut stream: UnixStream, inbox: &mpsc::Sender<Asked>) -> io::Result<()> {
        let (reader, mut writer) = stream.split();
        let mut line = Vec::new();
        BufReader::new(reader.take(LONGEST)).read_until(b'\n', &mut line).await?;
        let response = match serde_json::from_slice(&line) {
            Ok(request) => {
                let (reply, answer) = oneshot::channel();
                let gone = || Response::refusal("the daemon is stopping");
                match inbox.send((request, reply)).await {
                    Ok(()) => answer.await.unwrap_or_else(|_| gone()),
                    Err(_) => gone(),
                }
            }
            Err(error) => Response::refusal(format!("not a request: {error}")),
        };
        let mut answer = serde_json::to_vec(&response)?;
        answer.push(b'\n');
        writer.write_all(&answer).await
    }
}
