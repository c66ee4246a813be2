//! The files as they were dropped: without a session, or with turns of it emptied.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::forgotten::empty;
use crate::session::formats::Decoded;
use crate::session::{Session, SessionKey};
use crate::stages::decode::Decode;

/// What becomes of one session of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays.
    #[default]
    Stays,
    /// All of it goes.
    Goes,
    /// It stays, and these turns are emptied, and its notes where they match.
    Emptied(BTreeSet<usize>),
}

/// What becomes of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    /// Nothing in it is forgotten.
    Unchanged,
    /// Nothing of it is left.
    Gone,
    /// Its new content.
    As(Vec<u8>),
}

/// Writes a file anew. `fates` has one entry a decoded session. Where whole conversations go, the others stay byte by
/// byte as they are; where turns are emptied, or the file's parts cannot be told apart, what is left is written as
/// session files of ATLES.
pub(super) fn rewrite(
    bytes: &[u8],
    name: &str,
    decode: &Decode,
    decoded: &Decoded,
    fates: &[Fate],
    notes: &dyn Fn(&str) -> bool,
) -> Rewritten {
    if fates.iter().all(|fate| *fate == Fate::Stays) {
        return Rewritten::Unchanged;
    }
    if fates.iter().all(|fate| *fate == Fate::Goes) {
        return Rewritten::Gone;
    }
    let only_whole = !fates.iter().any(|fate| matches!(fate, Fate::Emptied(_)));
    if only_whole && let Some(left) = without_parts(bytes, name, decode, decoded, fates) {
        return Rewritten::As(left);
    }
    Rewritten::As(as_sessions(name, &left(decoded, fates, notes)))
}

/// The sessions that stay, as they are then.
pub(super) fn left(decoded: &Decoded, fates: &[Fate], notes: &dyn Fn(&str) -> bool) -> Vec<Session> {
    let mut left = Vec::new();
    for (session, fate) in decoded.sessions.iter().zip(fates) {
        match fate {
            Fate::Stays => left.push(session.clone()),
            Fate::Goes => {}
            Fate::Emptied(turns) => left.push(emptied(session, turns, notes)),
        }
    }
    left
}

/// A session with some of its turns emptied.
pub(super) fn emptied(session: &Session, turns: &BTreeSet<usize>, notes: &dyn Fn(&str) -> bool) -> Session {
    let mut session = session.clone();
    for turn in turns {
        if let Some(message) = session.messages.get_mut(*turn) {
            empty(message);
        }
    }
    for value in session.metadata.values_mut() {
        crate::memory::forget::scrub(value, notes);
    }
    session.metadata.retain(|name, _| !notes(name));
    session
}

/// Sessions in the format of ATLES: one as an object, several as a list, or one a line where the name says lines.
pub(super) fn as_sessions(name: &str, sessions: &[Session]) -> Vec<u8> {
    let json = |session: &Session| serde_json::to_vec(session).unwrap_or_default();
    let lines = name.to_ascii_lowercase();
    if let [one] = sessions {
        return [json(one), b"\n".to_vec()].concat();
    }
    if lines.ends_with(".jsonl") || lines.ends_with(".ndjson") {
        return sessions.iter().flat_map(|session| [json(session), b"\n".to_vec()].concat()).collect();
    }
    let mut list = vec![b'['];
    for (number, session) in sessions.iter().enumerate() {
        if number > 0 {
            list.extend_from_slice(b",\n");
        }
        list.extend(json(session));
    }
    list.extend_from_slice(b"]\n");
    list
}

/// The file without the list entries, or the lines, of which every session goes; `None` where that is not what the
/// file is made of.
fn without_parts(
    bytes: &[u8],
    name: &str,
    decode: &Decode,
    decoded: &Decoded,
    fates: &[Fate],
) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let goes: Vec<SessionKey> = keys(decoded.sessions.iter().zip(fates), |fate| *fate == Fate::Goes);
    let stays: Vec<SessionKey> = keys(decoded.sessions.iter().zip(fates), |fate| *fate != Fate::Goes);
    let stays_here = |part: &str| {
        // A part is read as the only one of a file, so that it is taken for what it was there.
        let whole = if text.trim_start().starts_with('[') { format!("[{part}]") } else { part.to_owned() };
        match decode.decode(whole.as_bytes(), name) {
            Ok(alone) if alone.sessions.is_empty() => true,
            Ok(alone) => !alone.sessions.iter().all(|session| goes.contains(&SessionKey::of(session))),
            Err(_) => true,
        }
    };
    let left = if text.trim_start().starts_with('[') {
        let parts: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let kept: Vec<&str> = parts.iter().map(|part| part.get()).filter(|part| stays_here(part)).collect();
        format!("[{}]\n", kept.join(",\n"))
    } else {
        text.lines().filter(|line| line.trim().is_empty() || stays_here(line)).fold(
            String::new(),
            |mut left, line| {
                left.push_str(line);
                left.push('\n');
                left
            },
        )
    };
    // Only if it reads as exactly what was to stay.
    let read = decode.decode(left.as_bytes(), name).ok()?;
    let read: Vec<SessionKey> = read.sessions.iter().map(SessionKey::of).collect();
    (read == stays).then(|| left.into_bytes())
}

fn keys<'a>(
    sessions: impl Iterator<Item = (&'a Session, &'a Fate)>,
    wanted: impl Fn(&Fate) -> bool,
) -> Vec<SessionKey> {
    sessions.filter(|(_, fate)| wanted(fate)).map(|(session, _)| SessionKey::of(session)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: &dyn Fn(&str) -> bool = &|_| false;

    fn chat(id: &str, texts: &[&str]) -> String {
        let message =
            |text: &&str| serde_json::json!({ "role": "user", "content": text, "odd": { "a": [1] } });
        serde_json::json!({ "session_id": id, "messages": texts.iter().map(message).collect::<Vec<_>>(), "kept": 1 })
            .to_string()
    }

    fn rewritten(file: &str, name: &str, fate: impl Fn(&Session) -> Fate) -> (Decoded, Rewritten) {
        let decode = Decode::default();
        let decoded = decode.decode(file.as_bytes(), name).unwrap();
        let fates: Vec<Fate> = decoded.sessions.iter().map(fate).collect();
        let rewritten = rewrite(file.as_bytes(), name, &decode, &decoded, &fates, NEVER);
        (decoded, rewritten)
    }

    fn goes(id: &'static str) -> impl Fn(&Session) -> Fate {
        move |session| if session.session_id == id { Fate::Goes } else { Fate::Stays }
    }

    #[test]
    fn a_conversation_leaves_a_list_or_lines_and_the_others_stay_byte_by_byte() {
        let (a, b, c) = (chat("a", &["x", "y"]), chat("b", &["secret"]), chat("c", &["z"]));
        let cases = [
            (format!("[{a}, {b},\n {c}]"), "x.json", format!("[{a},\n{c}]\n")),
            (format!("{a}\n\n{b}\n{c}"), "x.jsonl", format!("{a}\n\n{c}\n")),
        ];
        for (file, name, expected) in cases {
            assert_eq!(rewritten(&file, name, goes("b")).1, Rewritten::As(expected.into_bytes()), "{name}");
            assert_eq!(rewritten(&file, name, goes("other")).1, Rewritten::Unchanged);
            assert_eq!(rewritten(&file, name, |_| Fate::Goes).1, Rewritten::Gone);
        }
    }

    #[test]
    fn emptied_turns_keep_their_place_and_everything_else_reads_as_before() {
        let file = format!("[{}, {}]", chat("a", &["x", "secret", "y"]), chat("b", &["z"]));
        let fate = |session: &Session| match session.session_id.as_str() {
            "a" => Fate::Emptied(BTreeSet::from([1])),
            _ => Fate::Stays,
        };
        let (before, Rewritten::As(bytes)) = rewritten(&file, "x.json", fate) else { panic!("rewritten") };
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
        let after = Decode::default().decode(&bytes, "x.json").unwrap();
        assert_eq!(SessionKey::of(&after.sessions[1]), SessionKey::of(&before.sessions[1]));
        assert_eq!(after.sessions[1], before.sessions[1]);
        let mut expected = before.sessions[0].clone();
        empty(&mut expected.messages[1]);
        assert_eq!(after.sessions[0], expected);
    }

    #[test]
    fn a_transcript_with_a_message_on_each_line_is_written_as_sessions() {
        let line = |id: &str, text: &str| {
            format!("{{\"role\":\"user\",\"content\":\"{text}\",\"session_id\":\"{id}\"}}")
        };
        let file = [line("a", "one"), line("b", "secret"), line("a", "two")].join("\n");
        let (before, Rewritten::As(bytes)) = rewritten(&file, "x.jsonl", goes("b")) else {
            panic!("rewritten")
        };
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
        let after = Decode::default().decode(&bytes, "x.jsonl").unwrap();
        assert_eq!(after.sessions.len(), 1);
        assert_eq!(SessionKey::of(&after.sessions[0]), SessionKey::of(&before.sessions[0]));
    }
}
