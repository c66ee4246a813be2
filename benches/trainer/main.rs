//! The trainer on a real model: what `against_peft.py` times, and what the scripts in `tests/oracle` compare.
//!
//! `cargo bench --bench trainer -- MODEL.gguf TASK`, with one of the tasks in [`main`]. What is to be worked on comes
//! on standard input, a line of JSON for each; the results go to standard output. With `VECTORS=avx2` in the environment
//! it works as on a machine without AVX-512, with `PRECISION=single` without bfloat16.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use atles::session::Role;
use atles::training::artefact::{read_adapter, write_adapter, write_merged};
use atles::training::gguf::{Gguf, GgufWriter, Put, TensorInfo, TensorType};
use atles::training::model::{
    Adapter, Base, Engine, EngineSettings, LoraSettings, Memory, Precision, Sequence, without_avx512,
};
use atles::training::tokenizer::{ChatTemplate, ChatTurn, Tokenizer};
use atles::training::trainer::{Example, Trainer, TrainerSettings, Verdict};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const TEXT: &str = "The quick brown fox jumps over the lazy dog. ";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [model, task, rest @ ..] = &arguments[..] else {
        println!(
            "trainer: give a GGUF model and a task (losses, gradients, step, tokens, chat, logprob, plain, artefacts); \
             benches/trainer/against_peft.py compares the speed"
        );
        return Ok(());
    };
    match std::env::var("VECTORS").as_deref() {
        Err(_) | Ok("widest") => {}
        Ok("avx2") if without_avx512() => {}
        Ok(other) => return Err(format!("VECTORS={other}: not on this machine").into()),
    }
    let file = Gguf::open(Path::new(model))?;
    match (*task, rest) {
        ("tokens", _) => tokens(&file),
        ("chat", _) => chat(&file),
        ("losses", _) => losses(&file),
        ("gradients", _) => gradients(&file),
        ("step", [rows, part, memory, count]) => step(file, rows.parse()?, part, memory, count.parse()?),
        ("logprob", []) => logprob(&file, None),
        ("logprob", [adapter]) => logprob(&file, Some(adapter)),
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
    // The other side of a comparison runs at normal priority too.
    let precision = match std::env::var("PRECISION").as_deref() {
        Err(_) | Ok("mixed") => Precision::Mixed,
        Ok("single") => Precision::Single,
        Ok(other) => return Err(format!("PRECISION={other}: mixed or single").into()),
    };
    let settings = EngineSettings {
        threads: threads(),
        memory,
        precision,
        low_priority: false,
        ..EngineSettings::default()
    };
    Ok(Engine::new(base, settings)?)
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
fn step(file: Gguf, rows: usize, part: &str, memory: &str, count: usize) -> Result<()> {
    let example = example(&file, rows, if part == "third" { 3 } else { 1 })?;
    let memory = if memory == "low" { Memory::Low } else { Memory::Normal };
    let mut engine = engine(&file, memory)?;
    // As in a run: of the file's header nothing is needed any more.
    drop(file);
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

/// What stands on standard input, a JSON value a line.
fn lines<T: serde::de::DeserializeOwned>() -> Result<Vec<T>> {
    let lines = std::io::stdin().lines().map(|line| Ok(serde_json::from_str(&line?)?));
    lines.collect()
}

/// Token ids of texts in which special tokens are what they say.
fn tokens(file: &Gguf) -> Result<()> {
    let tokenizer = Tokenizer::from_gguf(file)?;
    for text in lines::<String>()? {
        println!("{}", serde_json::to_string(&tokenizer.encode_rendered(&text))?);
    }
    Ok(())
}

/// A chat, and the template to render it with where it is not the model's own.
#[derive(serde::Deserialize)]
struct Asked {
    template: Option<String>,
    messages: Vec<Message>,
    answer_next: bool,
}

#[derive(serde::Deserialize)]
struct Message {
    role: Role,
    content: String,
}

/// Chats as templates render them: each the text, or null where the template refuses the chat.
fn chat(file: &Gguf) -> Result<()> {
    let tokenizer = Tokenizer::from_gguf(file)?;
    for asked in lines::<Asked>()? {
        let template = match asked.template {
            Some(source) => ChatTemplate::new(source, tokenizer.bos_text(), tokenizer.eos_text()),
            None => ChatTemplate::from_gguf(file, &tokenizer),
        };
        let turns: Vec<ChatTurn> = asked
            .messages
            .into_iter()
            .map(|message| ChatTurn { role: message.role, content: message.content })
            .collect();
        let rendered = template.and_then(|template| template.render(&turns, asked.answer_next));
        if let Err(error) = &rendered {
            eprintln!(
                "{error}: {}",
                std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
            );
        }
        println!("{}", serde_json::to_string(&rendered.ok())?);
    }
    Ok(())
}

/// How many matrices of the adapter have a gradient at the first step, and at the second.
fn gradients(file: &Gguf) -> Result<()> {
    let example = example(file, 64, 1)?;
    let mut engine = engine(file, Memory::Normal)?;
    let mut adapter = Adapter::new(engine.base().shape(), LoraSettings { rank: 8, alpha: 16.0 }, 0);
    for step in 1..=2 {
        let mut gradient = vec![0.0; adapter.values.len()];
        let text = [Sequence { tokens: &example.tokens, learn: &example.learn }];
        engine.learn(&adapter, &text, 1.0 / 64.0, &mut gradient)?;
        let moves = |range: &std::ops::Range<usize>| gradient[range.clone()].iter().any(|g| *g != 0.0);
        let a = adapter.slots().iter().filter(|slot| moves(&slot.a)).count();
        let b = adapter.slots().iter().filter(|slot| moves(&slot.b)).count();
        println!("{{\"step\": {step}, \"a\": {a}, \"b\": {b}, \"of\": {}}}", adapter.slots().len());
        adapter.values.iter_mut().zip(&gradient).for_each(|(value, g)| *value -= g * 1e-2);
    }
    Ok(())
}

/// A text, and a token that may follow it.
#[derive(serde::Deserialize)]
struct Continued {
    text: String,
    token: u32,
}

/// For each text and token that the oracle names: the token's log-probability after the text.
fn logprob(file: &Gguf, adapter: Option<&str>) -> Result<()> {
    let tokenizer = Tokenizer::from_gguf(file)?;
    let mut engine = engine(file, Memory::Normal)?;
    let adapter = adapter.map(|path| read_adapter(Path::new(path), engine.base().shape())).transpose()?;
    let example = |Continued { text, token }| {
        let mut tokens = tokenizer.encode_rendered(&text);
        let mut learn = vec![false; tokens.len()];
        tokens.push(token);
        learn.push(true);
        Example { tokens, learn }
    };
    let examples: Vec<Example> = lines()?.into_iter().map(example).collect();
    // Some at once: the weights are expanded for all of them together.
    for examples in examples.chunks(10) {
        let batch: Vec<Sequence<'_>> =
            examples.iter().map(|Example { tokens, learn }| Sequence { tokens, learn }).collect();
        for loss in engine.losses(adapter.as_ref(), &batch)? {
            println!("{}", -loss.sum);
        }
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
    write_merged(&folder.join("merged.gguf"), file, &outcome.adapter, &AtomicBool::new(false))?;
    println!("{:?}", outcome.losses);
    Ok(())
}

/// Writes the model with every weight as `f32`: llama.cpp then rounds no activations, and can be compared.
fn plain(file: &Gguf, path: &Path) -> Result<()> {
    let mut out = GgufWriter::with_metadata_of(file)?;
    for tensor in file.tensors() {
        out.tensor(&tensor.name, &tensor.sizes, TensorType::F32)?;
    }
    let mut expand = |tensor: &TensorInfo, put: &mut Put<'_>| {
        file.floats(&tensor.name)?.iter().try_for_each(|x| put(&x.to_le_bytes()))
    };
    Ok(out.write(path, &mut expand)?)
}
