//! A home to run `atles` on, and ways to look at what came of it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

/// No condition of a test takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Looks at a condition until it gives something, and gives up loudly.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(LOOK);
    }
}

/// Looks at a condition until it holds, and gives up loudly.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// The stages most tests run: each kind that leaves something behind.
const STAGES: &str = r#"
[[stage]]
kind = "redact"
[[stage]]
kind = "preferences"
[[stage]]
kind = "memory"
[[stage]]
kind = "training_data"
[[stage]]
kind = "session_log"
"#;

/// What stands before the stages: short times, so that tests need not wait.
const SPOOL: [(&str, &str); 4] =
    [("settle", "\"40ms\""), ("grace", "\"300ms\""), ("rescan", "\"1s\""), ("watcher", "\"auto\"")];

/// A pipeline.toml in the making.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    spool: Vec<(String, String)>,
    sections: String,
    stages: String,
}

impl Pipeline {
    pub(crate) fn new() -> Self {
        let spool = SPOOL.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Pipeline { spool, sections: "[disk]\nmin_free = \"1MiB\"\n".into(), stages: STAGES.into() }
    }

    /// Sets a key of `[spool]`.
    pub(crate) fn spool(mut self, key: &str, value: &str) -> Self {
        self.spool.retain(|(known, _)| known != key);
        self.spool.push((key.into(), value.into()));
        self
    }

    /// Adds a section, or takes the place of the one of the same name.
    pub(crate) fn section(mut self, text: &str) -> Self {
        if text.starts_with("[disk]") {
            self.sections.clear();
        }
        self.sections.push_str(text);
        self.sections.push('\n');
        self
    }

    /// Puts a stage before `memory`.
    pub(crate) fn stage(mut self, text: &str) -> Self {
        let memory = "[[stage]]\nkind = \"memory\"";
        self.stages = self.stages.replace(memory, &format!("[[stage]]\n{text}\n{memory}"));
        self
    }

    /// Puts a stage at the end.
    pub(crate) fn last_stage(mut self, text: &str) -> Self {
        self.stages.push_str(&format!("[[stage]]\n{text}\n"));
        self
    }

    /// Changes the text of the stages.
    pub(crate) fn edit(mut self, from: &str, to: &str) -> Self {
        assert!(self.stages.contains(from), "{from} is not in the stages");
        self.stages = self.stages.replace(from, to);
        self
    }

    pub(crate) fn text(&self) -> String {
        let spool: String = self.spool.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!(
            "version = 1\n[spool]\n{spool}{}\n[[stage]]\nkind = \"decode\"\n{}",
            self.sections, self.stages
        )
    }
}

/// A folder with a pipeline.toml and the home that it names.
pub(crate) struct Home {
    folder: TempDir,
    root: PathBuf,
}

/// The program: the one of this build, or the one that `ATLES_PROGRAM` names.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("ATLES_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_atles").into(), PathBuf::from)
}

/// What a run of `atles` said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The words on stdout, if the exit code is the expected one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl Home {
    /// A home with the stages that leave something behind.
    pub(crate) fn new() -> Self {
        Home::with(&Pipeline::new())
    }

    pub(crate) fn with(pipeline: &Pipeline) -> Self {
        Home::with_text(&pipeline.text())
    }

    pub(crate) fn with_text(text: &str) -> Self {
        let folder = TempDir::with_prefix("atles-").expect("a temporary folder");
        Home::below(folder, Path::new(""), text)
    }

    /// A home in a folder below a temporary one.
    pub(crate) fn below(folder: TempDir, path: &Path, text: &str) -> Self {
        let root = folder.path().join(path);
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("pipeline.toml"), text).unwrap();
        let home = Home { folder, root };
        fs::create_dir_all(home.spool()).unwrap();
        home
    }

    /// The folder of pipeline.toml.
    pub(crate) fn folder(&self) -> &Path {
        &self.root
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("pipeline.toml")
    }

    /// A path in the home.
    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.join("atles_memory").join(below)
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.path("spool")
    }

    pub(crate) fn edit_pipeline(&self, pipeline: &Pipeline) {
        self.edit_text(&pipeline.text());
    }

    /// As an editor does: written aside and renamed.
    pub(crate) fn edit_text(&self, text: &str) {
        let aside = self.root.join(".pipeline.toml.new");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, self.config()).unwrap();
    }

    /// A file beside pipeline.toml that can be run.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::write(&path, text).unwrap();
        std::os::unix::fs::PermissionsExt::set_mode(&mut fs::metadata(&path).unwrap().permissions(), 0o755);
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Drops a file as chat apps should: written aside, then renamed.
    pub(crate) fn drop_file(&self, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let aside = self.spool().join(format!(".drop-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::write(&aside, content).unwrap();
        fs::rename(aside, self.spool().join(name.as_ref())).unwrap();
    }

    /// The program, with nothing of this process's environment but the way to other programs.
    pub(crate) fn command(&self) -> Command {
        self.command_of(Command::new(program()))
    }

    /// Another command that leads to the program, as `strace` may.
    pub(crate) fn command_of(&self, mut command: Command) -> Command {
        command.env_clear().env("ATLES_CONFIG", self.config()).current_dir(self.folder.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn atles(&self, args: &[&str]) -> Said {
        said(self.command().args(args))
    }

    /// Works through the spool and ends with the expected exit code.
    #[track_caller]
    pub(crate) fn once(&self, code: i32) -> Said {
        self.atles(&["run", "--once"]).expect(code)
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(&self) -> Daemon<'_> {
        let daemon = self.start_unasked();
        wait_until("the daemon answers", || {
            let report = self.status();
            report["running"] == true && report["watcher"] != ""
        });
        daemon
    }

    /// Starts the daemon and goes on at once.
    pub(crate) fn start_unasked(&self) -> Daemon<'_> {
        self.start_as(self.command())
    }

    /// Starts the daemon with a command that was made ready for it.
    pub(crate) fn start_as(&self, mut command: Command) -> Daemon<'_> {
        let words = fs::OpenOptions::new().append(true).create(true).open(self.words_path()).unwrap();
        let child = command.arg("run").stdout(Stdio::null()).stderr(words).spawn().expect("atles starts");
        Daemon { home: self, child }
    }

    fn words_path(&self) -> PathBuf {
        self.folder.path().join("daemon.stderr")
    }

    /// What all daemons of this home said on standard error so far.
    pub(crate) fn words(&self) -> String {
        fs::read_to_string(self.words_path()).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> Value {
        let said = self.atles(&["status", "--json"]);
        assert!(matches!(said.code, Some(0 | 4)), "{said:?}");
        said.json()
    }

    /// A count over the life of the home, as a running daemon tells it.
    pub(crate) fn total(&self, name: &str) -> u64 {
        let report = self.status();
        report["totals"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {report}"))
    }

    /// Names in a folder of the home, in order, without hidden ones.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry.unwrap())).filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    pub(crate) fn done(&self) -> Vec<String> {
        self.names("done")
    }

    /// Names in `failed/` without the sidecars.
    pub(crate) fn failed(&self) -> Vec<String> {
        self.names("failed").into_iter().filter(|name| !name.ends_with(".error.json")).collect()
    }

    pub(crate) fn sidecar(&self, name: &str) -> Value {
        let path = self.path("failed").join(format!("{name}.error.json"));
        serde_json::from_slice(&fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))).unwrap()
    }

    /// Waits until a file is in `done/`; a dead letter of that name says at once why it is one.
    pub(crate) fn wait_done(&self, name: &str) {
        wait_until(&format!("{name} in done/"), || {
            assert!(!self.failed().iter().any(|failed| failed == name), "{}", self.sidecar(name));
            self.path("done").join(name).symlink_metadata().is_ok()
        });
    }

    /// Waits until a file is in `failed/`, and gives its sidecar.
    pub(crate) fn wait_failed(&self, name: &str) -> Value {
        wait_until(&format!("{name} in failed/"), || {
            assert!(!self.done().iter().any(|done| done == name), "{name} is in done/");
            self.path("failed").join(name).symlink_metadata().is_ok()
        });
        self.sidecar(name)
    }

    pub(crate) fn memory(&self) -> Connection {
        Connection::open_with_flags(self.path("memory.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
    }

    /// A number out of memory.db.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.memory().query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Whether the full-text index has every session: its mark has reached the last one.
    pub(crate) fn is_indexed(&self) -> bool {
        let mark = "(SELECT value FROM meta WHERE name = 'indexed')";
        self.count(&format!("SELECT {mark} >= max(id) FROM sessions")) == 1
    }

    /// How many lines of the master log are written to their end: a reader may see the last one half appended.
    pub(crate) fn logged(&self) -> usize {
        let text = fs::read(self.path("logs/master_log.jsonl")).unwrap_or_default();
        text.into_iter().filter(|&byte| byte == b'\n').count()
    }

    /// The lines of the master log, while nothing is being appended.
    pub(crate) fn master_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("logs/master_log.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The session logs by name.
    pub(crate) fn session_logs(&self) -> Vec<(String, Value)> {
        let read = |name: &String| fs::read(self.path("logs").join(name)).unwrap();
        let names = self.names("logs").into_iter().filter(|name| name.starts_with("session_log_"));
        names.map(|name| (name.clone(), serde_json::from_slice(&read(&name)).unwrap())).collect()
    }

    /// The examples of all training files.
    pub(crate) fn examples(&self) -> Vec<Value> {
        let mut examples = Vec::new();
        for name in self.names("training_data") {
            let text = fs::read_to_string(self.path("training_data").join(name)).unwrap();
            examples.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        examples
    }

    /// Every file of the folder with pipeline.toml, and a hash of its content and mode.
    pub(crate) fn fingerprint(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        for path in files_below(&self.root) {
            let mode =
                std::os::unix::fs::PermissionsExt::mode(&fs::symlink_metadata(&path).unwrap().permissions());
            let content = fs::read(&path).unwrap_or_default();
            found.push((path, format!("{mode:o} {}", blake3::hash(&content))));
        }
        found
    }
}

/// Everything below a folder but folders, in order.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Runs a command to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.output().expect("atles starts");
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        err: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

/// Runs a command with something on its standard input.
pub(crate) fn said_with_input(command: &mut Command, input: &[u8]) -> Said {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("atles starts");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running daemon; killed when the test is over.
pub(crate) struct Daemon<'a> {
    home: &'a Home,
    child: Child,
}

impl Daemon<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Kills it without any chance to clean up.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let code = wait_for("the daemon ends", || self.child.try_wait().unwrap());
        code.code()
    }

    /// Asks it to stop, and waits for a good end.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let code = self.wait();
        assert_eq!(code, Some(0), "{}", self.home.words());
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon said:\n{}", self.home.words());
        }
    }
}

/// A session file. Texts take turns between user and assistant.
pub(crate) fn chat(id: &str, texts: &[&str]) -> String {
    let roles = ["user", "assistant"].into_iter().cycle();
    let messages: Vec<Value> =
        roles.zip(texts).map(|(role, text)| json!({ "role": role, "content": text })).collect();
    json!({
        "session_id": id, "user_id": "ada", "app": "test",
        "start_time": "2026-04-01T10:00:00Z", "messages": messages,
    })
    .to_string()
}

/// A chat like no other: a question and an answer that make one training example, told apart by a number.
pub(crate) fn numbered_chat(number: usize) -> String {
    const WORDS: &str = "harbour lantern glacier orchard violin compass meadow furnace canyon atlas ember willow \
        granite saddle thimble beacon marble cobalt ferry pepper velvet timber quartz anchor barley copper dune elm \
        falcon garnet heron island jasmine kettle lagoon mosaic nectar opal pine quiver river sable tundra umbra valley";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut state = number as u64 + 1;
    let mut word = || {
        // Knuth's constants; the upper bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        words[(state >> 33) as usize % words.len()]
    };
    let mut sentence = |length: usize| (0..length).map(|_| word()).collect::<Vec<_>>().join(" ");
    let question = format!("What becomes of the {}?", sentence(6));
    let answer = format!("The {} lies beyond the {}, number {number}.", sentence(12), sentence(12));
    chat(&format!("chat-{number}"), &[&question, &answer])
}
