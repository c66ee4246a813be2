use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, mpsc};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::session::{FileFacts, Message, Role, Session};
use crate::training::SeenExamples;

fn services(folder: &Path) -> Services {
    Services {
        home: folder.to_owned(),
        config_dir: folder.to_owned(),
        home_key: [0; 32],
        examples: Arc::new(SeenExamples::new(1)),
    }
}

fn envelope(text: &str) -> Envelope {
    let messages =
        vec![Message::new(Role::User, text), Message::new(Role::Assistant, "Glad to hear it, thanks.")];
    Envelope::new(Session { messages, ..Session::default() }, FileFacts::default())
}

fn sh(script: &str) -> ExecSettings {
    ExecSettings { command: ["sh", "-c", script].map(Into::into).into(), ..ExecSettings::default() }
}

async fn run(config: ExecSettings, folder: &Path, envelope: &mut Envelope) -> Result<Verdict, StageError> {
    let stage = config.build(&services(folder)).unwrap();
    stage.process(envelope, &StageContext { name: "outside", attempt: 1, dry_run: false }).await
}

/// Runs a script on a short session in a folder of its own.
async fn answer(script: &str) -> (Result<Verdict, StageError>, Envelope) {
    let home = TempDir::new().unwrap();
    let mut envelope = envelope("I love the sea.");
    let verdict = run(sh(script), home.path(), &mut envelope).await;
    (verdict, envelope)
}

#[tokio::test]
async fn a_program_reads_the_session_and_adds_what_it_learned() {
    let (verdict, envelope) = answer(
        r#"read -r line
           case $line in *'"stage":"outside"'*'"content":"I love the sea."'*) ;; *) exit 9;; esac
           echo '{"learned": {"mood": "calm"}, "facts": [{"attribute": "likes", "value": "the sea",
                  "quote": {"message": 0, "text": "love the sea"}}]}'"#,
    )
    .await;
    assert_eq!(verdict.unwrap(), Verdict::Continue);
    assert_eq!(envelope.learned.extra["outside"], json!({"mood": "calm"}));
    assert_eq!(envelope.learned.facts[0].quote.start, 2);
    assert_eq!(envelope.patch.unwrap()["learned"], json!({"mood": "calm"}));
}

#[tokio::test]
async fn the_exit_code_tells_success_another_try_and_failure_apart() {
    for (script, expected) in [
        ("exit 0", "done"),
        ("exit 75", "transient"),
        ("kill -TERM $$", "transient"),
        ("kill -ABRT $$", "permanent"),
        ("echo 'disk on fire' >&2; exit 3", "permanent"),
        ("echo no json", "permanent"),
        (r#"echo '{"retry": "busy"}'"#, "transient"),
        (r#"echo '{"learned": {}}'; exit 1"#, "permanent"),
    ] {
        let (verdict, envelope) = answer(script).await;
        let got = match &verdict {
            Ok(_) => "done",
            Err(StageError::Transient { .. }) => "transient",
            Err(StageError::Permanent { .. }) => "permanent",
            Err(StageError::Cancelled) => "cancelled",
        };
        assert_eq!(got, expected, "{script}: {verdict:?}");
        assert!(verdict.is_ok() || envelope.learned.extra.is_empty());
        if script.contains("fire") {
            let error = verdict.unwrap_err().to_string();
            assert_eq!(error, "sh ended with exit status: 3 and said: disk on fire");
        }
    }
}

#[tokio::test]
async fn what_an_error_repeats_of_standard_error_is_short() {
    let (verdict, _) =
        answer("i=0; while [ $i -lt 3000 ]; do echo line-$i >&2; i=$((i+1)); done; exit 1").await;
    let error = verdict.unwrap_err().to_string();
    assert!(error.ends_with("line-2999") && error.len() < 400, "{error}");
}

#[tokio::test]
async fn a_large_session_is_fed_while_the_program_writes() {
    let home = TempDir::new().unwrap();
    let mut envelope = envelope(&"sea ".repeat(1 << 18));
    // `cat` writes back what it reads: without reading and writing at once, both would wait forever.
    let script = r#"printf '{"learned": {"all": "'; tr -d '"{}\\\n'; printf '"}}'"#;
    let config = ExecSettings { max_output: ByteSize(1 << 22), ..sh(script) };
    assert_eq!(run(config, home.path(), &mut envelope).await.unwrap(), Verdict::Continue);
    assert!(envelope.learned.extra["outside"]["all"].as_str().unwrap().len() > 1 << 20);
}

#[tokio::test]
async fn a_program_may_ignore_its_input_or_close_everything_early() {
    let home = TempDir::new().unwrap();
    for script in ["true", "exec <&-; true", "exec <&- >&- 2>&-; true"] {
        let mut envelope = envelope(&"sea ".repeat(1 << 20));
        assert_eq!(run(sh(script), home.path(), &mut envelope).await.unwrap(), Verdict::Continue, "{script}");
    }
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    let (verdict, _) = answer("yes").await;
    let error = verdict.unwrap_err();
    assert_eq!(error.to_string(), "sh wrote more than 1MiB to standard output");
    assert!(matches!(error, StageError::Permanent { .. }));
}

#[tokio::test]
async fn a_child_left_in_the_background_does_not_hold_the_session() {
    let (verdict, envelope) = answer(r#"tail -f /dev/null & echo '{"learned": {"a": 1}}'"#).await;
    assert_eq!(verdict.unwrap(), Verdict::Continue);
    assert_eq!(envelope.learned.extra["outside"], json!({"a": 1}));
}

/// Each process of the program holds the named pipe open; its reader sees the end when the last of them is gone.
#[tokio::test]
async fn a_program_that_hangs_dies_with_its_children_when_the_stage_is_dropped() {
    let home = TempDir::new().unwrap();
    let pipe = home.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (started, wait) = mpsc::channel();
    let (ended, all_gone) = mpsc::channel();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(fs::File::open(pipe).unwrap());
        pipe.read_line(&mut String::new()).unwrap();
        started.send(()).unwrap();
        pipe.read_to_end(&mut Vec::new()).unwrap();
        ended.send(()).unwrap();
    });
    let config = sh("exec 9>pipe; tail -f /dev/null >/dev/null 2>&1 & echo started >&9; tail -f /dev/null");
    let mut envelope = envelope("hello");
    let started = tokio::task::spawn_blocking(move || wait.recv());
    tokio::select! {
        ended = run(config, home.path(), &mut envelope) => panic!("it should hang: {ended:?}"),
        started = started => started.unwrap().unwrap(),
    }
    all_gone.recv_timeout(std::time::Duration::from_secs(30)).expect("a process of the group is still there");
}

#[tokio::test]
async fn the_environment_holds_what_is_listed_and_nothing_else() {
    let home = TempDir::new().unwrap();
    // Cargo sets CARGO_PKG_NAME and CARGO_PKG_VERSION for tests.
    let script = r#"echo "{\"learned\": {\"env\": \"$(env | cut -d= -f1 | sort | tr '\n' ' ')\", \"set\": \"$MODEL\"}}""#;
    let config = ExecSettings {
        env: vec!["CARGO_PKG_NAME".into(), "NOT_SET_ANYWHERE".into()],
        set: [("MODEL".into(), "$HOME; `ls`".into())].into(),
        ..sh(script)
    };
    let mut envelope = envelope("hello");
    run(config, home.path(), &mut envelope).await.unwrap();
    let extra = &envelope.learned.extra["outside"];
    let names: Vec<_> = extra["env"].as_str().unwrap().split_whitespace().collect();
    // The shell itself adds these.
    let names: Vec<_> =
        names.into_iter().filter(|name| !["_", "PWD", "SHLVL", "OLDPWD"].contains(name)).collect();
    assert_eq!(names, ["CARGO_PKG_NAME", "LANG", "MODEL", "PATH"]);
    assert_eq!(extra["set"], "$HOME; `ls`");
}

#[tokio::test]
async fn a_program_that_is_not_there_fails_with_a_hint() {
    let home = TempDir::new().unwrap();
    let config = ExecSettings { command: vec!["./missing".into()], ..ExecSettings::default() };
    let Err(StageError::Permanent { hint: Some(hint), .. }) =
        run(config, home.path(), &mut envelope("hello")).await
    else {
        panic!("no hint");
    };
    assert!(hint.contains(&home.path().join("./missing").display().to_string()), "{hint}");
}

#[tokio::test]
async fn a_dry_run_runs_nothing() {
    let home = TempDir::new().unwrap();
    let stage = sh("touch ran").build(&services(home.path())).unwrap();
    let mut envelope = envelope("hello");
    stage.process(&mut envelope, &StageContext { name: "outside", attempt: 1, dry_run: true }).await.unwrap();
    assert_eq!(envelope.note.as_deref(), Some("would run sh"));
    assert!(!home.path().join("ran").exists());
}

#[tokio::test]
async fn the_examples_work() {
    let home = TempDir::new().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/stages");
    for (program, expected) in [
        ("./sentiment.py", json!({"positive": 2, "negative": 1, "lean": "positive"})),
        (
            "./wordcount.sh",
            json!({"user_messages": 1, "user_words": 12, "assistant_messages": 1, "assistant_words": 5}),
        ),
    ] {
        let mut envelope = envelope("I \"love\" the\nsea, it is great; storms are\tbad \\ though.");
        envelope.session.messages[0].name = Some("assistant".into());
        let config = ExecSettings { command: vec![program.into()], ..ExecSettings::default() };
        let stage =
            config.build(&Services { config_dir: examples.clone(), ..services(home.path()) }).unwrap();
        let cx = StageContext { name: "outside", attempt: 1, dry_run: false };
        assert_eq!(stage.process(&mut envelope, &cx).await.unwrap(), Verdict::Continue);
        assert_eq!(envelope.learned.extra["outside"], expected, "{program}");
    }
}

#[test]
fn all_wrong_settings_are_named_at_once() {
    let config = ExecSettings {
        command: Vec::new(),
        env: vec!["FINE".into(), "A=b".into()],
        set: [("".into(), "x".into())].into(),
        parallel: 0,
        ..ExecSettings::default()
    };
    let keys: Vec<_> =
        config.build(&services(Path::new("/"))).err().unwrap().into_iter().map(|p| p.key).collect();
    assert_eq!(keys, ["command", "env[1]", "set.", "parallel"]);
}
