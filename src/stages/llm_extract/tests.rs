use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::Span;
use crate::session::{Fact, FileFacts, Message, Quote, Role};

/// A stand-in for the server: answers request after request with these texts of a model, the last for all that follow.
struct Server {
    url: String,
    asked: Arc<AtomicUsize>,
    bodies: Arc<std::sync::Mutex<Vec<Value>>>,
}

/// What the server does with a request.
#[derive(Clone)]
enum Answer {
    Says(String),
    Raw(String),
    Never,
}

fn says(text: impl ToString) -> Answer {
    Answer::Says(text.to_string())
}

async fn server(answers: Vec<Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, bodies) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(Vec::new())));
    let (count, kept) = (asked.clone(), bodies.clone());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (answers, count, kept) = (answers.clone(), count.clone(), kept.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                let body = loop {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let text = String::from_utf8_lossy(&request).to_lowercase();
                    let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                    let begin = head.len() + 4;
                    if request.len() - begin == length.parse::<usize>().unwrap() {
                        break serde_json::from_slice(&request[begin..]).unwrap();
                    }
                };
                kept.lock().unwrap().push(body);
                let nth = count.fetch_add(1, Ordering::SeqCst);
                let raw = match answers.get(nth).or(answers.last()).unwrap() {
                    Answer::Never => return std::future::pending().await,
                    Answer::Raw(raw) => raw.clone(),
                    Answer::Says(text) => {
                        let body = json!({"message": {"role": "assistant", "content": text}}).to_string();
                        format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                            body.len()
                        )
                    }
                };
                let _ = stream.write_all(raw.as_bytes()).await;
            });
        }
    });
    Server { url, asked, bodies }
}

fn stage(server: &Server, home: &Path, change: impl FnOnce(&mut LlmExtractSettings)) -> LlmExtract {
    let mut settings = LlmExtractSettings {
        model: "tiny".into(),
        url: server.url.clone(),
        proxy: false,
        ..Default::default()
    };
    change(&mut settings);
    LlmExtract::new(settings, home, |_| None).ok().unwrap()
}

fn envelope() -> Envelope {
    let messages = vec![
        Message::new(Role::User, "We moved to Bern last spring, and I still can't warm to fondue."),
        Message::new(Role::Assistant, "Have you tried raclette? I live in Paris."),
        Message::new(Role::User, "My sister Vreni swears by it."),
    ];
    Envelope::new(Session { messages, session_id: "s".into(), ..Session::default() }, FileFacts::default())
}

async fn run(stage: &LlmExtract, envelope: &mut Envelope) -> Result<String, StageError> {
    let cx = StageContext { name: "llm", attempt: 1, dry_run: false };
    stage.process(envelope, &cx).await?;
    Ok(envelope.note.clone().unwrap())
}

fn good() -> Value {
    json!({
        "facts": [
            {"attribute": "Lives In", "value": "Bern", "message": 0, "quote": "We moved to Bern"},
            {"attribute": "family.sister", "value": "Vreni", "message": 2, "quote": "My sister Vreni"},
            // Not said; said by the assistant; of another message; one word; a value nobody spoke of; no message.
            {"attribute": "lives_in", "value": "Basel", "message": 0, "quote": "We moved to Basel"},
            {"attribute": "lives_in", "value": "Paris", "message": 1, "quote": "I live in Paris"},
            {"attribute": "family.sister", "value": "Vreni", "message": 0, "quote": "My sister Vreni"},
            {"attribute": "pet", "value": "warm", "message": 0, "quote": "warm"},
            {"attribute": "pet", "value": "dog", "message": 0, "quote": "We moved to Bern"},
            {"attribute": "pet", "value": "dog", "quote": "We moved to Bern"},
            "nonsense",
        ],
        "preferences": [
            {"polarity": "against", "object": "Fondue", "message": 0, "quote": "can't warm to fondue"},
            {"polarity": "perhaps", "object": "fondue", "message": 0, "quote": "can't warm to fondue"},
        ],
    })
}

#[tokio::test]
async fn only_what_the_users_own_words_prove_is_learned_and_a_replay_asks_nobody() {
    let (home, server) = (tempfile::tempdir().unwrap(), server(vec![says(good())]).await);
    let stage = stage(&server, home.path(), |_| ());
    let mut first = envelope();
    assert_eq!(run(&stage, &mut first).await.unwrap(), "2 facts, 1 preferences, 8 without proof, 1 asked");
    let facts: Vec<_> = first
        .learned
        .facts
        .iter()
        .map(|it| (it.attribute.as_str(), it.value.as_str(), it.exclusive))
        .collect();
    assert_eq!(facts, [("lives_in", "Bern", true), ("family.sister", "Vreni", false)]);
    let liked = &first.learned.preferences[0];
    assert_eq!((liked.object.as_str(), liked.kind.as_str(), liked.quote.start), ("fondue", "dislike", 42));
    assert!(first.patch.is_some(), "the checkpoint keeps what was added");

    let mut again = envelope();
    let note = run(&stage, &mut again).await.unwrap();
    assert_eq!(note, "2 facts, 1 preferences, 8 without proof, 1 answered before");
    assert_eq!(again.learned, first.learned);
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
    forget_and_look(home.path(), &again);

    let body = &server.bodies.lock().unwrap()[0];
    assert_eq!((&body["model"], &body["stream"]), (&json!("tiny"), &json!(false)));
    assert_eq!(body["format"], crate::stages::llm_extract::prompt::schema());
    assert!(body["messages"][1]["content"].as_str().unwrap().contains("We moved to Bern"));
}

/// Nothing of a session stays once its answers are forgotten.
fn forget_and_look(home: &Path, envelope: &Envelope) {
    let folder = home.join("state/extracted").join(envelope.identity.to_string());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    for _ in 0..2 {
        crate::stages::llm_extract::forget(home, &envelope.identity).unwrap();
        assert!(!folder.exists());
    }
}

#[tokio::test]
async fn what_the_rules_found_is_not_added_again() {
    let (home, server) = (tempfile::tempdir().unwrap(), server(vec![says(good())]).await);
    let mut envelope = envelope();
    let quote = Quote { message: 0, start: 0, end: 16, text: "We moved to Bern".into() };
    let fact = |attribute: &str, value: &str| Fact {
        attribute: attribute.into(),
        value: value.into(),
        exclusive: true,
        confidence: 0.9,
        quote: quote.clone(),
    };
    envelope.learned.facts = vec![fact("lives_in", "bern, Switzerland"), fact("family.sister", "Anna")];
    let note = run(&stage(&server, home.path(), |_| ()), &mut envelope).await.unwrap();
    assert_eq!(note, "1 facts, 1 preferences, 1 known already, 8 without proof, 1 asked");
}

#[tokio::test]
async fn a_model_that_answers_nonsense_is_asked_once_more_and_then_passed_over() {
    let schema = crate::stages::llm_extract::prompt::schema();
    let fenced = format!("<think>{{hm}}</think>Sure!\n```json\n{}\n```", good());
    let lists = json!({"facts": schema["properties"]["facts"], "preferences": []});
    for (answers, expected) in [
        (
            vec![says(&schema), says(good())],
            "2 facts, 1 preferences, 8 without proof, 2 asked, 1 answers only the schema",
        ),
        (
            vec![says(lists)],
            "0 facts, 0 preferences, 2 asked, 2 answers only the schema, 1 parts passed over",
        ),
        (
            vec![says("{\"facts\": [{"), says(fenced)],
            "2 facts, 1 preferences, 8 without proof, 2 asked, 1 answers unreadable",
        ),
        (
            vec![says("I'm sorry, I can't.")],
            "0 facts, 0 preferences, 2 asked, 2 answers unreadable, 1 parts passed over",
        ),
        (
            vec![says("{".repeat(100_000))],
            "0 facts, 0 preferences, 2 asked, 2 answers unreadable, 1 parts passed over",
        ),
        (
            vec![Answer::Raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno".into())],
            "0 facts, 0 preferences, 2 asked, 2 answers unreadable, 1 parts passed over",
        ),
        (vec![says(json!({"facts": [], "preferences": null}))], "0 facts, 0 preferences, 1 asked"),
    ] {
        let (home, server) = (tempfile::tempdir().unwrap(), server(answers).await);
        let note = run(&stage(&server, home.path(), |_| ()), &mut envelope()).await.unwrap();
        assert_eq!(note, expected);
    }
}

#[tokio::test]
async fn a_slow_model_costs_its_part_and_never_more_than_the_budget() {
    let (home, server) = (tempfile::tempdir().unwrap(), server(vec![Answer::Never]).await);
    let slow = stage(&server, home.path(), |it| it.answer_timeout = Span::millis(30));
    assert_eq!(
        run(&slow, &mut envelope()).await.unwrap(),
        "0 facts, 0 preferences, 1 asked, 1 answers too slow, 1 parts passed over"
    );
    let mut long = envelope();
    let text = "Another thing I wanted to tell you. ".repeat(20);
    long.session.messages.extend((0..8).map(|_| Message::new(Role::User, text.clone())));
    let hasty = stage(&server, home.path(), |it| {
        (it.budget, it.part, it.max_parts) = (Span::millis(50), ByteSize(512), 6);
    });
    let begun = Instant::now();
    let note = run(&hasty, &mut long).await.unwrap();
    assert_eq!(note, "0 facts, 0 preferences, 1 asked, 1 answers too slow, 9 parts passed over");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_server_that_is_down_is_tried_later_and_one_without_the_model_fails_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let raw = |status: &str| vec![Answer::Raw(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"))];
    let busy = server(raw("503 Busy")).await;
    let error = run(&stage(&busy, home.path(), |_| ()), &mut envelope()).await.unwrap_err();
    assert!(matches!(error, StageError::Transient { .. }), "{error}");
    let without = server(raw("404 Not Found")).await;
    match run(&stage(&without, home.path(), |_| ()), &mut envelope()).await.unwrap_err() {
        StageError::Permanent { hint: Some(hint), .. } => assert!(hint.contains("ollama pull"), "{hint}"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_openai_server_is_asked_in_its_own_words() {
    let body = json!({"choices": [{"message": {"content": good().to_string()}}]}).to_string();
    let raw = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (home, server) = (tempfile::tempdir().unwrap(), server(vec![Answer::Raw(raw)]).await);
    let stage = stage(&server, home.path(), |it| {
        it.api = Api::Openai;
        it.url.push_str("/v1/");
    });
    assert!(run(&stage, &mut envelope()).await.unwrap().starts_with("2 facts, 1 preferences"));
    let body = &server.bodies.lock().unwrap()[0];
    assert_eq!(body["response_format"]["type"], "json_schema");
}

#[test]
fn settings_that_cannot_work_are_all_named() {
    let settings = LlmExtractSettings {
        url: "ftp://x".into(),
        max_parts: 0,
        parallel: 0,
        confidence: 2.0,
        part: ByteSize(1),
        ..Default::default()
    };
    let problems = LlmExtract::new(settings, Path::new("/"), |_| None).err().unwrap();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["model", "part", "max_parts", "parallel", "confidence", "url"]);
}
