//! The trainer on a real model: first losses, speed, memory, and what the oracle scripts compare.
//!
//! `cargo bench --bench trainer -- MODEL.gguf losses|speed|tokens FILE|logprob TEXT [ADAPTER]|artefacts FOLDER|chat`.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use atles::session::Role;
use atles::training::artefact::{read_adapter, write_adapter, write_merged};
use atles::training::gguf::{Gguf, GgufWriter, TensorInfo, TensorType};
use atles::training::model::{Adapter, Base, Engine, EngineSettings, LoraSettings, Memory, Sequence};
use atles::training::tokenizer::{ChatTemplate, ChatTurn, Tokenizer};
use atles::training::trainer::{Example, Trainer, TrainerSettings, Verdict};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const TEXT: &str = "The quick brown fox jumps over the lazy dog. ";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [model, task, rest @ ..] = &arguments[..] else {
        println!(
            "trainer: give a GGUF model and a task (losses, speed, step, tokens, logprob, artefacts, chat)"
        );
        return Ok(());
    };
    let file = Gguf::open(Path::new(model))?;
    match (*task, rest) {
        ("tokens", [path]) => tokens(&file, path),
        ("chat", _) => chat(&file),
        ("losses", _) => losses(&file),
        ("step", [rows, part, memory, count]) => step(&file, rows.parse()?, part, memory, count.parse()?),
        ("logprob", [text]) => logprob(&file, text, None),
        ("logprob", [text, adapter]) => logprob(&file, text, Some(adapter)),
        ("plain", [path]) => plain(&file, Path::new(path)),
        ("artefacts", [folder]) => artefacts(&file, Path::new(folder)),
        _ => Err(format!("unknown task {task:?}").into()),
    }
}

fn threads() -> usize {
    std::env::var("THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

fn engine(file: &Gguf, memory: Memory) -> Result<Engine> {
    let base = Arc::new(Base::load(file)?);
    Ok(Engine::new(base, EngineSettings { threads: threads(), memory, ..EngineSettings::default() })?)
}

/// The text of the losses' marks: so many rows, all of them supervised, or every third.
fn example(file: &Gguf, rows: usize, every: usize) -> Result<Example> {
    let mut tokens = Tokenizer::from_gguf(file)?.encode(&TEXT.repeat(60));
    while tokens.len() < rows + 1 {
        tokens.extend_from_within(..);
    }
    tokens.truncate(rows + 1);
    let learn = (0..tokens.len()).map(|at| at % every == 0).collect();
    Ok(Example { tokens, learn })
}

fn losses(file: &Gguf) -> Result<()> {
    for rows in [128, 256, 512] {
        let example = example(file, rows, 1)?;
        let settings = TrainerSettings { epochs: 6, batch: 1, warm_up: 0.0, ..TrainerSettings::default() };
        let examples = [example];
        let mut engine = engine(file, Memory::Normal)?;
        let outcome = Trainer::new(&settings, &examples, None, b"")
            .run(&mut engine, &mut |_, _, _| Ok(Verdict::Continue))?;
        println!("{{\"rows\": {rows}, \"losses\": {:?}}}", outcome.losses);
    }
    Ok(())
}

/// Steps on request: a line on standard input is one step, a line on standard output its seconds.
fn step(file: &Gguf, rows: usize, part: &str, memory: &str, count: usize) -> Result<()> {
    let example = example(file, rows, if part == "third" { 3 } else { 1 })?;
    let memory = if memory == "low" { Memory::Low } else { Memory::Normal };
    let mut engine = engine(file, memory)?;
    let settings = LoraSettings { rank: 8, alpha: 16.0 };
    let mut adapter = Adapter::new(engine.base().shape(), settings, 0);
    let mut gradient = vec![0.0; adapter.values.len()];
    let (mut first, mut second) = (vec![0.0f32; gradient.len()], vec![0.0f32; gradient.len()]);
    let text = [Sequence { tokens: &example.tokens[..rows], learn: &example.learn[..rows] }];
    for number in 0.. {
        if count == 0 {
            let mut line = [0];
            if std::io::stdin().read(&mut line)? == 0 {
                break;
            }
        } else if number == count {
            break;
        }
        let began = Instant::now();
        gradient.fill(0.0);
        let loss = engine.learn(&adapter, &text, 1.0 / rows as f32, &mut gradient)?;
        let moments = first.iter_mut().zip(&mut second);
        for ((value, g), (first, second)) in adapter.values.iter_mut().zip(&gradient).zip(moments) {
            *first = 0.9 * *first + 0.1 * g;
            *second = 0.999 * *second + 0.001 * g * g;
            *value -= 2e-4 * *first / (second.sqrt() + 1e-8);
        }
        println!("{} {} {}", began.elapsed().as_secs_f64(), loss[0].mean(), peak_memory());
    }
    Ok(())
}

/// The process's highest resident memory in bytes; zero where the system does not say.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kilo| kilo << 10)
}

/// Token ids of the texts of a llama.cpp fixture, one text a line.
fn tokens(file: &Gguf, path: &str) -> Result<()> {
    let tokenizer = Tokenizer::from_gguf(file)?;
    for text in std::fs::read_to_string(path)?.split("\n__ggml_vocab_test__\n") {
        let ids: Vec<String> = tokenizer.encode_rendered(text).iter().map(u32::to_string).collect();
        println!(" {}", ids.join(" "));
    }
    Ok(())
}

fn chat(file: &Gguf) -> Result<()> {
    let tokenizer = Tokenizer::from_gguf(file)?;
    let template = ChatTemplate::from_gguf(file, &tokenizer)?;
    let turns = [(Role::User, "Hello there"), (Role::Assistant, " Hi! "), (Role::User, "What is 2+2?")]
        .map(|(role, content)| ChatTurn { role, content: content.into() });
    print!("{}", template.render(&turns, true)?);
    Ok(())
}

/// For each token of the vocabulary that the oracle names: its log-probability after a text.
fn logprob(file: &Gguf, text: &str, adapter: Option<&str>) -> Result<()> {
    let tokenizer = Tokenizer::from_gguf(file)?;
    let mut engine = engine(file, Memory::Normal)?;
    let adapter = adapter.map(|path| read_adapter(Path::new(path), engine.base().shape())).transpose()?;
    let prompt = tokenizer.encode_rendered(text);
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    for token in input.split_whitespace() {
        let mut tokens = prompt.clone();
        tokens.push(token.parse()?);
        let mut learn = vec![false; tokens.len()];
        learn[prompt.len()] = true;
        let loss = engine.losses(adapter.as_ref(), &[Sequence { tokens: &tokens, learn: &learn }])?;
        println!("{}", -loss[0].sum);
    }
    Ok(())
}

/// Trains a little and writes `adapter.gguf` and `merged.gguf`.
fn artefacts(file: &Gguf, folder: &Path) -> Result<()> {
    let tokenizer = Tokenizer::from_gguf(file)?;
    let tokens = tokenizer.encode_rendered(
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\nLyon, of course!<|im_end|>",
    );
    let examples = [Example { learn: vec![true; tokens.len()], tokens }];
    let settings = TrainerSettings { epochs: 8, batch: 1, rate: 5e-4, ..TrainerSettings::default() };
    let mut engine = engine(file, Memory::Low)?;
    let outcome = Trainer::new(&settings, &examples, None, b"")
        .run(&mut engine, &mut |_, _, _| Ok(Verdict::Continue))?;
    write_adapter(&folder.join("adapter.gguf"), engine.base().shape(), &outcome.adapter, "oracle")?;
    write_merged(&folder.join("merged.gguf"), file, &outcome.adapter)?;
    println!("{:?}", outcome.losses);
    Ok(())
}

/// Writes the model with every weight as `f32`: llama.cpp then rounds no activations, and can be compared.
fn plain(file: &Gguf, path: &Path) -> Result<()> {
    let mut out = GgufWriter::with_metadata_of(file)?;
    for tensor in file.tensors() {
        out.tensor(&tensor.name, &tensor.sizes, TensorType::F32)?;
    }
    let mut expand = |tensor: &TensorInfo| {
        let floats = file.floats(&tensor.name)?;
        Ok(floats.iter().flat_map(|x| x.to_le_bytes()).collect())
    };
    Ok(out.write(path, &mut expand)?)
}
