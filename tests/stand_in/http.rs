//! A small HTTP server: a thread a connection, requests read whole, answers given by a closure.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// A request, read whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What a server does about a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status and a JSON body.
    Json(u16, Value),
    /// A status and nothing else.
    Empty(u16),
    /// 200 and JSON lines, one chunk each.
    Lines(Vec<Value>),
    /// These bytes as they are, then the connection is closed.
    Raw(Vec<u8>),
    /// Nothing, for as long as the server runs.
    Hang,
    /// Another answer, late.
    Slow(Duration, Box<Answer>),
}

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    stopping: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (seen, stopping) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let server = Server { url: format!("http://{address}"), address, seen, stopping };
        let (seen, stopping, answer) = (server.seen.clone(), server.stopping.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, stopping, answer) = (seen.clone(), stopping.clone(), answer.clone());
                std::thread::spawn(move || serve(&stream, &*answer, &seen, &stopping));
            }
        });
        server
    }

    /// Requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no panic in a server").clone()
    }

    /// Bodies of the requests to a path.
    pub(crate) fn bodies(&self, path: &str) -> Vec<Value> {
        self.seen().iter().filter(|request| request.path == path).map(Request::json).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: &TcpStream,
    answer: &dyn Fn(&Request) -> Answer,
    seen: &Mutex<Vec<Request>>,
    stopping: &AtomicBool,
) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        seen.lock().expect("no panic in a server").push(request.clone());
        let answer = answer(&request);
        let mut out = stream;
        if !write(&mut out, &request, answer, stopping) {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let mut request =
        Request { method: words.next()?.into(), path: words.next()?.into(), ..Request::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        request.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").map_or(Ok(0), str::parse).ok()?;
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// Whether the connection may be used again.
fn write(out: &mut impl Write, request: &Request, answer: Answer, stopping: &AtomicBool) -> bool {
    let wait = |stopping: &AtomicBool, until: Option<std::time::Instant>| {
        while !stopping.load(Ordering::SeqCst) && until.is_none_or(|until| std::time::Instant::now() < until)
        {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    match answer {
        Answer::Json(status, body) => {
            let body = if request.method == "HEAD" { String::new() } else { body.to_string() };
            whole(out, status, "application/json", &body)
        }
        Answer::Empty(status) => whole(out, status, "text/plain", ""),
        Answer::Lines(lines) => {
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut sent = out.write_all(head.as_bytes()).is_ok();
            for line in lines {
                let line = format!("{line}\n");
                // Cut in the middle: a reader must not take a chunk for a line.
                let (a, b) = line.as_bytes().split_at(line.len() / 2);
                for piece in [a, b] {
                    sent &= write!(out, "{:x}\r\n", piece.len()).is_ok();
                    sent &= out.write_all(piece).is_ok() && out.write_all(b"\r\n").is_ok();
                    sent &= out.flush().is_ok();
                }
            }
            sent && out.write_all(b"0\r\n\r\n").is_ok()
        }
        Answer::Raw(bytes) => {
            let _ = out.write_all(&bytes);
            false
        }
        Answer::Hang => {
            wait(stopping, None);
            false
        }
        Answer::Slow(late, answer) => {
            wait(stopping, Some(std::time::Instant::now() + late));
            write(out, request, *answer, stopping)
        }
    }
}

fn whole(out: &mut impl Write, status: u16, kind: &str, body: &str) -> bool {
    let head = format!(
        "HTTP/1.1 {status} As Told\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    out.write_all(head.as_bytes()).is_ok() && out.write_all(body.as_bytes()).is_ok()
}
