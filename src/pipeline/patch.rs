//! What a program outside of the daemon is given and what it may answer: the contract of `exec` and `http`.
//!
//! A program gets the envelope as one JSON object and answers with a patch, one JSON object in which each key may
//! be left out:
//!
//! - `learned`: any object; its keys are merged into `learned.extra[STAGE]`.
//! - `facts`: `[{"attribute", "value", "quote": {"message", "text"}, "exclusive"?, "confidence"?}]`
//! - `preferences`: `[{"kind", "polarity": "for" | "against", "object", "quote", "strength"?}]`
//! - `topics`: `[{"name", "messages": [0, …], "score"?}]`
//! - `refuse`: a reason; the session settles as done with this note, and nothing of it is stored.
//! - `fail`: why; the file goes to `failed/`.
//! - `retry`: why; the session is tried again later.
//!
//! A quote names a message by its index and must stand in it word for word; `start` and `end` (byte offsets) may be
//! given and are corrected where they are off. What is not so is left out and counted in the note. Of each kind
//! of entry a patch may add 1,000. A patch with a key that is not listed here, or whose keys have values of another
//! shape, is a permanent failure and changes nothing.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::given::{fact, preference, topic};
use super::{StageError, Verdict};
use crate::session::{Envelope, FileFacts, Learned, Session, SessionKey, Topic};

/// Characters of a program's own words that are kept in a note or an error.
const WORDS: usize = 300;
/// Facts, preferences or topics that one patch may add; those beyond are not valid.
const MAX_ENTRIES: usize = 1_000;

#[derive(Serialize)]
struct Asked<'a> {
    key: SessionKey,
    stage: &'a str,
    attempt: u32,
    file: &'a FileFacts,
    session: &'a Session,
    learned: &'a Learned,
}

/// The envelope as a program gets it: `{"key","stage","attempt","file","session","learned"}`.
pub fn envelope_json(envelope: &Envelope, stage: &str, attempt: u32) -> Result<Vec<u8>, StageError> {
    let Envelope { key, file, session, learned, .. } = envelope;
    serde_json::to_vec(&Asked { key: *key, stage, attempt, file, session, learned }).map_err(|error| {
        StageError::Permanent {
            message: "the session could not be written as JSON".into(),
            hint: None,
            source: Some(Box::new(error)),
        }
    })
}

/// Reads what a program answered and applies it. Nothing, or white space, is the empty patch. The applied patch is
/// kept in [`Envelope::patch`], for the checkpoint.
pub fn accept(answer: &[u8], envelope: &mut Envelope, stage: &str) -> Result<Verdict, StageError> {
    let answer = if answer.trim_ascii().is_empty() { b"{}" } else { answer };
    let patch: Value = serde_json::from_slice(answer).map_err(|error| {
        // The error's own words name line and column, not the text.
        StageError::permanent(
            format!("the answer is not JSON: {error}"),
            "write one JSON object and nothing else to standard output; say other things on standard error",
        )
    })?;
    let verdict = apply(&patch, envelope, stage)?;
    envelope.patch = Some(patch);
    Ok(verdict)
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Patch {
    learned: Map<String, Value>,
    facts: Vec<Value>,
    preferences: Vec<Value>,
    topics: Vec<Value>,
    refuse: Option<String>,
    fail: Option<String>,
    retry: Option<String>,
}

/// Applies a patch: all that is valid in it, or nothing when it is an error. Doing it twice changes nothing more.
pub fn apply(patch: &Value, envelope: &mut Envelope, stage: &str) -> Result<Verdict, StageError> {
    let Patch { learned, facts, preferences, topics, refuse, fail, retry } = read(patch)?;
    if let Some(why) = fail {
        return Err(StageError::permanent(
            format!("the program gave up: {}", own_words(&why)),
            "the program decides this with `fail`; after a change, `atles failed retry` tries again",
        ));
    }
    if let Some(why) = retry {
        return Err(StageError::transient(format!(
            "the program asks to be tried again: {}",
            own_words(&why)
        )));
    }
    if let Some(reason) = refuse {
        return Ok(Verdict::Finish { note: own_words(&reason) });
    }

    let mut tally = Tally { extra: learned.len(), ..Tally::default() };
    if !learned.is_empty() {
        let extra = envelope.learned.extra.entry(stage).or_insert_with(|| Value::Object(Map::new()));
        match extra {
            Value::Object(fields) => fields.extend(learned),
            other => *other = Value::Object(learned),
        }
    }
    let session = &envelope.session;
    let found = &mut envelope.learned;
    let dropped = &mut tally.dropped;
    tally.facts = add(facts, dropped, |value| fact(value, session), |new| include(&mut found.facts, new));
    tally.preferences = add(
        preferences,
        dropped,
        |value| preference(value, session),
        |new| include(&mut found.preferences, new),
    );
    tally.topics = add(topics, dropped, |value| topic(value, session), |new| merge(&mut found.topics, new));
    envelope.note = Some(tally.note());
    Ok(Verdict::Continue)
}

fn read(patch: &Value) -> Result<Patch, StageError> {
    let Some(fields) = patch.as_object() else {
        let hint = r#"answer with an object such as {"learned": {"mood": "calm"}}, or with nothing"#;
        return Err(StageError::permanent(format!("the answer is {}, not an object", kind(patch)), hint));
    };
    let not_a_patch = |message: String| {
        StageError::permanent(
            message,
            "a patch may have the keys learned, facts, preferences, topics, refuse, fail and retry",
        )
    };
    // Said in our own words: serde's would repeat the value.
    for (key, value) in fields {
        let (fits, wanted) = match key.as_str() {
            "learned" => (value.is_object(), "an object"),
            "facts" | "preferences" | "topics" => (value.is_array(), "a list"),
            "refuse" | "fail" | "retry" => (value.is_string() || value.is_null(), "a string"),
            other => {
                return Err(not_a_patch(format!("the answer has an unknown key `{}`", own_words(other))));
            }
        };
        if !fits {
            return Err(not_a_patch(format!("`{key}` in the answer is {}, not {wanted}", kind(value))));
        }
    }
    Patch::deserialize(patch).map_err(|_| not_a_patch("the answer is not a patch".into()))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A program's words in one line, without control characters, at most 300 characters.
pub fn own_words(text: &str) -> String {
    let mut short: String =
        text.trim().chars().take(WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().chars().nth(WORDS).is_some() {
        short.push('…');
    }
    short
}

#[derive(Default)]
struct Tally {
    extra: usize,
    facts: usize,
    preferences: usize,
    topics: usize,
    dropped: usize,
}

impl Tally {
    fn note(&self) -> String {
        let mut note = String::new();
        for (count, one, several) in [
            (self.extra, "value", "values"),
            (self.facts, "fact", "facts"),
            (self.preferences, "preference", "preferences"),
            (self.topics, "topic", "topics"),
            (self.dropped, "entry not valid", "entries not valid"),
        ] {
            if count > 0 {
                let comma = if note.is_empty() { "" } else { ", " };
                let _ = write!(note, "{comma}{count} {}", if count == 1 { one } else { several });
            }
        }
        if note.is_empty() { "nothing to add".into() } else { note }
    }
}

/// Keeps what is valid; how many were.
fn add<T>(
    values: Vec<Value>,
    dropped: &mut usize,
    read: impl Fn(Value) -> Option<T>,
    mut keep: impl FnMut(T),
) -> usize {
    let given = values.len();
    let mut valid = 0;
    for item in values.into_iter().take(MAX_ENTRIES).filter_map(read) {
        valid += 1;
        keep(item);
    }
    *dropped += given - valid;
    valid
}

/// What is there already is not added again.
fn include<T: PartialEq>(list: &mut Vec<T>, new: T) {
    if !list.contains(&new) {
        list.push(new);
    }
}

/// Of two topics of one name, one is made.
fn merge(topics: &mut Vec<Topic>, new: Topic) {
    match topics.iter_mut().find(|topic| topic.name == new.name) {
        Some(topic) => {
            topic.score = topic.score.max(new.score);
            topic.messages.extend(new.messages);
            topic.messages.sort_unstable();
            topic.messages.dedup();
        }
        None => topics.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Message, Role};
    use proptest::prelude::*;
    use serde_json::json;

    fn envelope() -> Envelope {
        let messages = vec![
            Message::new(Role::User, "Hi, I live in Zürich and I hate olives. Zürich!"),
            Message::new(Role::Assistant, "Noted."),
        ];
        Envelope::new(Session { messages, ..Session::default() }, FileFacts::default())
    }

    #[test]
    fn what_is_valid_is_added_once_and_the_rest_is_counted() {
        let patch = json!({
            "learned": {"mood": "calm"},
            "facts": [
                {"attribute": "lives_in", "value": "Zürich", "quote": {"message": 0, "text": "live in Zürich"}},
                {"attribute": "lives_in", "value": "Bern", "quote": {"message": 0, "text": "live in Bern"}},
                {"attribute": "lives_in", "value": "Bern", "quote": {"message": 7, "text": "x"}},
                {"attribute": "Robert'); DROP", "value": "x", "quote": {"message": 0, "text": "Hi"}},
                {"attribute": "a", "value": "x", "confidence": 2, "quote": {"message": 0, "text": "Hi"}},
            ],
            "preferences": [
                {"kind": "avoid", "polarity": "against", "object": "olives",
                 "quote": {"message": 0, "text": "I hate olives"}},
                "nonsense",
            ],
            "topics": [{"name": "food", "messages": [0, 0]}, {"name": "food", "score": 0.9, "messages": [1]},
                       {"name": "far", "messages": [2]}, {"name": "none", "messages": []}],
        });
        let mut envelope = envelope();
        for _ in 0..2 {
            assert_eq!(apply(&patch, &mut envelope, "outside").unwrap(), Verdict::Continue);
            let note = envelope.note.take().unwrap();
            assert_eq!(note, "1 value, 1 fact, 1 preference, 2 topics, 7 entries not valid");
        }
        let learned = &envelope.learned;
        assert_eq!(learned.extra["outside"], json!({"mood": "calm"}));
        assert_eq!((learned.facts.len(), learned.preferences.len()), (1, 1));
        assert_eq!(learned.topics, [Topic { name: "food".into(), score: 0.9, messages: vec![0, 1] }]);
        apply(&json!({"learned": {"age": 3}}), &mut envelope, "outside").unwrap();
        assert_eq!(envelope.learned.extra["outside"], json!({"mood": "calm", "age": 3}));
    }

    #[test]
    fn offsets_are_kept_where_they_fit_and_found_where_they_do_not() {
        for (start, end, expected) in
            [(json!(41), json!(48), 41), (json!(40), json!(47), 14), (json!(null), json!(null), 14)]
        {
            let patch = json!({"facts": [{"attribute": "lives_in", "value": "Zürich",
                "quote": {"message": 0, "text": "Zürich", "start": start, "end": end}}]});
            let mut envelope = envelope();
            apply(&patch, &mut envelope, "outside").unwrap();
            assert_eq!(envelope.learned.facts[0].quote.start, expected);
        }
    }

    #[test]
    fn a_program_can_refuse_give_up_or_ask_for_more_time_and_then_nothing_is_added() {
        let mut envelope = envelope();
        let mut answer = |patch: Value| {
            let verdict = apply(&patch, &mut envelope, "outside");
            assert!(envelope.learned.extra.is_empty());
            verdict
        };
        assert_eq!(
            answer(json!({"refuse": "not\nours", "learned": {"a": 1}})).unwrap(),
            Verdict::Finish { note: "not ours".into() }
        );
        assert!(matches!(answer(json!({"retry": "busy"})), Err(StageError::Transient { .. })));
        for broken in [
            json!({"fail": "cannot read it", "learned": {"a": 1}}),
            json!({"learned": {"a": 1}, "fact": []}),
            json!({"learned": {"a": 1}, "facts": {}}),
            json!([1]),
            json!(null),
        ] {
            assert!(matches!(answer(broken), Err(StageError::Permanent { hint: Some(_), .. })));
        }
    }

    #[test]
    fn an_answer_that_is_not_json_fails_with_its_place_and_not_its_text() {
        let error = accept(b"{\"learned\": secret}", &mut envelope(), "outside").unwrap_err().to_string();
        assert!(error.contains("line 1 column 13") && !error.contains("secret"), "{error}");
        let deep = "[".repeat(100_000);
        assert!(accept(deep.as_bytes(), &mut envelope(), "outside").is_err());
        let mut blank = envelope();
        assert_eq!(accept(b" \n", &mut blank, "outside").unwrap(), Verdict::Continue);
        assert_eq!(blank.patch, Some(json!({})), "so that the checkpoint knows that the program has run");
    }

    #[test]
    fn the_envelope_is_written_with_its_six_keys() {
        let json: Value = serde_json::from_slice(&envelope_json(&envelope(), "outside", 2).unwrap()).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["attempt", "file", "key", "learned", "session", "stage"]);
        assert_eq!(json["session"]["messages"][1], json!({"role": "assistant", "content": "Noted."}));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            r"\PC{0,8}",
            prop::sample::select(vec!["Zürich", "I hate", "for", "lives_in", "ürich!", "Hi, I live"])
                .prop_map(str::to_owned)
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (0..60u64).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        let key = prop_oneof![
            4 => prop::sample::select(vec![
                "learned", "facts", "preferences", "topics", "quote", "message", "text", "start", "end",
                "attribute", "value", "kind", "polarity", "object", "name", "messages",
            ]).prop_map(str::to_owned),
            1 => text,
        ];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key.clone(), inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Patches that come close to valid ones.
    fn near_patch() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(vec!["Zürich", "Noted", "I hate olives", "olive oil", "", "ü", "!"]);
        let offset = || prop::option::of(0..70usize);
        (0..4usize, words, offset(), offset()).prop_map(|(message, text, start, end)| {
            let quote = json!({"message": message, "text": text, "start": start, "end": end});
            json!({
                "facts": [{"attribute": "a", "value": "b", "quote": quote}],
                "preferences": [{"kind": "like", "polarity": "for", "object": "b", "quote": quote}],
            })
        })
    }

    proptest! {
        #[test]
        fn no_patch_panics_and_each_quote_it_leaves_is_verbatim(
            patch in prop_oneof![any_json(), near_patch()]
        ) {
            let mut envelope = envelope();
            let _ = apply(&patch, &mut envelope, "outside");
            let learned = &envelope.learned;
            let quotes = learned.facts.iter().map(|f| &f.quote).chain(learned.preferences.iter().map(|p| &p.quote));
            for quote in quotes {
                let said = &envelope.session.messages[quote.message].text;
                prop_assert_eq!(said.get(quote.start..quote.end), Some(quote.text.as_str()));
            }
            for topic in &learned.topics {
                prop_assert!(topic.messages.iter().all(|index| *index < envelope.session.messages.len()));
            }
        }
    }
}
