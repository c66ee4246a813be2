//! Chats that still run, and apps that die.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::OptionalExtension;
use serde_json::json;

use crate::support::{Home, Pipeline, wait_until};

/// A chat app that writes a live file as the clients do.
struct App<'a> {
    home: &'a Home,
    session: &'static str,
    path: PathBuf,
    file: File,
    messages: Vec<serde_json::Value>,
}

impl<'a> App<'a> {
    fn start(home: &'a Home, session: &'static str, token: &str) -> Self {
        let path = home.spool().join(format!(".live-{token}.jsonl"));
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path).unwrap();
        file.lock().unwrap();
        let live = json!({"version": 1, "client": "test", "lock": "flock", "pid": std::process::id()});
        let mut first = head(session);
        first["live"] = live;
        writeln!(file, "{first}").unwrap();
        App { home, session, path, file, messages: Vec::new() }
    }

    fn says(&mut self, text: &str) {
        self.adds("user", text);
    }

    fn adds(&mut self, role: &str, text: &str) {
        let message = json!({"role": role, "content": text});
        self.file.write_all(format!("{message}\n").as_bytes()).unwrap();
        self.messages.push(message);
    }

    /// Publishes the session, as `end_session` does; its file's name.
    fn end(self) -> String {
        let name = format!("completed_{}-0.json", self.session);
        let mut session = head(self.session);
        session["messages"] = json!(self.messages);
        self.home.drop_file(&name, session.to_string());
        fs::remove_file(&self.path).unwrap();
        name
    }

    /// Dies in the middle of a line.
    fn die(mut self) {
        self.file.write_all(b"{\"role\":\"user\",\"conte").unwrap();
    }
}

fn head(session: &str) -> serde_json::Value {
    json!({"session_id": session, "user_id": "ada", "app": "test", "metadata": {}})
}

fn home() -> Home {
    Home::with(&pipeline())
}

fn pipeline() -> Pipeline {
    Pipeline::new().spool("live_timeout", "\"200ms\"").stage("kind = \"facts\"")
}

/// The facts and preferences of ada that hold now, each with how often it was said.
fn known(home: &Home) -> Vec<String> {
    if !home.path("memory.db").exists() {
        return Vec::new();
    }
    let sql = "SELECT value || '*' || mentions FROM facts_now WHERE user_id = 'ada'
               UNION ALL SELECT object || '*' || mentions FROM preferences_now WHERE user_id = 'ada'";
    let memory = home.memory();
    // Before the daemon has made the tables there is nothing to ask.
    let Ok(mut statement) = memory.prepare(sql) else { return Vec::new() };
    let mut known: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    known.sort();
    known
}

fn wait_known(home: &Home, expected: &[&str]) {
    wait_until(&format!("{expected:?} is known"), || known(home) == expected);
}

#[test]
fn what_is_said_in_a_running_chat_is_recallable_within_a_second() {
    let home = home();
    let daemon = home.start();
    let mut app = App::start(&home, "running", "1");
    let towns = ["Lisbon", "Porto", "Faro", "Braga", "Evora", "Tomar", "Sintra"];
    let mut took: Vec<Duration> = towns
        .iter()
        .map(|town| {
            let said = Instant::now();
            app.says(&format!("I live in {town}."));
            wait_known(&home, &[&format!("{town}*1")]);
            said.elapsed()
        })
        .collect();
    took.sort();
    assert!(took[towns.len() / 2] < Duration::from_secs(1), "{took:?}");
    assert_eq!(home.status()["live"], 1);

    let recalled = home.atles(&["recall", "Where do I live?", "--user", "ada", "--json"]).expect(0).json();
    assert!(recalled.to_string().contains("I live in Sintra."), "{recalled}");
    let name = app.end();
    home.wait_done(&name);
    wait_known(&home, &["Sintra*1"]);
    wait_until("the chat counts as over", || home.status()["live"] == 0);
    assert_eq!(home.count("SELECT count(*) FROM live"), 0);
    assert_eq!(home.total("memory_items"), 14, "what was stored meanwhile makes nothing old news");
    daemon.stop();
}

#[test]
fn at_no_time_is_a_fact_doubled_or_forgotten_while_its_session_ends() {
    let home = home();
    let daemon = home.start();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut app = App::start(&home, "ends", "1");
        app.says("I live in Lisbon.");
        wait_known(&home, &["Lisbon*1"]);
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                let seen = known(&home);
                if seen != ["Lisbon*1"] {
                    over.store(true, Ordering::Release);
                    panic!("{seen:?}");
                }
            }
        });
        app.adds("assistant", "A fine town.");
        let name = app.end();
        home.wait_done(&name);
        let memory = home.memory();
        let final_row = "SELECT 1 FROM sessions WHERE remembered AND session_id = 'ends'";
        assert!(memory.query_row(final_row, [], |_| Ok(())).optional().unwrap().is_some());
        over.store(true, Ordering::Release);
    });
    daemon.stop();
}

#[test]
fn a_chat_whose_app_died_is_learned_and_the_torn_line_counted() {
    let home = home();
    let daemon = home.start();
    let mut app = App::start(&home, "died", "ab1");
    app.says("I live in Lisbon.");
    app.adds("assistant", "Noted.");
    app.die();
    home.wait_done("completed_live-ab1.jsonl");
    wait_known(&home, &["Lisbon*1"]);
    assert_eq!(home.count("SELECT message_count FROM session_memories"), 2);
    assert_eq!(home.count("SELECT count(*) FROM live"), 0);
    assert!(home.words().contains("1 torn line"), "{}", home.words());
    daemon.stop();
}

#[test]
fn a_run_that_works_through_the_spool_once_takes_the_dead_and_leaves_the_living() {
    let home = home();
    let mut died = App::start(&home, "died", "1");
    died.says("I live in Lisbon.");
    died.die();
    let mut runs = App::start(&home, "runs", "2");
    runs.says("I live in Porto.");
    let silent = Instant::now() + Duration::from_millis(250);
    wait_until("the live files are silent", || Instant::now() > silent);
    home.once(0);
    assert_eq!(
        (home.done(), known(&home)),
        (vec!["completed_live-1.jsonl".to_owned()], vec!["Lisbon*1".into()])
    );
    assert!(runs.path.exists());
}

#[test]
fn a_daemon_that_is_killed_doubles_nothing_and_leaves_nothing_behind() {
    let home = home();
    let daemon = home.start();
    let mut ended = App::start(&home, "ended", "1");
    ended.says("I live in Lisbon.");
    wait_known(&home, &["Lisbon*1"]);
    let mut vanished = App::start(&home, "vanished", "2");
    vanished.says("My name is Ada.");
    let mut goes_on = App::start(&home, "goes-on", "3");
    goes_on.says("I love green tea.");
    wait_known(&home, &["Ada*1", "Lisbon*1", "green tea*1"]);
    daemon.kill();

    ended.adds("assistant", "Noted.");
    let name = ended.end();
    fs::remove_file(&vanished.path).unwrap();
    goes_on.says("I hate olives.");
    let daemon = home.start();
    home.wait_done(&name);
    wait_known(&home, &["Lisbon*1", "green tea*1", "olives*1"]);
    assert_eq!(home.count("SELECT count(DISTINCT token) FROM live"), 1, "that of the one that goes on");
    let name = goes_on.end();
    home.wait_done(&name);
    wait_known(&home, &["Lisbon*1", "green tea*1", "olives*1"]);
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 2);
    daemon.stop();
}

#[test]
fn a_chat_that_was_adopted_too_early_and_goes_on_adds_only_what_is_new() {
    let home = home();
    let daemon = home.start();
    let mut first = App::start(&home, "s", "1");
    first.says("I live in Lisbon.");
    let said = first.messages.clone();
    drop(first);
    home.wait_done("completed_live-1.jsonl");
    let mut again = App::start(&home, "s", "2");
    for message in said {
        again.adds("user", message["content"].as_str().unwrap());
    }
    again.says("I love green tea.");
    wait_known(&home, &["Lisbon*1", "green tea*1"]);
    let name = again.end();
    home.wait_done(&name);
    wait_known(&home, &["Lisbon*1", "green tea*1"]);
    assert_eq!((home.total("sessions"), home.total("revisions")), (1, 1));
    daemon.stop();
}

#[test]
fn what_the_chain_would_not_remember_is_not_stored_meanwhile_either() {
    const KEY: &str = "sk-ant-api03-Zx9Qw8Er7Ty6Ui5Op4As3Df2Gh1Jk0LzXcVbNmQwErTyUiOpAsDfGhJkLzXcVbNmQwErTyUiOpAsDfGhJkLzXcVbNmAA";
    let pipeline = pipeline().edit(
        "[[stage]]\nkind = \"preferences\"",
        "[[stage]]\nkind = \"filter\"\nmin_messages = 2\n[[stage]]\nkind = \"preferences\"",
    );
    let home = Home::with(&pipeline);
    let daemon = home.start();
    let mut app = App::start(&home, "short", "1");
    app.says(&format!("I live in Lisbon. My key is {KEY} and I trust you with kingfisher22."));
    wait_until("it is seen", || home.status()["live"] == 1);
    // A second chat that is stored shows that the first had its turn.
    let mut other = App::start(&home, "other", "2");
    other.says("My name is Ada.");
    other.says("I love green tea.");
    wait_known(&home, &["Ada*1", "green tea*1"]);
    app.says("My password is kingfisher22.");
    wait_known(&home, &["Ada*1", "Lisbon*1", "green tea*1"]);
    let texts = "SELECT count(*) FROM messages WHERE text LIKE '%kingfisher%' OR text LIKE '%sk-ant%'";
    assert_eq!(home.count(texts), 0);
    assert!(home.count("SELECT count(*) FROM messages WHERE text LIKE '%<%_1>%'") > 0);
    daemon.stop();
}

#[test]
fn another_program_that_looks_into_memory_meanwhile_takes_nothing_away() {
    let home = home();
    let daemon = home.start();
    let mut app = App::start(&home, "s", "1");
    // Who opens the database to write, and is the last to close it, takes its write-ahead log away.
    let look = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT 1 FROM sessions').fetchall(); db.close()";
    for town in ["Lisbon", "Porto", "Faro"] {
        app.says(&format!("I live in {town}."));
        wait_known(&home, &[&format!("{town}*1")]);
        let looked = Command::new("python3").args(["-c", look]).arg(home.path("memory.db")).status().unwrap();
        assert!(looked.success());
    }
    let name = app.end();
    home.wait_done(&name);
    assert_eq!(home.count("SELECT count(*) FROM session_memories"), 1);
    wait_known(&home, &["Faro*1"]);
    daemon.stop();
}

#[test]
fn a_value_that_turns_out_to_be_secret_is_taken_back() {
    let home = home();
    let daemon = home.start();
    let mut app = App::start(&home, "s", "1");
    app.says("kingfisher22x is what I type, and I live in Lisbon.");
    wait_known(&home, &["Lisbon*1"]);
    let held = "SELECT count(*) FROM messages WHERE text LIKE '%kingfisher%'";
    assert_eq!(home.count(held), 1, "nothing says yet that it is one");
    app.says("That is: my password is kingfisher22x");
    wait_until("it is gone", || home.count(held) == 0);
    assert_eq!(home.count("SELECT count(*) FROM messages"), 2);
    wait_known(&home, &["Lisbon*1"]);
    daemon.stop();
}

#[test]
fn without_follow_a_running_chat_is_learned_at_its_end_alone() {
    let home = Home::with(&pipeline().spool("follow", "false"));
    let daemon = home.start();
    let mut app = App::start(&home, "s", "1");
    app.says("I live in Lisbon.");
    wait_until("it is seen", || home.status()["live"] == 1);
    let name = app.end();
    home.wait_done(&name);
    wait_known(&home, &["Lisbon*1"]);
    assert_eq!(home.count("SELECT max(id) FROM sessions"), 1, "no row was ever made meanwhile");
    daemon.stop();
}

#[test]
fn a_chat_that_is_forgotten_while_it_runs_is_not_known_again_whatever_its_app_writes() {
    let home = home();
    let daemon = home.start();
    let mut app = App::start(&home, "runs", "first");
    app.says("I live in Koper.");
    wait_known(&home, &["Koper*1"]);
    home.atles(&["forget", "--session", "runs"]).expect(0);
    wait_known(&home, &[]);
    assert!(!app.path.exists(), "what its app has open is deleted");
    // As clients do then: a new file with the whole chat, and at its end the session file.
    let mut again = App::start(&home, "runs", "second");
    again.says("I live in Koper.");
    again.says("I like figs.");
    let mut other = App::start(&home, "other", "third");
    other.says("I live in Piran.");
    wait_known(&home, &["Piran*1"]);
    let name = again.end();
    home.wait_done(&name);
    assert!(!fs::read_to_string(home.path("done").join(&name)).unwrap().contains("Koper"));
    let name = other.end();
    home.wait_done(&name);
    assert_eq!(known(&home), ["Piran*1"]);
    assert_eq!(home.count("SELECT count(*) FROM messages"), 1);
    daemon.stop();
}
