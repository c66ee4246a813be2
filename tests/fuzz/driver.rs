use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::mutate::Mutator;

/// No input may take longer.
const SLOWEST: Duration = Duration::from_secs(1);
/// No input may raise the peak of the process by more than ten times its size and this, which is for what the
/// targets that run beside it take.
const ROOM: u64 = 64 << 20;
/// How many inputs are tried between two looks at that peak.
const LOOK: u64 = 64;
/// An input that takes this long will not end: the process is ended in its place.
const HUNG: Duration = Duration::from_secs(60);
/// What a thread of the daemon has. Recursion without end shows.
const STACK: usize = 2 << 20;

/// Something that takes bytes from outside.
pub(crate) trait Target {
    /// Its folder in the corpus.
    const NAME: &'static str;
    /// Inputs tried under `cargo test`.
    const INPUTS: u64;
    /// Ways to take an input. Those of the corpus are tried in all of them.
    const VARIANTS: usize;
    /// Words that lead deep into it.
    const WORDS: &'static [&'static str];

    fn new() -> Self;

    /// What inputs are made from.
    fn seeds() -> Vec<Vec<u8>>;

    /// Takes an input; panics if something does not hold.
    fn take(&mut self, input: &[u8], variant: usize);
}

/// What is being tried right now.
type Current = Arc<Mutex<(Option<Instant>, Vec<u8>)>>;

fn locked(current: &Current) -> MutexGuard<'_, (Option<Instant>, Vec<u8>)> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// Tries the corpus, then inputs made from a seed.
pub(crate) fn fuzz<T: Target + 'static>() {
    let inputs = number("FUZZ_INPUTS").unwrap_or(T::INPUTS);
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let current = Current::default();
    let (over, is_over) = mpsc::channel::<()>();
    let watched = Arc::clone(&current);
    std::thread::spawn(move || {
        while is_over.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
            let (since, input) = &*locked(&watched);
            if since.is_some_and(|since| since.elapsed() > HUNG) {
                eprintln!(
                    "{}: no end in {HUNG:?}; the input is in {}",
                    T::NAME,
                    kept(T::NAME, input).display()
                );
                std::process::abort();
            }
        }
    });
    let work = move || Run::<T>::new(seed, current).all(inputs);
    let result =
        std::thread::Builder::new().name(T::NAME.into()).stack_size(STACK).spawn(work).unwrap().join();
    drop(over);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

struct Run<T> {
    target: T,
    seed: u64,
    current: Current,
    trace: bool,
    slowest: Duration,
    /// The longest input since the last look at the peak, and the peak then.
    longest: usize,
    peak: u64,
}

impl<T: Target> Run<T> {
    fn new(seed: u64, current: Current) -> Self {
        let trace = std::env::var_os("FUZZ_TRACE").is_some();
        let target = T::new();
        Run { target, seed, current, trace, slowest: Duration::ZERO, longest: 0, peak: peak() }
    }

    fn all(mut self, inputs: u64) {
        let began = Instant::now();
        let corpus = corpus(T::NAME);
        for (name, input) in &corpus {
            for variant in 0..T::VARIANTS {
                self.one(input, variant, &format!("{name} of the corpus"));
            }
        }
        let mut seeds = T::seeds();
        seeds.extend(corpus.into_iter().map(|(_, input)| input));
        for seed in &seeds {
            self.one(seed, 0, "a seed");
        }
        let mutator = Mutator::new(seeds, T::WORDS);
        for number in 0..inputs {
            // Each number has a generator of its own, so that what one input draws does not move the others.
            let mut rng = Rng::with_seed(blake3_of(self.seed, number));
            let input = mutator.input(&mut rng);
            let variant = rng.usize(..T::VARIANTS);
            self.one(&input, variant, &format!("input {number} of seed {}", self.seed));
            if number % LOOK == LOOK - 1 {
                self.look_at_the_peak(number);
            }
        }
        eprintln!(
            "fuzz {}: {inputs} inputs, seed {}, {:.1} s, the slowest {} ms",
            T::NAME,
            self.seed,
            began.elapsed().as_secs_f64(),
            self.slowest.as_millis()
        );
    }

    fn one(&mut self, input: &[u8], variant: usize, what: &str) {
        if self.trace {
            kept(T::NAME, input);
        }
        self.longest = self.longest.max(input.len());
        // The machine may have been busy with others: what is slow twice more is slow.
        let mut fastest = Duration::MAX;
        for _ in 0..3 {
            let began = Instant::now();
            self.begin(input, began);
            let tried = catch_unwind(AssertUnwindSafe(|| self.target.take(input, variant)));
            locked(&self.current).0 = None;
            fastest = fastest.min(began.elapsed());
            assert!(
                tried.is_ok(),
                "{} panicked over {what}, variant {variant}; copy {} to tests/fuzz/corpus/{}/",
                T::NAME,
                kept(T::NAME, input).display(),
                T::NAME
            );
            if fastest <= SLOWEST {
                break;
            }
        }
        self.slowest = self.slowest.max(fastest);
        assert!(
            fastest <= SLOWEST,
            "{} took {fastest:?} for {what} of {} bytes, variant {variant}; copy {} to tests/fuzz/corpus/{}/",
            T::NAME,
            input.len(),
            kept(T::NAME, input).display(),
            T::NAME
        );
    }

    fn look_at_the_peak(&mut self, number: u64) {
        let now = peak();
        let (grown, allowed) = (now.saturating_sub(self.peak), 10 * self.longest as u64 + ROOM);
        assert!(
            grown <= allowed,
            "{}: one of the {LOOK} inputs up to {number} of seed {} took {grown} bytes, {} is the longest",
            T::NAME,
            self.seed,
            self.longest
        );
        (self.longest, self.peak) = (0, now);
    }

    fn begin(&self, input: &[u8], began: Instant) {
        let mut current = locked(&self.current);
        current.0 = Some(began);
        current.1.clear();
        current.1.extend_from_slice(input);
    }
}

/// The most memory that this process has had, in bytes; 0 where the system does not tell.
fn peak() -> u64 {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.map_or(0, |kib| kib << 10)
}

/// A number that nothing is told by of its neighbours.
fn blake3_of(seed: u64, number: u64) -> u64 {
    let hash = blake3::hash(&[seed.to_le_bytes(), number.to_le_bytes()].concat());
    u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap())
}

/// Writes an input to a file of its own.
fn kept(target: &str, input: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{target}-{}", &blake3::hash(input).to_hex()[..12]));
    fs::write(&path, input).unwrap();
    path
}

/// The inputs of a target that once were trouble, or lead to places that the seeds do not.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let named = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, fs::read(&path).unwrap())
    };
    files.into_iter().map(named).collect()
}
