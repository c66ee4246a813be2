use std::fs;
use std::path::{Path, PathBuf};

/// Larger files would be cut anyway.
const LARGEST: u64 = 32 << 10;

/// The files of folders of the repository, and of those below them.
pub(crate) fn files(folders: &[&str]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for folder in folders {
        below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    found.sort();
    found.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            below(&path, found);
        } else if metadata.len() <= LARGEST {
            found.push(path);
        }
    }
}

/// The chats that the repository has, in every format that it has.
pub(crate) fn chats() -> Vec<Vec<u8>> {
    let mut chats = files(&["sample_spool", "tests/sources"]);
    chats.extend(FORMATS.iter().map(|text| text.as_bytes().to_vec()));
    chats
}

/// The shapes of which there is no sample.
const FORMATS: &[&str] = &[
    r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 1}], "system": "c"}"#,
    r#"[{"id": "1", "title": "t", "chat": {"history": {"currentId": "b", "messages": {"a": {"id": "a", "parentId": null, "childrenIds": ["b"], "role": "user", "content": "hi", "timestamp": 1772445600}, "b": {"id": "b", "parentId": "a", "role": "assistant", "content": "ho", "model": "m"}}}}}]"#,
    r#"{"conversationId": "c", "title": "t", "recursive": true, "messages": [{"messageId": "m", "parentMessageId": "0", "isCreatedByUser": true, "text": "hi", "children": [{"messageId": "n", "parentMessageId": "m", "isCreatedByUser": false, "content": [{"type": "text", "text": "ho"}]}]}]}"#,
    r#"{"sessionId": "s", "projectHash": "p", "startTime": "2026-03-02T10:00:00Z", "messages": [{"id": "1", "type": "user", "content": "hi"}, {"id": "2", "type": "gemini", "content": "ho", "tokens": {"total": 2}}]}"#,
    r#"{"version": 3, "requests": [{"requestId": "r", "message": {"text": "hi"}, "response": [{"value": "ho"}]}]}"#,
    "# A chat\n\nUser: hi\n\nAssistant: ho\nand more\n\n**You:**\n> quoted\n\n### ChatGPT\n\n```\nUser: not one\n```\n",
    "{\"live\": {\"version\": 1, \"lock\": \"flock\", \"pid\": 7}, \"session_id\": \"s\"}\n{\"role\": \"user\", \"content\": \"hi\"}\n{\"role\": \"assi",
    r#"[{"uuid": "u", "name": "n", "chat_messages": [{"uuid": "a", "sender": "human", "text": "hi", "content": [{"type": "text", "text": "hi"}], "attachments": [{"file_name": "f", "extracted_content": "x"}]}]}]"#,
];
