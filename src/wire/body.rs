//! A body that is read from a file while it is sent, so that a model of many gigabytes needs no memory.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// Bytes that are read and sent at once.
const PIECE: usize = 1 << 18;
/// Pieces that wait to be sent.
const AHEAD: usize = 4;

/// The content of a file between a head and a tail.
pub(crate) struct FileBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl FileBody {
    /// A file as it is. Must be called inside a tokio runtime.
    pub(crate) fn of(file: File) -> io::Result<Self> {
        Self::between(Vec::new(), file, Vec::new())
    }

    /// A file with something before and behind it. Must be called inside a tokio runtime.
    pub(crate) fn between(head: Vec<u8>, mut file: File, tail: Vec<u8>) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let left = length + head.len() as u64 + tail.len() as u64;
        let (sender, pieces) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            let mut send = |piece: io::Result<Bytes>| sender.blocking_send(piece).is_ok();
            if !send(Ok(head.into())) {
                return;
            }
            match read(&mut file, length, &mut send) {
                Ok(true) => drop(send(Ok(tail.into()))),
                Ok(false) => {}
                Err(error) => drop(send(Err(error))),
            }
        });
        Ok(FileBody { pieces, left })
    }

    /// How many bytes will be sent.
    pub(crate) fn length(&self) -> u64 {
        self.left
    }
}

/// Reads exactly `left` bytes; `false` if nobody takes them any more.
fn read(
    file: &mut File,
    mut left: u64,
    send: &mut impl FnMut(io::Result<Bytes>) -> bool,
) -> io::Result<bool> {
    while left > 0 {
        let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
        file.read_exact(&mut piece)?;
        left -= piece.len() as u64;
        if !send(Ok(piece.into())) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(cx).map(|piece| {
            piece.map(|piece| {
                piece.map(|piece| {
                    self.left = self.left.saturating_sub(piece.len() as u64);
                    Frame::data(piece)
                })
            })
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
