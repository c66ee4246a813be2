use std::ffi::OsStr;
use std::sync::Arc;

use atles::memory::transfer;
use atles::session::{Identity, SessionKey};
use atles::spool::Sidecar;
use atles::state::{
    Attempt, Batch, Checkpoint, FileRecord, InMemoryStore, LearnedRecord, LedgerEntry, Outcome, State,
    StateBatch, StateStore, Totals,
};

use crate::driver::Target;

/// Values in the state store, sidecars, and lines of a memory export.
pub(crate) struct Records;

const KEY: SessionKey = SessionKey([7; 32]);
const IDENTITY: Identity = Identity([7; 32]);

/// Every key that a record of the state store may stand under.
fn keys() -> Vec<Vec<u8>> {
    vec![
        b"fname".to_vec(),
        [b"s", KEY.to_string().as_bytes()].concat(),
        [b"i".as_slice(), &IDENTITY.0].concat(),
        [b"l".as_slice(), &7_u64.to_be_bytes()].concat(),
        b"t".to_vec(),
        b"nstem".to_vec(),
        [b"c".as_slice(), &KEY.0, b"exec\0", &0_u16.to_be_bytes()].concat(),
        b"vstage\0key".to_vec(),
        b"okey".to_vec(),
        // Keys that no build writes.
        b"lshort".to_vec(),
        b"f".to_vec(),
    ]
}

fn sidecar() -> Sidecar {
    serde_json::from_str(
        r#"{"file": "a.json", "failed_at": "2026-03-02T10:00:00Z", "stage": "decode", "kind": "syntax", "message": "m",
            "causes": ["c"], "line": 1, "column": 2, "path": "messages[3]", "session": 0,
            "attempts": [{"at": "2026-03-02T10:00:00Z", "stage": "exec", "error": "e"}], "what_to_do": "w", "size": 3}"#,
    )
    .unwrap()
}

impl Target for Records {
    const NAME: &'static str = "records";
    const INPUTS: u64 = 4000;
    const VARIANTS: usize = 13;
    const WORDS: &'static [&'static str] = &[
        "attempts",
        "next_retry",
        "settled",
        "sidecar",
        "signature",
        "inode",
        "size",
        "modified",
        "outcome",
        "entry",
        "learned",
        "revision",
        "key",
        "file",
        "messages",
        "first",
        "all",
        "stem",
        "at",
        "note",
        "sessions",
        "patch",
        "settings",
        "entries",
        "totals",
        "since",
        "line",
        "column",
        "causes",
        "facts",
        "preferences",
        "quote",
        "start",
        "end",
        "atles_memory",
        "learned_at",
        "confidence",
        "strength",
        "examples",
        "patterns",
    ];

    fn new() -> Self {
        Records
    }

    fn seeds() -> Vec<Vec<u8>> {
        let store = Arc::new(InMemoryStore::default());
        let state = State::new(Arc::clone(&store) as Arc<dyn StateStore>);
        let mut batch = StateBatch::default();
        let attempts = vec![Attempt { at: 1, stage: "exec".into(), error: "e".into() }];
        let file = FileRecord { attempts, sidecar: Some(Box::new(sidecar())), ..FileRecord::default() };
        batch.put_file(OsStr::new("name"), &file);
        let learned = LearnedRecord {
            key: KEY.to_string(),
            file: "a.json".into(),
            messages: 2,
            examples: 1,
            first: 3,
            all: 4,
            stem: "stem".into(),
            entry: 7,
        };
        batch.put_learned(&IDENTITY, &learned);
        let entry = LedgerEntry {
            file: "a.json".into(),
            outcome: Outcome::Learned,
            at: 1,
            note: "n".into(),
            sessions: vec![KEY.to_string()],
            messages: 2,
        };
        batch.put_entry(7, &entry);
        batch.put_totals(&Totals::default());
        batch.put_checkpoint(
            &KEY,
            "exec",
            &Checkpoint { settings: "s".into(), patch: serde_json::json!({"a": [1]}) },
        );
        state.apply(batch).unwrap();
        let mut seeds = Vec::new();
        store
            .scan(b"", &mut |_, value| {
                seeds.push(value.to_vec());
                // Without the version, so that JSON is known as such and changed as such.
                seeds.push(value.get(1..).unwrap_or_default().to_vec());
                true
            })
            .unwrap();
        seeds.push(serde_json::to_vec_pretty(&sidecar()).unwrap());
        seeds.push(MEMORY_LINE.as_bytes().to_vec());
        seeds
    }

    fn take(&mut self, input: &[u8], variant: usize) {
        match variant {
            11 => sidecar_of(input),
            12 => drop(transfer::parse(input)),
            _ => {
                stored(input, variant);
                stored(&[b"\x01", input].concat(), variant);
            }
        }
    }
}

fn stored(value: &[u8], variant: usize) {
    let store = Arc::new(InMemoryStore::default());
    store.apply(Batch { writes: vec![(keys()[variant].clone(), Some(value.to_vec()))] }).unwrap();
    let state = State::new(store);
    let told = [
        state.file(OsStr::new("name")).map(drop),
        state.learned_by(&KEY).map(drop),
        state.learned(&IDENTITY).map(drop),
        state.stem_is_taken("stem").map(drop),
        state.entry(7).map(drop),
        state.entries(&mut |_, _| ()),
        state.totals().map(|totals| assert!(totals.in_done() >= totals.files_learned)),
        state.checkpoint(&KEY, "exec", "s").map(drop),
        state.value("stage", b"key").map(drop),
        state.source::<serde_json::Value>(b"key").map(drop),
    ];
    for error in told.into_iter().filter_map(Result::err) {
        assert!(!error.to_string().is_empty());
    }
    let Ok(files) = state.files() else { return };
    // What is read is written and read again as the same.
    let mut batch = StateBatch::default();
    for (name, record) in &files {
        batch.put_file(name, record);
    }
    state.apply(batch).unwrap();
    assert_eq!(state.files().unwrap(), files);
}

fn sidecar_of(input: &[u8]) {
    let Ok(sidecar) = serde_json::from_slice::<Sidecar>(input) else { return };
    let again = serde_json::to_vec_pretty(&sidecar).unwrap();
    assert_eq!(serde_json::from_slice::<Sidecar>(&again).unwrap(), sidecar);
}

const MEMORY_LINE: &str = r#"{"atles_memory":1,"session_id":"s","user_id":"ada","key":"0707070707070707070707070707070707070707070707070707070707070707","app":null,"model":null,"start_time":"2026-03-02T10:00:00Z","end_time":null,"learned_at":"2026-03-02T10:00:00Z","message_count":1,"items":1,"messages":[{"role":"user","content":"I live in Graz."}],"facts":[{"attribute":"lives_in","value":"Graz","confidence":0.9,"said_at":"2026-03-02T10:00:00Z","quote":{"message":0,"start":10,"end":14,"text":"Graz"}}],"preferences":[],"examples":[]}"#;
