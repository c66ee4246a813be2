//! Running a program that may misbehave: it is fed and read at the same time, what it writes is bounded, and it dies
//! with all its children when nobody waits for it any more.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// How long the pipes are read on after the program ended and its process group was killed. Only a child that left
/// the group and kept the pipes open makes it last.
const DRAIN: Duration = Duration::from_secs(2);
/// Bytes of a line on standard error that are kept.
const MAX_LINE: usize = 1_000;
/// Bytes of a line on standard output that are kept, where it is read line by line.
#[cfg(feature = "trainer")]
const MAX_OUT_LINE: usize = 64 << 10;
/// Bytes of the end of standard error that are kept.
const TAIL: usize = 1_200;

/// What a program left.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it wrote to standard output.
    pub(crate) stdout: Vec<u8>,
    /// The end of what it wrote to standard error.
    pub(crate) stderr_tail: String,
}

/// Why there is no [`Ended`].
#[derive(Debug)]
pub(crate) enum Failed {
    /// It could not be started.
    Start(io::Error),
    /// It wrote more than it may, and was killed.
    Flooded,
    /// Its pipes broke, or it could not be waited for.
    Pipes(io::Error),
}

/// Runs a program in a process group of its own, with `input` on standard input. At most `max_output` bytes are read
/// from standard output; each line on standard error is handed to `on_line`, cut to a bounded length.
///
/// When the program ends, or this future is dropped, all that is left of its process group is killed.
pub(crate) async fn run(
    mut command: Command,
    input: &[u8],
    max_output: usize,
    on_line: impl FnMut(&str),
) -> Result<Ended, Failed> {
    let mut running = Running::start(&mut command, Stdio::piped())?;
    let (stdin, out, err) = running.pipes();
    let mut stdout = Vec::new();
    let mut stderr = Lines::new(on_line, MAX_LINE);
    let pipes = async {
        tokio::try_join!(feed(stdin, input), read(out, max_output, &mut stdout), stderr.read(err)).map(drop)
    };
    let status = running.wait(pipes).await?;
    Ok(Ended { status, stdout, stderr_tail: stderr.finish() })
}

/// Runs a program in a process group of its own, without standard input, and hands each line that it writes to
/// `on_out` and `on_err` as it comes. Lines are cut to a bounded length.
///
/// When the program ends, or this future is dropped, all that is left of its process group is killed.
#[cfg(feature = "trainer")]
pub(crate) async fn run_lines(
    mut command: Command,
    on_out: impl FnMut(&str),
    on_err: impl FnMut(&str),
) -> Result<Ended, Failed> {
    let mut running = Running::start(&mut command, Stdio::null())?;
    let (_, out, err) = running.pipes();
    let mut stdout = Lines::new(on_out, MAX_OUT_LINE);
    let mut stderr = Lines::new(on_err, MAX_LINE);
    let status =
        running.wait(async { tokio::try_join!(stdout.read(out), stderr.read(err)).map(drop) }).await?;
    stdout.finish();
    Ok(Ended { status, stdout: Vec::new(), stderr_tail: stderr.finish() })
}

/// A program and its group.
struct Running {
    // Dropped first: the group is killed while its leader's number is still taken.
    group: Group,
    child: Child,
}

impl Running {
    fn start(command: &mut Command, stdin: Stdio) -> Result<Self, Failed> {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(Failed::Start)?;
        Ok(Running { group: Group::of(&child), child })
    }

    fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }

    /// Waits for the program while `pipes` are read, and kills what it leaves behind.
    async fn wait(mut self, pipes: impl Future<Output = Result<(), Failed>>) -> Result<ExitStatus, Failed> {
        tokio::pin!(pipes);
        let status = tokio::select! {
            closed = &mut pipes => {
                closed?;
                let status = self.child.wait().await;
                self.group.kill();
                status
            }
            status = self.child.wait() => {
                self.group.kill();
                // An escaped child that holds the pipes open does not hold us: what was read by then counts.
                if let Ok(closed) = tokio::time::timeout(DRAIN, &mut pipes).await {
                    closed?;
                }
                status
            }
        };
        status.map_err(Failed::Pipes)
    }
}

/// Writes the input and closes the pipe. A program may stop reading when it likes.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) -> Result<(), Failed> {
    if let Some(mut stdin) = stdin {
        match stdin.write_all(input).await {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(Failed::Pipes(error)),
            _ => {}
        }
    }
    Ok(())
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, max: usize, out: &mut Vec<u8>) -> Result<(), Failed> {
    if let Some(pipe) = pipe {
        let limit = (max as u64).saturating_add(1);
        pipe.take(limit).read_to_end(out).await.map_err(Failed::Pipes)?;
    }
    if out.len() > max { Err(Failed::Flooded) } else { Ok(()) }
}

/// Cuts what a program writes into lines without ever holding much of it.
struct Lines<F> {
    on_line: F,
    longest: usize,
    line: Vec<u8>,
    tail: Vec<u8>,
}

impl<F: FnMut(&str)> Lines<F> {
    fn new(on_line: F, longest: usize) -> Self {
        Lines { on_line, longest, line: Vec::new(), tail: Vec::new() }
    }

    async fn read(&mut self, pipe: Option<impl AsyncRead + Unpin>) -> Result<(), Failed> {
        let Some(mut pipe) = pipe else { return Ok(()) };
        let mut buffer = [0; 4096];
        loop {
            let count = pipe.read(&mut buffer).await.map_err(Failed::Pipes)?;
            match buffer.get(..count) {
                Some(chunk) if count > 0 => self.take(chunk),
                _ => return Ok(()),
            }
        }
    }

    fn take(&mut self, chunk: &[u8]) {
        self.tail.extend_from_slice(chunk);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        let mut pieces = chunk.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = self.longest.saturating_sub(self.line.len()).min(piece.len());
            self.line.extend(piece.iter().take(room));
            if pieces.peek().is_some() {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        if !line.trim().is_empty() {
            (self.on_line)(line.trim_end());
        }
        self.line.clear();
    }

    fn finish(mut self) -> String {
        self.end_line();
        String::from_utf8_lossy(&self.tail).trim().to_owned()
    }
}

/// The process group of a program; killed when dropped.
struct Group(#[cfg(unix)] Option<rustix::process::Pid>);

#[cfg(unix)]
impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Group(id.and_then(rustix::process::Pid::from_raw))
    }

    /// Once only: when the leader is gone and nothing is left of the group, its number may be given away.
    fn kill(&mut self) {
        if let Some(leader) = self.0.take() {
            // An error means that nobody is left.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// Without process groups `kill_on_drop` ends the program itself.
#[cfg(not(unix))]
impl Group {
    fn of(_: &Child) -> Self {
        Group()
    }

    fn kill(&mut self) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
