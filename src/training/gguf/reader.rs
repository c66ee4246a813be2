//! Reading: the header in one pass, tensors by position when they are asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{GgufError, TensorType, Value, expand};

/// Longest name of a key or a tensor.
const LONGEST_NAME: u64 = 1 << 16;

/// An open GGUF file.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    file: File,
    metadata: HashMap<String, Value>,
    tensors: Vec<TensorInfo>,
    index: HashMap<String, usize>,
    pairs: u64,
    pairs_at: Range<u64>,
    data_at: u64,
    alignment: u64,
}

/// A tensor's entry in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// For example `blk.0.attn_q.weight`.
    pub name: String,
    /// Sizes, the fastest running first: a weight matrix is `[in, out]`.
    pub sizes: Vec<u64>,
    /// How it is stored.
    pub kind: TensorType,
    /// Where its bytes begin, counted from the start of the data.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

impl TensorInfo {
    /// Weights in the tensor.
    pub fn weights(&self) -> u64 {
        self.sizes.iter().product()
    }
}

impl Gguf {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let io = |source| GgufError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut header = Header { input: BufReader::with_capacity(1 << 16, &file), left: length, length };
        let parsed = header.parse().map_err(|error| match error {
            Broken::Io(source) => GgufError::Io { path: path.to_path_buf(), source },
            Broken::Gguf(error) => error,
        })?;
        let Parsed { metadata, tensors, pairs, pairs_at, data_at, alignment } = parsed;
        let mut index = HashMap::with_capacity(tensors.len());
        for (at, tensor) in tensors.iter().enumerate() {
            if index.insert(tensor.name.clone(), at).is_some() {
                return Err(GgufError::damaged(format!("tensor {:?} stands twice", tensor.name)));
            }
        }
        Ok(Gguf {
            path: path.to_path_buf(),
            file,
            metadata,
            tensors,
            index,
            pairs,
            pairs_at,
            data_at,
            alignment,
        })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A value of the metadata.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// The keys of the metadata, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.metadata.keys().map(String::as_str)
    }

    /// A text of the metadata.
    pub fn text(&self, key: &str) -> Result<&str, GgufError> {
        self.get(key).and_then(Value::as_str).ok_or_else(|| GgufError::Key(key.into()))
    }

    /// A whole number of the metadata.
    pub fn number(&self, key: &str) -> Result<u64, GgufError> {
        self.get(key).and_then(Value::as_u64).ok_or_else(|| GgufError::Key(key.into()))
    }

    /// A float of the metadata.
    pub fn float(&self, key: &str) -> Result<f32, GgufError> {
        self.get(key).and_then(Value::as_f32).ok_or_else(|| GgufError::Key(key.into()))
    }

    /// The tensors in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The entry of a tensor.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.index.get(name).and_then(|at| self.tensors.get(*at))
    }

    /// The bytes of a tensor as they are stored.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, GgufError> {
        let tensor = self.tensor(name).ok_or_else(|| GgufError::Tensor(name.into()))?;
        let length = usize::try_from(tensor.bytes).map_err(|_| GgufError::damaged("too large a tensor"))?;
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, self.data_at + tensor.offset)?;
        Ok(bytes)
    }

    /// The bytes of a tensor in order, so many at a time; fewer are in the last piece.
    pub fn pieces(
        &self,
        name: &str,
        most: usize,
        take: &mut dyn FnMut(&[u8]) -> Result<(), GgufError>,
    ) -> Result<(), GgufError> {
        let tensor = self.tensor(name).ok_or_else(|| GgufError::Tensor(name.into()))?;
        let mut piece = vec![0; most.max(1)];
        let mut done = 0;
        while done < tensor.bytes {
            let count = usize::try_from(tensor.bytes - done).unwrap_or(most).min(piece.len());
            let piece = &mut piece[..count];
            self.read_at(piece, self.data_at + tensor.offset + done)?;
            take(piece)?;
            done += count as u64;
        }
        Ok(())
    }

    /// A tensor expanded to `f32`.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, GgufError> {
        let bytes = self.bytes(name)?;
        let tensor = self.tensor(name).ok_or_else(|| GgufError::Tensor(name.into()))?;
        let mut floats = vec![0.0; usize::try_from(tensor.weights()).unwrap_or(0)];
        expand(tensor.kind, &bytes, &mut floats);
        Ok(floats)
    }

    /// The number of key–value pairs and their bytes, to be copied as they are.
    pub(crate) fn raw_pairs(&self) -> Result<(u64, Vec<u8>), GgufError> {
        let length = self.pairs_at.end - self.pairs_at.start;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.read_at(&mut bytes, self.pairs_at.start)?;
        Ok((self.pairs, bytes))
    }

    /// What tensors' offsets are multiples of.
    pub(crate) fn alignment(&self) -> u64 {
        self.alignment
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> Result<(), GgufError> {
        read_exact_at(&self.file, into, at)
            .map_err(|source| GgufError::Io { path: self.path.clone(), source })
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, into: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut into: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !into.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, into, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                into = into.split_at_mut(read).1;
                at += read as u64;
            }
        }
    }
    Ok(())
}

enum Broken {
    Io(std::io::Error),
    Gguf(GgufError),
}

impl From<GgufError> for Broken {
    fn from(error: GgufError) -> Self {
        Broken::Gguf(error)
    }
}

struct Parsed {
    metadata: HashMap<String, Value>,
    tensors: Vec<TensorInfo>,
    pairs: u64,
    pairs_at: Range<u64>,
    data_at: u64,
    alignment: u64,
}

/// The header on its way in; `left` bounds everything that is read from it.
struct Header<'a> {
    input: BufReader<&'a File>,
    left: u64,
    length: u64,
}

impl Header<'_> {
    fn parse(&mut self) -> Result<Parsed, Broken> {
        if self.left < 24 || self.array::<4>()? != *b"GGUF" {
            return Err(GgufError::NotGguf.into());
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version(version).into());
        }
        let count = self.u64()?;
        let pairs = self.u64()?;
        // A pair takes at least 13 bytes, a tensor's entry at least 24.
        if pairs > self.left / 13 || count > self.left / 24 {
            return Err(GgufError::damaged("more entries than the file can hold").into());
        }
        let pairs_from = self.position()?;
        let mut metadata = HashMap::new();
        for _ in 0..pairs {
            let key = self.text(LONGEST_NAME)?;
            let kind = self.u32()?;
            let value = self.value(kind)?;
            if metadata.contains_key(&key) {
                return Err(GgufError::damaged(format!("key {key:?} stands twice")).into());
            }
            metadata.insert(key, value);
        }
        let pairs_at = pairs_from..self.position()?;
        let alignment = metadata.get("general.alignment").map_or(Some(32), Value::as_u64);
        let alignment = alignment
            .filter(|a| a.is_power_of_two() && (1..=1 << 20).contains(a))
            .ok_or_else(|| GgufError::damaged("an alignment that is no power of two"))?;
        let mut tensors = Vec::new();
        for _ in 0..count {
            tensors.push(self.tensor()?);
        }
        let data_at = self.position()?.next_multiple_of(alignment);
        let data = self.length.saturating_sub(data_at);
        for tensor in &tensors {
            let inside = tensor.offset.checked_add(tensor.bytes).is_some_and(|end| end <= data);
            if !inside || !tensor.offset.is_multiple_of(alignment) {
                return Err(GgufError::damaged(format!(
                    "tensor {:?} does not lie in the file; it may have been cut off while it was copied",
                    tensor.name
                ))
                .into());
            }
        }
        Ok(Parsed { metadata, tensors, pairs, pairs_at, data_at, alignment })
    }

    fn tensor(&mut self) -> Result<TensorInfo, Broken> {
        let name = self.text(LONGEST_NAME)?;
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(GgufError::damaged(format!("tensor {name:?} has {dimensions} dimensions")).into());
        }
        let mut sizes = Vec::with_capacity(4);
        for _ in 0..dimensions {
            sizes.push(self.u64()?);
        }
        let number = self.u32()?;
        let offset = self.u64()?;
        let Some(kind) = TensorType::from_number(number) else {
            return Err(GgufError::TensorType { name, kind: number }.into());
        };
        let weights = sizes.iter().try_fold(1u64, |all, size| all.checked_mul(*size));
        let whole_rows = sizes.first().is_some_and(|row| row.is_multiple_of(kind.block_weights() as u64));
        match weights.filter(|_| whole_rows).and_then(|weights| kind.bytes_for(weights)) {
            Some(bytes) => Ok(TensorInfo { name, sizes, kind, offset, bytes }),
            None => Err(GgufError::damaged(format!("tensor {name:?} has impossible sizes")).into()),
        }
    }

    fn value(&mut self, kind: u32) -> Result<Value, Broken> {
        Ok(match kind {
            0 => Value::Unsigned(u64::from(self.array::<1>()?[0])),
            1 => Value::Signed(i64::from(i8::from_le_bytes(self.array()?))),
            2 => Value::Unsigned(u64::from(u16::from_le_bytes(self.array()?))),
            3 => Value::Signed(i64::from(i16::from_le_bytes(self.array()?))),
            4 => Value::Unsigned(u64::from(self.u32()?)),
            5 => Value::Signed(i64::from(i32::from_le_bytes(self.array()?))),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => Value::Bool(self.array::<1>()?[0] != 0),
            8 => Value::Text(self.text(u64::MAX)?),
            9 => self.list()?,
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            other => return Err(GgufError::damaged(format!("a value of unknown type {other}")).into()),
        })
    }

    fn list(&mut self) -> Result<Value, Broken> {
        let kind = self.u32()?;
        let count = self.u64()?;
        let smallest = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            _ => return Err(GgufError::damaged(format!("a list of type {kind}")).into()),
        };
        if count > self.left / smallest {
            return Err(GgufError::damaged("a list longer than the file").into());
        }
        Ok(match kind {
            8 => Value::Texts((0..count).map(|_| self.text(u64::MAX)).collect::<Result<_, _>>()?),
            6 => Value::Floats(self.items(count, |value| value.as_f32())?),
            0..=5 | 10 | 11 => {
                let integer = |value: Value| match value {
                    Value::Unsigned(n) => Some(n as i64),
                    Value::Signed(n) => Some(n),
                    _ => None,
                };
                let mut numbers = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
                for _ in 0..count {
                    numbers.extend(integer(self.value(kind)?));
                }
                Value::Integers(numbers)
            }
            _ => {
                for _ in 0..count {
                    self.value(kind)?;
                }
                Value::Other(count)
            }
        })
    }

    fn items(&mut self, count: u64, take: fn(&Value) -> Option<f32>) -> Result<Vec<f32>, Broken> {
        let mut all = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        for _ in 0..count {
            all.extend(take(&self.value(6)?));
        }
        Ok(all)
    }

    fn text(&mut self, longest: u64) -> Result<String, Broken> {
        let length = self.u64()?;
        if length > self.left.min(longest) {
            return Err(GgufError::damaged("a text longer than the file").into());
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| GgufError::damaged("a text that is not UTF-8").into())
    }

    fn u32(&mut self) -> Result<u32, Broken> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Broken> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<(), Broken> {
        self.left = self
            .left
            .checked_sub(into.len() as u64)
            .ok_or_else(|| GgufError::damaged("it ends in the middle of its header"))?;
        self.input.read_exact(into).map_err(Broken::Io)
    }

    fn position(&mut self) -> Result<u64, Broken> {
        self.input.stream_position().map_err(Broken::Io)
    }
}
