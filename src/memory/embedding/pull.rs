//! Fetching the vectors of words: the package `wordllama` of the Python package index, by way of pip, so that mirrors,
//! proxies and credentials are those the user has set up for it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::words::MARK;
use super::{EmbeddingError, WordVectors, place};
use crate::platform;

/// The package, and the SHA-256 of the one file of it that is taken. Which machine that file was built for makes no
/// difference: only its data are read.
const REQUIREMENT: &str = "wordllama==0.4.0.post1 \
    --hash=sha256:42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97\n";
const BUILT_FOR: [&str; 8] = [
    "--platform",
    "manylinux2014_x86_64",
    "--python-version",
    "3.11",
    "--implementation",
    "cp",
    "--abi",
    "cp311",
];
/// Bytes of the download, for those who wait.
pub const DOWNLOAD_BYTES: u64 = 19_155_170;

const WEIGHTS: &str = "wordllama/weights/l2_supercat_256.safetensors";
const TOKENIZER: &str = "wordllama/tokenizers/l2_supercat_tokenizer_config.json";
/// The one tensor of the weights.
const TENSOR: &str = "embedding.weight";

/// Programs that may be Python.
const PYTHONS: [&[&str]; 3] = [&["python3"], &["python"], &["py", "-3"]];

/// Fetches the vectors into the cache folder and makes the file of them that recall reads; where it lies. What pip
/// says goes to this process' stderr.
///
/// # Errors
/// See [`EmbeddingError`]. What was there before stays.
pub fn pull(cache: &Path) -> Result<PathBuf, EmbeddingError> {
    let target = place(cache);
    let folder = target.parent().unwrap_or(cache);
    let broken = |path: &Path| {
        let path = path.to_path_buf();
        move |source| EmbeddingError::File { path, source }
    };
    platform::make_private_dir(folder).map_err(broken(folder))?;
    let work = Folder::make(folder).map_err(broken(folder))?;
    let python = python()?;
    download(python, &work.0)?;
    let weights = std::fs::read(work.0.join(WEIGHTS)).map_err(broken(&work.0.join(WEIGHTS)))?;
    let tokenizer = std::fs::read(work.0.join(TOKENIZER)).map_err(broken(&work.0.join(TOKENIZER)))?;
    let made = work.0.join("made");
    let damaged = |what| EmbeddingError::Damaged { path: target.clone(), what };
    let bytes = convert(&weights, &tokenizer).map_err(damaged)?;
    let mut file = platform::create_private(&made).map_err(broken(&made))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(broken(&made))?;
    WordVectors::open(&made)?;
    std::fs::rename(&made, &target).map_err(broken(&target))?;
    platform::sync_dir(folder).map_err(broken(folder))?;
    Ok(target)
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make(within: &Path) -> io::Result<Self> {
        let path = within.join(format!(".pull-{}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        platform::make_private_dir(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The first Python that has pip.
fn python() -> Result<&'static [&'static str], EmbeddingError> {
    let runs = |python: &&[&str]| {
        let tried = command(python).args(["-m", "pip", "--version"]).stdin(Stdio::null()).output();
        tried.is_ok_and(|output| output.status.success())
    };
    PYTHONS
        .into_iter()
        .find(|python| runs(python))
        .ok_or_else(|| EmbeddingError::NoPython { tried: PYTHONS.map(|python| python.join(" ")).join(", ") })
}

fn command(python: &[&str]) -> Command {
    let (program, args) = python.split_first().unwrap_or((&"python3", &[]));
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Downloads the package and takes its files out. pip compares the hash.
fn download(python: &[&str], work: &Path) -> Result<(), EmbeddingError> {
    let broken = |source| EmbeddingError::File { path: work.to_path_buf(), source };
    let requirements = work.join("requirements.txt");
    File::create(&requirements)
        .and_then(|mut file| file.write_all(REQUIREMENT.as_bytes()))
        .map_err(broken)?;
    let mut pip = command(python);
    pip.args(["-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--require-hashes"])
        .args(BUILT_FOR)
        .arg("--dest")
        .arg(work)
        .arg("-r")
        .arg(&requirements);
    run(&mut pip)?;
    let mut names = std::fs::read_dir(work).map_err(broken)?.filter_map(Result::ok).map(|entry| entry.path());
    let wheel = names.find(|path| path.extension().is_some_and(|end| end == "whl"));
    let wheel = wheel.ok_or_else(|| broken(io::ErrorKind::NotFound.into()))?;
    run(command(python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(work))
}

/// Runs a program whose words are for people: they go to stderr, and its last error into ours.
fn run(command: &mut Command) -> Result<(), EmbeddingError> {
    let failed = |status: String, said: &str| EmbeddingError::Download { status, said: said.to_owned() };
    let child = command.stdin(Stdio::null()).stdout(io::stderr()).stderr(Stdio::piped());
    let output = child.output().map_err(|problem| failed(problem.to_string(), ""))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(failed(output.status.to_string(), last))
}

/// Makes the file out of the package's weights and vocabulary.
fn convert(weights: &[u8], tokenizer: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (rows, length, halves) = tensor(weights).ok_or("the weights are not what was expected")?;
    let pieces = pieces(tokenizer, rows).ok_or("the vocabulary is not what was expected")?;
    let mut vocabulary = Vec::new();
    for piece in &pieces {
        let size = u16::try_from(piece.len()).map_err(|_| "a piece of the vocabulary is too long")?;
        vocabulary.extend_from_slice(&size.to_le_bytes());
        vocabulary.extend_from_slice(piece.as_bytes());
    }
    let mut made = Vec::with_capacity(vocabulary.len() + halves.len() + 64);
    made.extend_from_slice(MARK);
    for number in [rows, length, vocabulary.len()] {
        made.extend_from_slice(&u32::try_from(number).map_err(|_| "too large")?.to_le_bytes());
    }
    let mut hash = blake3::Hasher::new();
    hash.update(&vocabulary).update(halves);
    made.extend_from_slice(&hash.finalize().as_bytes()[..8]);
    made.extend_from_slice(&vocabulary);
    made.extend_from_slice(halves);
    Ok(made)
}

/// Rows, columns and the bytes of the one half-precision matrix of a safetensors file.
fn tensor(file: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (size, rest) = file.split_first_chunk()?;
    let (head, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*size)).ok()?)?;
    let head: serde_json::Value = serde_json::from_slice(head).ok()?;
    let tensor = head.get(TENSOR)?;
    let number = |list: &str, at: usize| usize::try_from(tensor.get(list)?.get(at)?.as_u64()?).ok();
    let (rows, columns) = (number("shape", 0)?, number("shape", 1)?);
    let bytes = data.get(number("data_offsets", 0)?..number("data_offsets", 1)?)?;
    let fits = tensor.get("dtype")? == "F16" && bytes.len() == rows.checked_mul(columns)?.checked_mul(2)?;
    fits.then_some((rows, columns, bytes))
}

/// The pieces of a tokenizer.json in the order of their numbers.
fn pieces(tokenizer: &[u8], count: usize) -> Option<Vec<String>> {
    let tokenizer: serde_json::Value = serde_json::from_slice(tokenizer).ok()?;
    let mut pieces = vec![String::new(); count];
    for (piece, id) in tokenizer.pointer("/model/vocab")?.as_object()? {
        pieces.get_mut(usize::try_from(id.as_u64()?).ok()?)?.clone_from(piece);
    }
    pieces.iter().all(|piece| !piece.is_empty()).then_some(pieces)
}

#[cfg(test)]
pub(in crate::memory) mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::memory::embedding::Reader;

    /// A file of small vectors: each of these words is one piece, and the other pieces are single bytes, which say
    /// nothing.
    pub(in crate::memory) fn made_up(folder: &Path, words: &[(&str, [f32; 4])]) -> PathBuf {
        let mut vocabulary = String::new();
        let mut rows = Vec::new();
        for byte in 0..256 {
            let _ = write!(vocabulary, "{}\"<0x{byte:02X}>\": {byte}", if byte == 0 { "" } else { ", " });
            rows.extend([0; 8]);
        }
        let mut pieces: Vec<(String, [f32; 4])> = Vec::new();
        for (word, vector) in words {
            // A piece is reached by joining shorter ones.
            let marked = format!("▁{word}");
            let ends = marked.char_indices().map(|(at, c)| at + c.len_utf8());
            for end in ends.collect::<Vec<_>>() {
                let (piece, whole) = (&marked[..end], end == marked.len());
                let letter = marked[..end].chars().next_back().unwrap().to_string();
                for text in [letter, piece.to_owned()] {
                    let vector = if whole && text == piece { *vector } else { [0.0; 4] };
                    match pieces.iter_mut().find(|(known, _)| *known == text) {
                        Some(known) if whole && text == piece => known.1 = vector,
                        Some(_) => {}
                        None => pieces.push((text, vector)),
                    }
                }
            }
        }
        for (number, (piece, vector)) in pieces.iter().enumerate() {
            let _ = write!(vocabulary, ", {}: {}", serde_json::to_string(piece).unwrap(), 256 + number);
            for value in vector {
                let half: u16 = match value {
                    1.0 => 0x3c00,
                    0.5 => 0x3800,
                    -1.0 => 0xbc00,
                    _ => 0,
                };
                rows.extend(half.to_le_bytes());
            }
        }
        let head = format!(
            r#"{{"{TENSOR}": {{"dtype": "F16", "shape": [{}, 4], "data_offsets": [0, {}]}}}}"#,
            256 + pieces.len(),
            rows.len()
        );
        let mut weights = (head.len() as u64).to_le_bytes().to_vec();
        weights.extend(head.into_bytes());
        weights.extend(rows);
        let tokenizer = format!(r#"{{"model": {{"vocab": {{{vocabulary}}}}}}}"#);
        let path = folder.join("made-up.vectors");
        std::fs::write(&path, convert(&weights, tokenizer.as_bytes()).unwrap()).unwrap();
        path
    }

    #[test]
    fn a_text_is_the_mean_of_its_words_without_those_that_bear_the_grammar() {
        let folder = tempfile::tempdir().unwrap();
        let path = made_up(folder.path(), &[("sea", [1.0, 0.0, 0.0, 0.0]), ("beach", [0.0, 1.0, 0.0, 0.0])]);
        let mut reader = Reader::new(WordVectors::open(&path).unwrap());
        let half = 0.5_f32.sqrt();
        assert_eq!(reader.text("the sea, and the sea's beach… sea?").unwrap().unwrap()[2..], [0.0, 0.0]);
        assert_eq!(reader.text("beach sea").unwrap(), Some(vec![half, half, 0.0, 0.0]));
        let only = |wanted: &'static str| move |term: &str| (term == wanted).then_some(3.0);
        assert_eq!(reader.weighed("beach sea", only("sea")).unwrap(), Some(vec![1.0, 0.0, 0.0, 0.0]));
        for without in ["", "the and of", "…", "zzz", "\0"] {
            assert_eq!(reader.text(without).unwrap(), None);
        }
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = made_up(folder.path(), &[("sea", [1.0; 4])]);
        let bytes = std::fs::read(&path).unwrap();
        let lying = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xff;
            bytes
        };
        for broken in
            [Vec::new(), bytes[..bytes.len() - 1].to_vec(), b"x".repeat(99), lying(9), lying(13), lying(17)]
        {
            std::fs::write(&path, broken).unwrap();
            let problem = WordVectors::open(&path).unwrap_err();
            assert!(
                matches!(problem, EmbeddingError::Damaged { .. }) && problem.hint().contains("pull"),
                "{problem}"
            );
        }
        assert!(convert(b"", b"{}").is_err() && convert(&u64::MAX.to_le_bytes(), b"{}").is_err());
    }
}
