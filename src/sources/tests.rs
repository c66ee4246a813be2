use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Observer, ObserverSettings, Program};
use crate::session::formats::{Format, decode};
use crate::spool::Home;
use crate::state::{InMemoryStore, State};

const QUIET: Duration = Duration::from_secs(60);

struct World {
    dir: tempfile::TempDir,
    home: Home,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("home"));
        home.prepare().unwrap();
        fs::create_dir(dir.path().join("theirs")).unwrap();
        World { dir, home }
    }

    fn theirs(&self) -> PathBuf {
        self.dir.path().join("theirs")
    }

    /// Writes a file of the program that was last touched so long ago.
    fn write(&self, name: &str, text: &str, ago: Duration) {
        self.write_bytes(name, text.as_bytes(), ago);
    }

    fn write_bytes(&self, name: &str, bytes: &[u8], ago: Duration) {
        let path = self.theirs().join(name);
        fs::write(&path, bytes).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_modified(SystemTime::now() - ago).unwrap();
    }

    fn look(&self, program: Program, state: &State) {
        let source = ObserverSettings { path: self.theirs(), program, quiet: QUIET, user: None };
        Observer::look_once(&self.home, state.clone(), vec![source], 64 << 20).unwrap();
    }

    /// Session id and number of messages of what waits in the spool.
    fn waiting(&self) -> Vec<(String, usize)> {
        let read =
            |path: PathBuf| decode(&fs::read(path).unwrap(), Format::Atles).unwrap().sessions.remove(0);
        let files = fs::read_dir(&self.home.spool).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<_> = files.map(read).map(|s| (s.session_id, s.messages.len())).collect();
        found.sort();
        found
    }
}

fn fresh_state() -> State {
    State::new(Arc::new(InMemoryStore::default()))
}

fn transcript(texts: &[(&str, &str)]) -> String {
    let line = |(role, text): &(&str, &str)| {
        format!(
            "{{\"thread_id\": \"t1\", \"role\": \"{role}\", \"content\": \"{text}\", \"status\": \"ready\"}}\n"
        )
    };
    texts.iter().map(line).collect()
}

#[test]
fn a_conversation_is_taken_at_rest_and_a_turn_that_never_ends_later() {
    let world = World::new();
    let state = fresh_state();
    let asked = transcript(&[("user", "Tea?")]);
    let name = "messages.jsonl";
    world.write(name, &transcript(&[("user", "Tea?"), ("assistant", "Green.")]), QUIET / 2);
    world.look(Program::Jan, &state);
    assert_eq!(world.waiting(), [], "written to a moment ago");
    world.write(name, &asked, QUIET * 2);
    world.look(Program::Jan, &state);
    assert_eq!(world.waiting(), [], "an answer is awaited");
    world.write(name, &asked, QUIET * 13);
    world.look(Program::Jan, &state);
    assert_eq!(world.waiting(), [("t1".to_owned(), 1)]);
}

#[test]
fn a_crash_before_anything_was_noted_hands_the_same_over_once() {
    let world = World::new();
    world.write("messages.jsonl", &transcript(&[("user", "Tea?"), ("assistant", "Green.")]), QUIET * 2);
    for _ in 0..3 {
        world.look(Program::Jan, &fresh_state());
        assert_eq!(world.waiting(), [("t1".to_owned(), 2)]);
    }
}

#[test]
fn what_was_handed_over_is_not_again_until_something_is_said() {
    let world = World::new();
    let state = fresh_state();
    let said = [("user", "Tea?"), ("assistant", "Green.")];
    world.write("messages.jsonl", &transcript(&said), QUIET * 2);
    world.look(Program::Jan, &state);
    fs::remove_dir_all(&world.home.spool).unwrap();
    world.home.prepare().unwrap();
    // Another time and another size, and nothing said.
    world.write("messages.jsonl", &(transcript(&said) + "\n\n{\"thread_id\": \"t1\"}\n"), QUIET * 3);
    world.look(Program::Jan, &state);
    assert_eq!(world.waiting(), []);
    world.write(
        "messages.jsonl",
        &transcript(&[said[0], said[1], ("user", "Black!"), ("assistant", "Fine.")]),
        QUIET * 3,
    );
    world.look(Program::Jan, &state);
    assert_eq!(world.waiting(), [("t1".to_owned(), 4)], "the whole chat, as a revision");
}

#[test]
fn a_rollout_that_was_compressed_is_the_same_and_one_that_goes_on_is_read_where_it_is_newer() {
    let world = World::new();
    let state = fresh_state();
    let (plain, packed) = ("rollout-x.jsonl", "rollout-x.jsonl.zst");
    let meta = "{\"type\": \"session_meta\", \"payload\": {\"id\": \"x\"}}\n".to_owned();
    let said = |role: &str, text: &str| {
        let kind = if role == "user" { "input_text" } else { "output_text" };
        format!(
            "{{\"type\": \"response_item\", \"payload\": {{\"type\": \"message\", \"role\": \"{role}\", \
             \"content\": [{{\"type\": \"{kind}\", \"text\": \"{text}\"}}]}}}}\n"
        )
    };
    let text = meta + &said("user", "Tea?") + &said("assistant", "Green.");
    world.write(plain, &text, QUIET * 2);
    world.look(Program::Codex, &state);
    assert_eq!(world.waiting(), [("x".to_owned(), 2)]);
    let clear = || {
        fs::remove_dir_all(&world.home.spool).unwrap();
        world.home.prepare().unwrap();
    };
    clear();

    fs::remove_file(world.theirs().join(plain)).unwrap();
    world.write_bytes(packed, &super::unpack::tests::packed(text.as_bytes()), QUIET * 2);
    world.look(Program::Codex, &state);
    assert_eq!(world.waiting(), [], "nothing in it is new");
    world.look(Program::Codex, &fresh_state());
    assert_eq!(world.waiting(), [("x".to_owned(), 2)], "and to another home all of it is");
    clear();

    let longer = text + &said("user", "Black!") + &said("assistant", "Fine.");
    world.write(plain, &longer, QUIET * 2);
    for _ in 0..2 {
        world.look(Program::Codex, &fresh_state());
        assert_eq!(world.waiting(), [("x".to_owned(), 4)], "the compressed one beside it is older");
    }
}

#[cfg(unix)]
#[test]
fn hostile_names_and_odd_files_do_no_harm() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let chat = transcript(&[("user", "Tea?"), ("assistant", "Green.")]);
    for name in [b"a\nb".as_slice(), b"\xff\xfe", b"$(touch x)", b"..."] {
        let folder = world.theirs().join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("messages.jsonl"), [0xff, 0xfe, b'\n']).unwrap();
    }
    let made =
        std::process::Command::new("mkfifo").arg(world.theirs().join("messages.jsonl")).status().unwrap();
    assert!(made.success());
    fs::create_dir(world.theirs().join("good")).unwrap();
    world.write("good/messages.jsonl", &chat, QUIET * 2);
    world.look(Program::Jan, &fresh_state());
    assert_eq!(world.waiting(), [("t1".to_owned(), 2)]);
}
