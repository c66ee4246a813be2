use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::session::{FileFacts, Message, Role, Session};

fn envelope() -> Envelope {
    let messages = vec![Message::new(Role::User, "I love the sea.\r\nX-Evil: 1")];
    Envelope::new(
        Session { messages, session_id: "../evil".into(), ..Session::default() },
        FileFacts::default(),
    )
}

fn config(url: String) -> HttpSettings {
    let headers = [("Authorization".into(), "Bearer env:TOKEN".into()), ("X-Team".into(), "sea".into())];
    HttpSettings { url, headers: headers.into(), proxy: false, ..HttpSettings::default() }
}

fn secrets(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| "s3cret\n".to_owned())
}

/// Posts a session to a server that reads one request and answers with these bytes; also what was asked.
async fn post(answer: Vec<u8>) -> (Result<Verdict, StageError>, Envelope, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/learn?from=atles", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !is_whole(&request) {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request broke off");
        }
        // The client may hang up before the end of a flood.
        let _ = stream.write_all(&answer).await;
        String::from_utf8(request).unwrap()
    });
    let mut envelope = envelope();
    let stage =
        Http::new(&HttpSettings { max_output: crate::config::ByteSize(1 << 16), ..config(url) }, secrets)
            .ok()
            .unwrap();
    let cx = StageContext { name: "outside", attempt: 1, dry_run: false };
    let verdict = stage.process(&mut envelope, &cx).await;
    (verdict, envelope, server.await.unwrap())
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    body.len() >= length.parse().unwrap()
}

fn response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn a_server_reads_the_session_and_adds_what_it_learned() {
    let (verdict, envelope, request) = post(response("200 OK", "", r#"{"learned": {"mood": "calm"}}"#)).await;
    assert_eq!(verdict.unwrap(), Verdict::Continue);
    assert_eq!(envelope.learned.extra["outside"], json!({"mood": "calm"}));
    assert_eq!(envelope.patch, Some(json!({"learned": {"mood": "calm"}})));

    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /learn?from=atles HTTP/1.1\r\n"), "{head}");
    for line in ["authorization: Bearer s3cret", "x-team: sea", "content-type: application/json"] {
        assert!(head.lines().any(|l| l.eq_ignore_ascii_case(line)), "{line} is not in {head}");
    }
    assert!(!head.to_lowercase().contains("evil"), "nothing of the session is in the head");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["session"]["messages"][0]["content"], "I love the sea.\r\nX-Evil: 1");
}

#[tokio::test]
async fn no_content_adds_nothing() {
    for answer in [b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), response("200 OK", "", "")] {
        let (verdict, envelope, _) = post(answer).await;
        assert_eq!(verdict.unwrap(), Verdict::Continue);
        assert!(envelope.learned.extra.is_empty());
    }
}

#[tokio::test]
async fn the_status_tells_another_try_and_failure_apart() {
    let wait = |seconds| Some(Some(Duration::from_secs(seconds)));
    for (status, headers, expected) in [
        ("500 Oops", "", Some(None)),
        ("503 Busy", "Retry-After: 7\r\n", wait(7)),
        ("429 Slow down", "Retry-After: 99999999999999999999999\r\n", wait(86_400)),
        ("429 Slow down", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", wait(0)),
        ("429 Slow down", "Retry-After: soon\r\n", Some(None)),
        ("408 Timeout", "", Some(None)),
        ("400 Bad", "Retry-After: 7\r\n", None),
        ("401 No", "", None),
        ("404 Lost", "", None),
        ("302 Found", "Location: http://127.0.0.1:1/\r\n", None),
    ] {
        let (verdict, envelope, _) =
            post(response(status, headers, r#"{"learned": {"a": "I love the sea."}}"#)).await;
        let error = verdict.unwrap_err();
        assert!(error.to_string().contains(&status[..3]) && !error.to_string().contains("sea"), "{error}");
        match error {
            StageError::Transient { retry_after, .. } => assert_eq!(Some(retry_after), expected, "{status}"),
            StageError::Permanent { hint, .. } => assert!(expected.is_none() && hint.is_some(), "{status}"),
            StageError::Cancelled => panic!("cancelled"),
        }
        assert!(envelope.learned.extra.is_empty());
    }
}

#[test]
fn a_date_in_retry_after_is_counted_from_now() {
    let now = "1994-11-06T08:49:00Z".parse().unwrap();
    assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(37)));
    assert_eq!(retry_after("Sun, 06 Nov 2094 08:49:37 GMT", now), Some(MAX_RETRY_AFTER));
    for broken in ["", "-1", "1.5", "tomorrow"] {
        assert_eq!(retry_after(broken, now), None, "{broken}");
    }
}

#[tokio::test]
async fn a_flood_is_cut_off_and_what_is_no_patch_fails() {
    let flood = response("200 OK", "", &" ".repeat(1 << 20));
    for answer in [flood, response("200 OK", "", "<html>"), response("200 OK", "", r#"{"fail": "no"}"#)] {
        let (verdict, ..) = post(answer).await;
        assert!(matches!(verdict, Err(StageError::Permanent { .. })), "{verdict:?}");
    }
}

#[tokio::test]
async fn a_connection_that_fails_or_breaks_off_is_tried_again() {
    for broken in [Vec::new(), b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec()] {
        let (verdict, ..) = post(broken).await;
        assert!(matches!(verdict, Err(StageError::Transient { .. })), "{verdict:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret-path", listener.local_addr().unwrap());
    drop(listener);
    let stage = Http::new(&config(url), secrets).ok().unwrap();
    let cx = StageContext { name: "outside", attempt: 1, dry_run: false };
    let error = stage.process(&mut envelope(), &cx).await.unwrap_err();
    assert!(matches!(&error, StageError::Transient { source: Some(_), .. }));
    assert!(!format!("{error:?}").contains("secret-path"), "{error:?}");
}

#[tokio::test]
async fn a_dry_run_asks_nobody() {
    let stage = Http::new(&config("http://127.0.0.1:1/secret-path".into()), secrets).ok().unwrap();
    let mut envelope = envelope();
    stage.process(&mut envelope, &StageContext { name: "outside", attempt: 1, dry_run: true }).await.unwrap();
    assert_eq!(envelope.note.as_deref(), Some("would post to http://127.0.0.1:1"));
}

#[test]
fn all_wrong_settings_are_named_at_once() {
    for (url, headers, expected) in [
        ("", vec![("A b", "x"), ("X-A", "env:MISSING")], vec!["url", "headers.A b", "headers.X-A"]),
        ("ftp://a.b", vec![("Cookie", "a=b")], vec!["url", "headers.Cookie"]),
        ("http://me:pw@a.b", vec![("Authorization", "Bearer sk-123")], vec!["url", "headers.Authorization"]),
        (
            "not a url",
            vec![("Content-Length", "3"), ("X-A", "line\nline")],
            vec!["url", "headers.Content-Length", "headers.X-A"],
        ),
    ] {
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let config = HttpSettings { url: url.into(), headers, ..HttpSettings::default() };
        let problems = Http::new(&config, secrets).err().unwrap();
        assert_eq!(problems.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), expected);
        assert!(problems.iter().all(|p| !p.message.contains("sk-123") && !p.message.contains("pw")));
    }
}
