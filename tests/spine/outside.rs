//! Programs and servers of stages that hang, flood or die in the middle of an answer, under the real daemon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::stand_in::http::{Answer, Request, Server};
use crate::state::assert_learned_in;
use crate::support::{Home, Pipeline, numbered_chat, wait_until};

const FILES: usize = 8;
/// Files whose stage hangs, floods, dies in the middle of its answer, and answers nonsense.
const TROUBLED: [&str; 4] = ["0.json", "1.json", "2.json", "3.json"];

/// A server that is in trouble over some chats, until it is mended.
fn server(number: impl Fn(&Request) -> Option<u64> + Send + Sync + 'static) -> (Server, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = mended.clone();
    let server = Server::start(move |request| {
        if is_mended.load(Ordering::SeqCst) {
            return Answer::Json(200, json!({}));
        }
        match number(request) {
            Some(0) => Answer::Hang,
            Some(1) => {
                Answer::Raw([b"HTTP/1.1 200 OK\r\n\r\n{\"".as_slice(), &vec![b'x'; 32 << 20]].concat())
            }
            Some(2) => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"facts\": [".to_vec()),
            Some(3) => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>".to_vec()),
            _ => Answer::Json(200, json!({})),
        }
    });
    (server, mended)
}

fn drop_all(home: &Home) {
    for number in 0..FILES {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
    }
}

/// The chats that meet no trouble are learned at once, the others are dead letters that say why; once the cause is
/// mended they are learned too, all of them once.
fn dead_letters_that_are_learned_later(home: &Home, kinds: [&str; 4], mend: impl FnOnce()) {
    let daemon = home.start();
    drop_all(home);
    for number in TROUBLED.len()..FILES {
        home.wait_done(&format!("{number}.json"));
    }
    for (name, kind) in TROUBLED.into_iter().zip(kinds) {
        let sidecar = home.wait_failed(name);
        assert_eq!(
            (&sidecar["stage"], &sidecar["kind"]),
            (&json!("outside"), &json!(kind)),
            "{name}: {sidecar}"
        );
    }
    assert_eq!(home.count("SELECT count(*) FROM sessions"), (FILES - TROUBLED.len()) as i64);
    mend();
    home.atles(&["failed", "retry", "--all"]).expect(0);
    wait_until("all are learned", || home.done().len() == FILES);
    wait_until("all small files are written", || home.status()["undelivered"] == 0);
    assert_learned_in(home, FILES, FILES + TROUBLED.len());
    daemon.stop();
}

#[test]
fn a_server_that_hangs_floods_or_dies_costs_its_own_chats_and_no_others() {
    let (server, mended) = server(|request| {
        let id = request.json()["session"]["session_id"].as_str()?.to_owned();
        id.strip_prefix("chat-")?.parse().ok()
    });
    let stage = format!(
        "kind = \"http\"\nname = \"outside\"\nurl = \"{}\"\nproxy = false\ntimeout = \"1s\"\n\
         retry = {{ attempts = 2, backoff = \"10ms\" }}",
        server.url
    );
    let home = Home::with(&Pipeline::new().stage(&stage).section("[workers]\nin_flight = 3"));
    let kinds = ["timeout", "permanent", "transient", "permanent"];
    dead_letters_that_are_learned_later(&home, kinds, || mended.store(true, Ordering::SeqCst));
}

#[test]
fn a_program_that_hangs_floods_or_dies_costs_its_own_chats_and_no_others() {
    let stage = "kind = \"exec\"\nname = \"outside\"\ncommand = [\"./stage.sh\"]\ntimeout = \"1s\"\n\
                 retry = { attempts = 2, backoff = \"10ms\" }";
    let home = Home::with(&Pipeline::new().stage(stage).section("[workers]\nin_flight = 3"));
    let mended = home.folder().join("mended");
    let script = "#!/bin/sh\n[ -e 'MENDED' ] && exec cat >/dev/null\ncase $(cat) in\n\
         *'\"chat-0\"'*) sleep 100000 & sleep 100000 ;;\n\
         *'\"chat-1\"'*) exec yes ;;\n\
         *'\"chat-2\"'*) printf '{\"facts\": ['; kill -9 $$ ;;\n\
         *'\"chat-3\"'*) printf '<html>' ;;\n\
         esac\n";
    home.script("stage.sh", &script.replace("MENDED", mended.to_str().unwrap()));
    let kinds = ["timeout", "permanent", "transient", "permanent"];
    dead_letters_that_are_learned_later(&home, kinds, || std::fs::write(&mended, "").unwrap());
}

#[test]
fn a_model_that_hangs_floods_or_dies_is_passed_over_or_tried_again_and_the_chats_are_learned() {
    let (server, mended) = server(|request| {
        let asked = request.json().to_string();
        (0..TROUBLED.len() as u64).find(|number| asked.contains(&format!("number {number}.")))
    });
    let stage = format!(
        "kind = \"llm_extract\"\nname = \"outside\"\nurl = \"{}\"\nmodel = \"tiny\"\nproxy = false\n\
         answer_timeout = \"4s\"\nbudget = \"5s\"\nparallel = 4\nretry = {{ attempts = 500, backoff = \"50ms\", max_backoff = \"200ms\" }}",
        server.url
    );
    let home = Home::with(&Pipeline::new().stage(&stage));
    let daemon = home.start();
    drop_all(&home);
    for number in TROUBLED.len()..FILES {
        home.wait_done(&format!("{number}.json"));
    }
    home.wait_done("0.json");
    home.wait_done("3.json");
    assert_eq!(home.wait_failed("1.json")["kind"], "permanent", "a flood is no answer");
    mended.store(true, Ordering::SeqCst);
    home.atles(&["failed", "retry", "1.json"]).expect(0);
    wait_until("all are learned", || home.done().len() == FILES);
    wait_until("all small files are written", || home.status()["undelivered"] == 0);
    assert_learned_in(&home, FILES, FILES + 1);
    let hung = home.session_logs().into_iter().find(|(_, log)| log["session_id"] == "chat-0").unwrap().1;
    let note = |log: &Value| {
        let stages = log["stages"].as_array().unwrap().clone();
        stages.iter().find(|stage| stage["name"] == "outside").unwrap()["note"].to_string()
    };
    assert!(note(&hung).contains("passed over"), "{}", note(&hung));
    let begun = std::time::Instant::now();
    daemon.stop();
    assert!(begun.elapsed() < Duration::from_secs(15));
}
