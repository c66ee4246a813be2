//! Pulling from a hub that is a thread of the test: redirects, ranges, connections that break, files that changed.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;
use crate::training::base::{DEFAULT, sha256_of};

/// Serves one file the way the hub does: a redirect that states the hash, then the bytes, in ranges.
struct Hub {
    address: String,
    /// `METHOD PATH RANGE` of each request.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    /// `breaks`: after how many bytes the first transfers break off.
    fn serve(content: Vec<u8>, hash: String, breaks: Vec<usize>) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            let mut breaks = breaks.into_iter();
            for stream in listener.incoming().flatten() {
                answer(stream, &content, &hash, &mut breaks, &log);
            }
        });
        Hub { address, asked }
    }
}

fn answer(
    mut stream: TcpStream,
    content: &[u8],
    hash: &str,
    breaks: &mut impl Iterator<Item = usize>,
    log: &Mutex<Vec<String>>,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let range =
        headers.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: ").map(String::from));
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    log.lock().unwrap().push(format!("{method} {path} {}", range.clone().unwrap_or_default()));
    if path.ends_with("/resolve/main/SmolLM2-135M-Instruct.Q4_1.gguf") {
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: /store/file\r\nX-Linked-Etag: \"{hash}\"\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let _ = stream.write_all(head.as_bytes());
        return;
    }
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let status = match from {
        Some(from) if from >= content.len() => "416 Range Not Satisfiable\r\n".to_owned(),
        Some(from) => {
            format!(
                "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\n",
                content.len() - 1,
                content.len()
            )
        }
        None => "200 OK\r\n".to_owned(),
    };
    let rest = content.get(from.unwrap_or(0)..).unwrap_or_default();
    let head = format!("HTTP/1.1 {status}Content-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
    let _ = stream.write_all(head.as_bytes());
    let end = breaks.next().unwrap_or(rest.len()).min(rest.len());
    let _ = stream.write_all(&rest[..end]);
}

fn content() -> Vec<u8> {
    (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn hash(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x"), content).unwrap();
    sha256_of(&folder.path().join("x")).unwrap()
}

/// The default model, without its pinned hash: the hub's own counts.
fn model() -> Known {
    Known { sha256: None, ..Known::named(DEFAULT).unwrap() }
}

fn fetch(hub: &Hub, known: Known, folder: &Path) -> (Result<Fetched, Failed>, Vec<Progress>) {
    let mut seen = Vec::new();
    let fetched =
        fetch_from(&hub.address, known, &folder.join("m.gguf"), &mut |progress| seen.push(progress));
    (fetched, seen)
}

#[test]
fn a_broken_download_is_taken_up_where_it_broke() {
    let content = content();
    let hub = Hub::serve(content.clone(), hash(&content), vec![70_000, 50_000]);
    let folder = tempfile::tempdir().unwrap();
    let (fetched, seen) = fetch(&hub, model(), folder.path());
    let fetched = fetched.unwrap();
    assert_eq!(std::fs::read(&fetched.part).unwrap(), content);
    assert_eq!(fetched.expected, hash(&content));
    let whole = content.len() as u64;
    assert_eq!(seen.last(), Some(&Progress::Bytes { done: whole, total: Some(whole) }));
    let asked = hub.asked.lock().unwrap().clone();
    let ranges: Vec<&str> = asked.iter().filter_map(|line| line.strip_prefix("GET /store/file ")).collect();
    assert_eq!(ranges, ["", "bytes=70000-", "bytes=120000-"]);
}

#[test]
fn what_an_earlier_process_left_is_kept() {
    let content = content();
    let hub = Hub::serve(content.clone(), hash(&content), vec![]);
    let folder = tempfile::tempdir().unwrap();
    for have in [150_000, content.len()] {
        std::fs::write(folder.path().join("m.gguf.part"), &content[..have]).unwrap();
        let fetched = fetch(&hub, model(), folder.path()).0.unwrap();
        assert_eq!(std::fs::read(&fetched.part).unwrap(), content, "{have}");
    }
    assert!(hub.asked.lock().unwrap().iter().any(|line| line.ends_with("bytes=150000-")));
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_not_even_fetched() {
    let content = content();
    let hub = Hub::serve(content.clone(), hash(&content), vec![]);
    let folder = tempfile::tempdir().unwrap();
    let (fetched, _) = fetch(&hub, Known::named(DEFAULT).unwrap(), folder.path());
    assert!(matches!(fetched, Err(Failed::Source(why)) if why.contains("another file")));
    assert!(hub.asked.lock().unwrap().iter().all(|line| line.starts_with("HEAD")));
}

#[test]
fn a_hub_that_is_not_there_is_a_failed_source() {
    let gone = Hub { address: "http://127.0.0.1:9".into(), asked: Arc::default() };
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(fetch(&gone, model(), folder.path()).0, Err(Failed::Source(_))));
}
