use atles::session::formats::{Format, LiveWriter, LogReader, decode, decode_leniently, looks_complete};
use atles::session::{Identity, SessionKey};

use crate::driver::Target;
use crate::seeds;

const FORMATS: [Format; 16] = [
    Format::Auto,
    Format::Atles,
    Format::Openai,
    Format::Sharegpt,
    Format::Chatgpt,
    Format::Claude,
    Format::Jsonl,
    Format::OpenWebui,
    Format::Librechat,
    Format::LmStudio,
    Format::Jan,
    Format::ClaudeCode,
    Format::Codex,
    Format::GeminiCli,
    Format::Copilot,
    Format::Transcript,
];

/// Chat files, read as a format that is told, strictly and leniently.
pub(crate) struct Decoding;

impl Target for Decoding {
    const NAME: &'static str = "decode";
    const INPUTS: u64 = 2500;
    // Every second variant tells the format by the shape, as nearly everybody does.
    const VARIANTS: usize = 2 * FORMATS.len();
    const WORDS: &'static [&'static str] = &[
        "messages",
        "conversations",
        "mapping",
        "chat_messages",
        "current_node",
        "parent",
        "children",
        "message",
        "author",
        "role",
        "from",
        "sender",
        "type",
        "content",
        "content_type",
        "value",
        "text",
        "parts",
        "metadata",
        "id",
        "uuid",
        "session_id",
        "timestamp",
        "create_time",
        "feedback",
        "name",
        "tool_calls",
        "arguments",
        "attachments",
        "files",
        "file_name",
        "weight",
        "system",
        "refusal",
        "chat",
        "history",
        "currentId",
        "parentId",
        "messagesTree",
        "messageId",
        "isCreatedByUser",
        "versions",
        "currentlySelected",
        "steps",
        "thread_id",
        "parentUuid",
        "sessionId",
        "payload",
        "projectHash",
        "kind",
        "k",
        "v",
        "requests",
        "response",
        "$set",
        "$rewindTo",
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        "user",
        "human",
        "assistant",
        "tool",
        "function_call",
        "multimodal_text",
        "thoughts",
        "image",
        "tool_use",
        "tool_result",
        "session_meta",
        "response_item",
        "gemini",
        "live",
        "version",
        "up",
        "User:",
        "Assistant:",
        "**You:**",
        "### ChatGPT",
    ];

    fn new() -> Self {
        Decoding
    }

    fn seeds() -> Vec<Vec<u8>> {
        seeds::chats()
    }

    fn take(&mut self, input: &[u8], variant: usize) {
        let format = if variant.is_multiple_of(2) { FORMATS[variant / 2] } else { Format::Auto };
        looks_complete(input);
        LiveWriter::of(input);
        let strict = decode(input, format);
        let lenient = decode_leniently(input, format);
        assert!(strict.is_err() || lenient.is_ok(), "what is read strictly is read leniently");
        for result in [strict, lenient] {
            match result {
                Ok(decoded) => {
                    // Of a format that is told, an empty list is an export without chats.
                    let told = !decoded.sessions.is_empty() || !decoded.skipped.is_empty();
                    assert!(told || format != Format::Auto, "nothing is told");
                    assert!(decoded.open.iter().all(|index| *index < decoded.sessions.len()));
                    for session in decoded.sessions.iter().take(3) {
                        let (key, identity) = (SessionKey::of(session), Identity::of(session));
                        // The import hands sessions on as files, which the daemon reads.
                        let file = serde_json::to_vec(session).unwrap();
                        let again = decode(&file, Format::Auto).unwrap_or_else(|error| panic!("{error}"));
                        assert_eq!(again.sessions.len(), 1);
                        assert_eq!(again.sessions[0].messages.len(), session.messages.len());
                        assert_eq!(
                            SessionKey::of(&again.sessions[0]),
                            key,
                            "it is another chat when read again"
                        );
                        assert_eq!(Identity::of(&again.sessions[0]), identity);
                    }
                }
                Err(error) => {
                    let told = format!("{error} {}", error.hint.as_deref().unwrap_or_default());
                    assert!(!told.chars().any(char::is_control), "{told:?}");
                    assert!(told.len() < 2000, "{} bytes", told.len());
                }
            }
        }
        if let Some(mut log) = LogReader::new(format) {
            for line in String::from_utf8_lossy(input).lines() {
                let _ = log.line(line);
            }
            log.finish();
        }
    }
}
