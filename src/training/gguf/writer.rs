//! Writing: metadata, entries, data, each tensor's bytes asked for when it is its turn, in as many pieces as suits.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::{Gguf, GgufError, TensorInfo, TensorType, Value};

/// A file in the making.
#[derive(Debug, Default)]
pub struct GgufWriter {
    pairs: u64,
    pair_bytes: Vec<u8>,
    alignment: u64,
    tensors: Vec<TensorInfo>,
    end: u64,
}

/// Takes the next bytes of a tensor.
pub type Put<'a> = dyn FnMut(&[u8]) -> Result<(), GgufError> + 'a;

/// What a tensor's bytes are taken from.
pub type Content<'a> = dyn FnMut(&TensorInfo, &mut Put<'_>) -> Result<(), GgufError> + 'a;

/// Bytes after which what was written is brought to the disk, so that the last sync is a short one.
const SYNC_EVERY: u64 = 32 << 20;

impl GgufWriter {
    /// An empty file with the usual alignment.
    pub fn new() -> Self {
        GgufWriter { alignment: 32, ..GgufWriter::default() }
    }

    /// A file that has another's metadata, byte for byte.
    pub fn with_metadata_of(other: &Gguf) -> Result<Self, GgufError> {
        let (pairs, pair_bytes) = other.raw_pairs()?;
        Ok(GgufWriter { pairs, pair_bytes, alignment: other.alignment(), ..GgufWriter::default() })
    }

    /// Adds a value to the metadata: numbers as `u32` where they fit.
    pub fn pair(&mut self, key: &str, value: &Value) {
        self.pairs += 1;
        text(&mut self.pair_bytes, key);
        let out = &mut self.pair_bytes;
        match value {
            Value::Unsigned(n) => match u32::try_from(*n) {
                Ok(small) => typed(out, 4, &small.to_le_bytes()),
                Err(_) => typed(out, 10, &n.to_le_bytes()),
            },
            Value::Signed(n) => match i32::try_from(*n) {
                Ok(small) => typed(out, 5, &small.to_le_bytes()),
                Err(_) => typed(out, 11, &n.to_le_bytes()),
            },
            Value::F32(x) => typed(out, 6, &x.to_le_bytes()),
            Value::F64(x) => typed(out, 12, &x.to_le_bytes()),
            Value::Bool(truth) => typed(out, 7, &[u8::from(*truth)]),
            Value::Text(string) => {
                out.extend_from_slice(&8u32.to_le_bytes());
                text(out, string);
            }
            Value::Texts(strings) => {
                list(out, 8, strings.len());
                strings.iter().for_each(|string| text(out, string));
            }
            Value::Integers(numbers) => {
                let small = numbers.iter().all(|n| i32::try_from(*n).is_ok());
                list(out, if small { 5 } else { 11 }, numbers.len());
                for number in numbers {
                    let bytes = number.to_le_bytes();
                    out.extend_from_slice(if small { &bytes[..4] } else { &bytes });
                }
            }
            Value::Floats(numbers) => {
                list(out, 6, numbers.len());
                numbers.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
            }
            Value::Other(_) => list(out, 0, 0),
        }
    }

    /// Adds a tensor's entry; its bytes are asked for by [`write`](Self::write).
    pub fn tensor(&mut self, name: &str, sizes: &[u64], kind: TensorType) -> Result<(), GgufError> {
        let weights = sizes.iter().try_fold(1u64, |all, size| all.checked_mul(*size));
        let bytes = weights.and_then(|weights| kind.bytes_for(weights)).ok_or_else(|| {
            GgufError::damaged(format!("tensor {name:?} does not fill whole blocks of {kind:?}"))
        })?;
        self.tensors.push(TensorInfo {
            name: name.to_owned(),
            sizes: sizes.to_vec(),
            kind,
            offset: self.end,
            bytes,
        });
        self.end = (self.end + bytes).next_multiple_of(self.alignment);
        Ok(())
    }

    /// Writes the file and puts it on stable storage.
    pub fn write(self, path: &Path, content: &mut Content<'_>) -> Result<(), GgufError> {
        let io = |source| GgufError::Io { path: path.to_path_buf(), source };
        let mut out = BufWriter::with_capacity(1 << 18, create_private(path).map_err(io)?);
        let mut unsynced = 0;
        let mut header = Vec::with_capacity(self.pair_bytes.len() + 96 * self.tensors.len() + 64);
        header.extend_from_slice(b"GGUF");
        header.extend_from_slice(&3u32.to_le_bytes());
        header.extend_from_slice(&(self.tensors.len() as u64).to_le_bytes());
        header.extend_from_slice(&self.pairs.to_le_bytes());
        header.extend_from_slice(&self.pair_bytes);
        for tensor in &self.tensors {
            text(&mut header, &tensor.name);
            header.extend_from_slice(&(tensor.sizes.len() as u32).to_le_bytes());
            tensor.sizes.iter().for_each(|size| header.extend_from_slice(&size.to_le_bytes()));
            header.extend_from_slice(&tensor.kind.number().to_le_bytes());
            header.extend_from_slice(&tensor.offset.to_le_bytes());
        }
        header.resize(header.len().next_multiple_of(self.alignment as usize), 0);
        out.write_all(&header).map_err(io)?;
        for tensor in &self.tensors {
            let mut got = 0;
            content(tensor, &mut |bytes| {
                got += bytes.len() as u64;
                unsynced += bytes.len() as u64;
                out.write_all(bytes).map_err(io)?;
                if unsynced > SYNC_EVERY {
                    unsynced = 0;
                    out.flush().and_then(|()| out.get_ref().sync_data()).map_err(io)?;
                }
                Ok(())
            })?;
            if got != tensor.bytes {
                return Err(GgufError::damaged(format!(
                    "tensor {:?} got bytes of another size",
                    tensor.name
                )));
            }
            let padding = tensor.bytes.next_multiple_of(self.alignment) - tensor.bytes;
            out.write_all(&vec![0; padding as usize]).map_err(io)?;
        }
        let file = out.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(io)
    }
}

fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn text(out: &mut Vec<u8>, string: &str) {
    out.extend_from_slice(&(string.len() as u64).to_le_bytes());
    out.extend_from_slice(string.as_bytes());
}

fn typed(out: &mut Vec<u8>, kind: u32, bytes: &[u8]) {
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn list(out: &mut Vec<u8>, kind: u32, count: usize) {
    typed(out, 9, &kind.to_le_bytes());
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(path: &Path) {
        let mut file = GgufWriter::new();
        file.pair("general.architecture", &Value::Text("llama".into()));
        file.pair("a.number", &Value::Unsigned(7));
        file.pair("a.large", &Value::Unsigned(1 << 40));
        file.pair("a.float", &Value::F32(0.5));
        file.pair("a.truth", &Value::Bool(true));
        file.pair("a.texts", &Value::Texts(vec!["x".into(), "Ġy".into()]));
        file.pair("a.numbers", &Value::Integers(vec![1, -2, 3]));
        file.pair("a.floats", &Value::Floats(vec![1.0, -0.25]));
        file.tensor("odd", &[3], TensorType::F32).unwrap();
        file.tensor("block", &[32, 2], TensorType::Q8_0).unwrap();
        file.write(path, &mut |tensor, put| (0..tensor.bytes).try_for_each(|n| put(&[n as u8]))).unwrap();
    }

    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        sample(&path);
        let file = Gguf::open(&path).unwrap();
        assert_eq!(file.text("general.architecture").unwrap(), "llama");
        assert_eq!(file.number("a.number").unwrap(), 7);
        assert_eq!(file.number("a.large").unwrap(), 1 << 40);
        assert_eq!(file.get("a.truth").and_then(Value::as_bool), Some(true));
        assert_eq!(file.get("a.texts").and_then(Value::as_texts).unwrap(), ["x", "Ġy"]);
        assert_eq!(file.get("a.numbers").and_then(Value::as_integers).unwrap(), [1, -2, 3]);
        assert_eq!(file.get("a.floats").and_then(Value::as_floats).unwrap(), [1.0, -0.25]);
        assert_eq!(file.bytes("odd").unwrap(), (0..12).collect::<Vec<u8>>());
        assert_eq!(file.bytes("block").unwrap(), (0..68).collect::<Vec<u8>>());
        assert!(matches!(file.bytes("none"), Err(GgufError::Tensor(_))));

        let copy = folder.path().join("b.gguf");
        let mut writer = GgufWriter::with_metadata_of(&file).unwrap();
        for tensor in file.tensors() {
            writer.tensor(&tensor.name, &tensor.sizes, tensor.kind).unwrap();
        }
        writer.write(&copy, &mut |tensor, put| put(&file.bytes(&tensor.name)?)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&copy).unwrap());
    }

    #[test]
    fn a_cut_or_flipped_file_is_an_error_and_never_a_panic_or_a_huge_allocation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        sample(&path);
        let good = std::fs::read(&path).unwrap();
        let bad = folder.path().join("bad.gguf");
        for end in 0..good.len() {
            std::fs::write(&bad, &good[..end]).unwrap();
            let error = Gguf::open(&bad);
            assert!(error.is_err() || end >= good.len() - 32, "cut at {end}");
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..3000 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len());
                bytes[at] = if random.bool() { 0xff } else { random.u8(..) };
            }
            std::fs::write(&bad, &bytes).unwrap();
            if let Ok(file) = Gguf::open(&bad) {
                for tensor in file.tensors() {
                    let _ = file.floats(&tensor.name);
                }
            }
        }
    }
}
