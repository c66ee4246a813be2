//! Logs that a program has compressed with Zstandard, read as a stream.

use std::io::{self, BufRead, Error, ErrorKind, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The largest window a frame may ask for, in bytes: it is held in memory. The common levels take 8 MiB at most.
const LARGEST_WINDOW: u64 = 32 << 20;
/// How far a file may expand, and from how many bytes on that counts: as with entries of a zip.
const MOST_RATIO: u64 = 300;
const RATIO_COUNTS_FROM: u64 = 64 << 20;

/// The content of a compressed file, frame after frame.
pub(super) struct Unpacked<R> {
    source: R,
    decoder: FrameDecoder,
    /// Whether a frame was begun and is not over.
    within: bool,
    /// The size of the file, and what came out of it.
    packed: u64,
    unpacked: u64,
}

impl<R: BufRead> Unpacked<R> {
    /// Unpacks a file of so many bytes.
    pub(super) fn new(source: R, packed: u64) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(LARGEST_WINDOW);
        Unpacked { source, decoder, within: false, packed, unpacked: 0 }
    }

    /// Begins the next frame; `false` at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => {
                    self.within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(problem) => return Err(damaged(&problem)),
            }
        }
        Ok(false)
    }
}

fn damaged(problem: &FrameDecoderError) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the compressed file is damaged, or not whole: {problem}"))
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, one).map_err(|problem| damaged(&problem))?;
            }
            let read = self.decoder.read(buffer)?;
            self.unpacked += read as u64;
            if self.unpacked > RATIO_COUNTS_FROM && self.unpacked / MOST_RATIO > self.packed {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    "it expands to more than 300 times its size: refused as a bomb",
                ));
            }
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.within = false;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    pub(crate) fn packed(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        Unpacked::new(bytes, bytes.len() as u64).read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn frames_follow_each_other_and_what_is_to_be_skipped_is() {
        let skipped = [b"\x50\x2a\x4d\x18\x03\0\0\0".as_slice(), b"abc"].concat();
        let file = [packed(b"one,"), skipped, packed(&b"two".repeat(100_000))].concat();
        let expected = [b"one,".as_slice(), &b"two".repeat(100_000)].concat();
        assert!(unpacked(&file).unwrap() == expected);
        assert!(unpacked(b"").unwrap().is_empty());
    }

    #[test]
    fn a_bomb_is_stopped_and_so_is_one_that_asks_for_a_huge_window() {
        let bomb = packed(&vec![b' '; (RATIO_COUNTS_FROM + (1 << 20)) as usize]);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        assert!(unpacked(&bomb).unwrap_err().to_string().contains("bomb"));
        // A frame with a window of 2 GiB, and one empty block.
        let window = [b"\x28\xb5\x2f\xfd".as_slice(), &[0, 21 << 3, 1, 0, 0]].concat();
        assert!(unpacked(&window).unwrap_err().to_string().contains("indow"));
    }

    #[test]
    fn damage_anywhere_is_an_error_or_other_text_and_never_a_panic() {
        let text: Vec<u8> =
            (0..4000_u32).flat_map(|n| format!("{{\"line\": {}}}\n", n * n).into_bytes()).collect();
        let whole = packed(&text);
        for at in 0..whole.len().min(3000) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            let _ = unpacked(&bytes);
            assert!(unpacked(&whole[..at]).is_err() || at == 0, "cut at {at}");
        }
    }
}
