//! How much memory a file takes while it is read. The figure is the peak of a process of its own, less what it had
//! before: this program once more, for nothing but one file.

use std::fs;
use std::process::Command;

use atles::session::formats::{Format, decode};

/// The variable that says which file.
const WHICH: &str = "FUZZ_MEMORY";
/// Bytes of the file. Beside it, what the program itself and the allocator take is small.
const SIZE: usize = 8 << 20;

/// Files that are all structure, and little text.
fn file(which: &str) -> Vec<u8> {
    let (head, item, tail) = match which {
        "one long string" => (r#"{"messages":[{"role":"user","content":""#, "x", r#""}]}"#),
        "escapes" => (r#"{"messages":[{"role":"user","content":""#, r"\u00e9", r#""}]}"#),
        "short messages" => {
            (r#"{"messages":["#, r#"{"role":"user","content":"a"},"#, r#"{"role":"user","content":"a"}]}"#)
        }
        "lines" => ("", "{\"role\":\"user\",\"content\":\"a\"}\n", ""),
        "short chats" => {
            ("[", r#"{"conversations":[{"from":"human","value":"a"}]},"#, "{\"conversations\":[]}]")
        }
        "metadata" => {
            (r#"{"metadata":{"list":["#, "1,", r#"1]},"messages":[{"role":"user","content":"a"}]}"#)
        }
        "objects in metadata" => {
            (r#"{"metadata":{"list":["#, r#"{"a":1},"#, r#"1]},"messages":[{"role":"user","content":"a"}]}"#)
        }
        "nothing that is read" => ("[", "[],", "[]]"),
        _ => panic!("no file {which}"),
    };
    let times = SIZE.saturating_sub(head.len() + tail.len()) / item.len();
    [head.as_bytes(), item.repeat(times).as_bytes(), tail.as_bytes()].concat()
}

/// A line of `/proc/self/status`, in bytes.
fn status(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim_start_matches(':').trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The part of the child: reads the file that it is told, and says what that took. Without being told it is a quick
/// look at the smallest of them.
#[test]
fn child_that_reads_one_file() {
    let Ok(which) = std::env::var(WHICH) else {
        assert!(decode(&file("one long string"), Format::Auto).is_ok());
        return;
    };
    let bytes = file(&which);
    let Some(before) = status("VmRSS") else { return };
    // The peak so far is forgotten: making the file took memory too.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let decoded = decode(&bytes, Format::Auto);
    let peak = status("VmHWM").unwrap().saturating_sub(before);
    drop(decoded);
    println!("PEAK {peak} of {}", bytes.len());
}

#[test]
fn reading_a_file_takes_at_most_ten_times_its_size() {
    if status("VmHWM").is_none() {
        return;
    }
    let mut over = Vec::new();
    for which in [
        "one long string",
        "escapes",
        "short messages",
        "lines",
        "short chats",
        "metadata",
        "objects in metadata",
        "nothing that is read",
    ] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::child_that_reads_one_file", "--nocapture", "--test-threads=1"])
            .env(WHICH, which)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        let told = text.lines().find_map(|line| line.split_once("PEAK ")).map(|(_, told)| told);
        let told =
            told.unwrap_or_else(|| panic!("{which}: {text}{}", String::from_utf8_lossy(&child.stderr)));
        let (peak, size) = told.split_once(" of ").unwrap();
        let times = peak.parse::<f64>().unwrap() / size.parse::<f64>().unwrap();
        eprintln!("memory for {which}: {times:.1} times the file");
        if times > 10.0 {
            over.push(format!("{which}: {times:.1} times"));
        }
    }
    assert!(over.is_empty(), "{over:?}");
}
