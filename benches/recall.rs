//! How long one question takes, and how much room the memory takes: 100,000 turns of one user, in words as frequent as
//! words are. `cargo bench --bench recall`; `-- TURNS` for another number. By meaning too, where the vectors of words
//! were pulled.

use std::time::{Duration, Instant};

use atles::memory::recall::{Memory, Query, Weights, Whose};
use atles::memory::{Writer, embedding, index};
use atles::session::{Effect, Envelope, FileFacts, Keep, Message, Moment, Role, Session};
use jiff::Timestamp;

/// Messages of a session.
const MESSAGES: usize = 20;
const WORDS: usize = 30_000;
const QUESTIONS: usize = 1_000;

/// Words that are said as often as content words are (Zipf), and between them as many that only bear the grammar.
struct Speaker {
    random: fastrand::Rng,
    /// Running sums of the frequencies.
    sums: Vec<f64>,
}

impl Speaker {
    fn new() -> Self {
        let mut sum = 0.0;
        let frequency = |rank: usize| {
            sum += 1.0 / (rank as f64 + 15.0);
            sum
        };
        Speaker { random: fastrand::Rng::with_seed(7), sums: (0..WORDS).map(frequency).collect() }
    }

    fn word(&mut self) -> String {
        let at = self.random.f64() * self.sums.last().copied().unwrap_or(1.0);
        let mut rank = self.sums.partition_point(|sum| *sum < at);
        // Letters only, so that words look like words: base 20 of the rank.
        let mut word = String::from("qu");
        loop {
            word.push(char::from(b"bcdfghjklmnpqrstvwxz"[rank % 20]));
            word.push('a');
            rank /= 20;
            if rank == 0 {
                return word;
            }
        }
    }

    fn text(&mut self, words: usize) -> String {
        (0..words / 2).map(|_| self.word()).collect::<Vec<_>>().join(" the ")
    }
}

fn main() {
    let turns = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(100_000_usize);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("memory.db");
    let mut speaker = Speaker::new();
    let bytes = store(&path, turns, &mut speaker);

    let begun = Instant::now();
    let writer = Writer::open(&path).expect("the writer");
    index::catch_up(writer.connection()).expect("the index");
    println!("{turns} turns, {:.1} MB of text, indexed in {:.2?}", mega(bytes), begun.elapsed());
    writer.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    drop(writer);
    let size = std::fs::metadata(&path).map_or(0, |file| file.len());
    println!("memory.db: {:.1} MB, {:.2} times the text", mega(size), size as f64 / bytes as f64);

    let mut memory = Memory::open(&path).expect("memory.db").expect("memory.db");
    ask(&mut memory, &mut speaker, "a question");
    let Some(vectors) = embedding::find().expect("the vectors of words") else {
        println!("`atles models pull wordllama` has it measured by meaning too");
        return;
    };
    let mut memory = memory.with_meanings(vectors);
    let begun = Instant::now();
    memory.refresh().expect("the meanings of turns");
    println!("meanings of all turns worked out in {:.2?}", begun.elapsed());
    let writer = Writer::open(&path).expect("the writer");
    writer.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    drop(writer);
    let size = std::fs::metadata(&path).map_or(0, |file| file.len());
    println!("memory.db: {:.1} MB, {:.2} times the text", mega(size), size as f64 / bytes as f64);
    ask(&mut memory, &mut speaker, "a question, by meaning too");
}

fn ask(memory: &mut Memory, speaker: &mut Speaker, name: &str) {
    let mut took: Vec<Duration> = (0..QUESTIONS)
        .map(|number| {
            let text = speaker.text(10 + number % 12);
            let query = Query {
                text: &text,
                whose: Whose::Named("anna"),
                limit: 10,
                since: None,
                now: Timestamp::UNIX_EPOCH,
                weights: Weights::default(),
            };
            let begun = Instant::now();
            memory.refresh().expect("an index");
            memory.find(&query).expect("an answer");
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!("{name}: p50 {:.2?}, p99 {:.2?}, at most {:.2?}", at(0.5), at(0.99), at(1.0));
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Stores sessions of one user, an hour apart; returns the bytes of their text.
fn store(path: &std::path::Path, turns: usize, speaker: &mut Speaker) -> u64 {
    let mut writer = Writer::open(path).expect("the writer");
    let mut bytes = 0;
    for first in (0..turns.div_ceil(MESSAGES)).step_by(64) {
        let mut batch = writer.begin().expect("a batch");
        for number in first..(first + 64).min(turns.div_ceil(MESSAGES)) {
            let at = Timestamp::from_second(1_600_000_000 + 3600 * number as i64).expect("a time");
            let message = |ordinal: usize| {
                let role = if ordinal.is_multiple_of(2) { Role::User } else { Role::Assistant };
                Message::new(role, speaker.text(10 + (number + ordinal * 7) % 40))
            };
            let session = Session {
                session_id: format!("s{number}"),
                user_id: Some("anna".to_owned()),
                start_time: Some(Moment::instant(at)),
                messages: (0..MESSAGES).map(message).collect(),
                ..Session::default()
            };
            bytes += session.messages.iter().map(|message| message.text.len() as u64).sum::<u64>();
            let mut envelope = Envelope::new(session, FileFacts::default());
            envelope.effects.push(Effect::Memory(Keep::default()));
            batch.store(&envelope, at, false).expect("a session");
        }
        batch.commit().expect("a commit");
    }
    bytes
}
