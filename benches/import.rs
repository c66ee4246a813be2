//! How fast an export is imported, by the real program on the real disk, and how much memory that takes.
//!
//! `cargo bench --bench import` runs everything; `-- throughput` or `-- memory` one part. No daemon runs: measured is
//! reading, decoding and writing the session files durably, which is what an import does itself.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rawzip::{CompressionMethod, ZipArchiveWriter};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const WORDS: &str = "harbour lantern glacier orchard violin compass meadow furnace canyon atlas ember willow granite \
    saddle thimble beacon marble cobalt ferry pepper velvet timber quartz anchor barley copper dune elm falcon garnet";

fn main() -> Outcome<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let runs = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("import-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    eprintln!("working in {}", folder.display());
    println!("| figure | value | mark |\n|---|---|---|");
    if runs("throughput") {
        let json = folder.join("conversations.json");
        let size = write_export(BufWriter::new(File::create(&json)?), 10_000, 15_000)?;
        let zip = folder.join("export.zip");
        pack(&json, &zip)?;
        for (name, path) in [("conversations.json", &json), ("the same as a zip", &zip)] {
            let (took, peak) = import(&folder, path)?;
            println!(
                "| 10,000 ChatGPT conversations, {} MB, {name} | {:.0} conversations/s, peak {peak} MiB | 1,000/s |",
                size / 1_000_000,
                10_000.0 / took.as_secs_f64()
            );
        }
    }
    if runs("memory") {
        let json = folder.join("conversations.json");
        let size = write_export(BufWriter::new(File::create(&json)?), 20_000, 100_000)?;
        let (took, peak) = import(&folder, &json)?;
        println!(
            "| an export of {} MB | peak {peak} MiB, {:.0} s | 300 MiB |",
            size / 1_000_000,
            took.as_secs_f64()
        );
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Writes so many conversations of so many bytes, as ChatGPT exports them; the bytes written.
fn write_export(mut file: impl Write, count: usize, bytes: usize) -> Outcome<u64> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut state = 1_u64;
    let mut written = 0;
    let mut put = |text: &str| -> Outcome<()> {
        written += text.len() as u64;
        Ok(file.write_all(text.as_bytes())?)
    };
    put("[")?;
    for number in 0..count {
        let mut text = String::new();
        if number > 0 {
            text.push_str(",\n");
        }
        text.push_str(&format!(
            r#"{{"id": "conversation-{number}", "title": "Number {number}", "create_time": 1772449200.5, "mapping": {{"n0": {{"id": "n0", "parent": null, "children": ["n1"], "message": null}}"#
        ));
        let mut turn = 1;
        while text.len() < bytes {
            let role = if turn % 2 == 1 { "user" } else { "assistant" };
            let mut said = String::new();
            while said.len() < 1200 {
                // Knuth's constants; the upper bits are the good ones.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                said.push_str(words[(state >> 33) as usize % words.len()]);
                said.push(' ');
            }
            text.push_str(&format!(
                r#", "n{turn}": {{"id": "n{turn}", "parent": "n{}", "children": ["n{}"], "message": {{"id": "n{turn}", "author": {{"role": "{role}", "metadata": {{}}}}, "create_time": 1772449200.5, "content": {{"content_type": "text", "parts": ["{said}"]}}, "status": "finished_successfully", "weight": 1.0, "metadata": {{"model_slug": "gpt"}}, "recipient": "all"}}}}"#,
                turn - 1,
                turn + 1
            ));
            turn += 1;
        }
        text.push_str(&format!(r#"}}, "current_node": "n{}"}}"#, turn - 1));
        put(&text)?;
    }
    put("]")?;
    file.flush()?;
    Ok(written)
}

fn pack(json: &Path, zip: &Path) -> Outcome<()> {
    let mut output = BufWriter::new(File::create(zip)?);
    let mut archive = ZipArchiveWriter::new(&mut output);
    let (mut entry, config) =
        archive.new_file("conversations.json").compression_method(CompressionMethod::DEFLATE).start()?;
    let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast());
    let mut writer = config.wrap(encoder);
    std::io::copy(&mut File::open(json)?, &mut writer)?;
    let (encoder, descriptor) = writer.finish()?;
    encoder.finish()?;
    entry.finish(descriptor)?;
    archive.finish()?;
    output.flush()?;
    Ok(())
}

/// Imports a file into a fresh home; how long it took and the most memory it had, in MiB.
fn import(folder: &Path, file: &PathBuf) -> Outcome<(Duration, u64)> {
    let home = folder.join("home");
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(&home)?;
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline.toml"), home.join("pipeline.toml"))?;
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_atles"))
        .args(["import", "--json"])
        .arg(file)
        .env("ATLES_CONFIG", home.join("pipeline.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let exit = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib =
            line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) >> 10);
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = begun.elapsed();
    if !exit.success() {
        return Err(format!("the import failed: {exit}").into());
    }
    fs::remove_dir_all(&home)?;
    Ok((took, peak))
}
