use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::session::formats::Format;

/// The programs whose folders can be learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// Claude Code: `~/.claude/projects`.
    ClaudeCode,
    /// Codex CLI: `~/.codex/sessions`.
    Codex,
    /// Gemini CLI: `~/.gemini/tmp`.
    GeminiCli,
    /// Copilot chat in VS Code: its `User` folder.
    Copilot,
    /// Open WebUI: its `webui.db`.
    OpenWebui,
    /// LM Studio: `~/.lmstudio/conversations`.
    LmStudio,
    /// Jan: its `threads` folder.
    Jan,
    /// `llm`: its `logs.db`.
    Llm,
}

/// How a program keeps its conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// A log of one conversation a file, appended to.
    Log(Format),
    /// A document of one conversation a file, written anew.
    Document(Format),
    /// Either, by the end of the name: `.jsonl` is a log.
    Both(Format),
    /// All in one SQLite database.
    Database,
}

impl Program {
    /// The program's name in pipeline.toml and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Program::ClaudeCode => "claude-code",
            Program::Codex => "codex",
            Program::GeminiCli => "gemini-cli",
            Program::Copilot => "copilot",
            Program::OpenWebui => "open-webui",
            Program::LmStudio => "lm-studio",
            Program::Jan => "jan",
            Program::Llm => "llm",
        }
    }

    pub(super) fn keeps(self) -> Keeps {
        match self {
            Program::ClaudeCode => Keeps::Log(Format::ClaudeCode),
            Program::Codex => Keeps::Log(Format::Codex),
            Program::GeminiCli => Keeps::Both(Format::GeminiCli),
            Program::Copilot => Keeps::Both(Format::Copilot),
            Program::LmStudio => Keeps::Document(Format::LmStudio),
            Program::Jan => Keeps::Log(Format::Jan),
            Program::OpenWebui | Program::Llm => Keeps::Database,
        }
    }

    /// Whether ids of messages are unique across all files, so that a copy is known by them.
    pub(super) fn has_global_ids(self) -> bool {
        self == Program::ClaudeCode
    }

    /// The file to be looked at when something happened to `path` below the source; `None` for what is none of the
    /// program's conversations.
    pub(super) fn file_of(self, path: &Path) -> Option<PathBuf> {
        let name = path.file_name()?.to_str()?;
        let below = |folder: &str| {
            path.parent()
                .is_some_and(|parent| parent.components().any(|part| part.as_os_str() == OsStr::new(folder)))
        };
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let wanted = match self {
            // Agents that the program starts by itself have files of their own.
            Program::ClaudeCode => {
                ends(&[".jsonl"])
                    && !name.starts_with("agent-")
                    && name != "history.jsonl"
                    && !below("subagents")
                    && !below("tool-results")
            }
            // It compresses those that have been at rest for long.
            Program::Codex => name.starts_with("rollout-") && ends(&[".jsonl", ".jsonl.zst"]),
            Program::GeminiCli => {
                name.starts_with("session-") && ends(&[".jsonl", ".json"]) && below("chats")
            }
            Program::Copilot => {
                ends(&[".jsonl", ".json"]) && (below("chatSessions") || below("emptyWindowChatSessions"))
            }
            Program::LmStudio => ends(&[".conversation.json"]),
            Program::Jan => {
                if name == "thread.json" {
                    return Some(path.with_file_name("messages.jsonl"));
                }
                name == "messages.jsonl"
            }
            Program::OpenWebui | Program::Llm => {
                let base = ["-wal", "-shm", "-journal"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end))
                    .unwrap_or(name);
                let expected = if self == Program::Llm { "logs.db" } else { "webui.db" };
                return (base == expected).then(|| path.with_file_name(base));
            }
        };
        (wanted && !name.starts_with('.')).then(|| path.to_path_buf())
    }

    /// Whether a path that a person wrote as the source itself names a file, whatever its name.
    pub(super) fn is_file(self) -> bool {
        self.keeps() == Keeps::Database
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_conversations_of_a_program_are_looked_at() {
        let cases = [
            (Program::ClaudeCode, "-srv-heron/5f0c.jsonl", Some("-srv-heron/5f0c.jsonl")),
            (Program::ClaudeCode, "-srv-heron/agent-1.jsonl", None),
            (Program::ClaudeCode, "-srv-heron/5f0c/subagents/x.jsonl", None),
            (Program::ClaudeCode, "-srv-heron/5f0c.jsonl.tmp", None),
            (Program::Codex, "2026/03/02/rollout-x.jsonl", Some("2026/03/02/rollout-x.jsonl")),
            (Program::Codex, "2026/03/02/rollout-x.jsonl.zst", Some("2026/03/02/rollout-x.jsonl.zst")),
            (Program::Codex, "2026/03/02/rollout-x.jsonl.zst.tmp", None),
            (Program::GeminiCli, "heron/chats/session-x.json", Some("heron/chats/session-x.json")),
            (Program::GeminiCli, "heron/logs.json", None),
            (
                Program::Copilot,
                "workspaceStorage/a/chatSessions/b.json",
                Some("workspaceStorage/a/chatSessions/b.json"),
            ),
            (Program::Copilot, "workspaceStorage/a/workspace.json", None),
            (Program::Jan, "t/thread.json", Some("t/messages.jsonl")),
            (Program::LmStudio, "a/1.conversation.json", Some("a/1.conversation.json")),
            (Program::LmStudio, "a/.1.conversation.json", None),
            (Program::OpenWebui, "data/webui.db-wal", Some("data/webui.db")),
            (Program::OpenWebui, "data/vector.db", None),
            (Program::Llm, "logs.db", Some("logs.db")),
        ];
        for (program, path, file) in cases {
            assert_eq!(program.file_of(Path::new(path)), file.map(PathBuf::from), "{path}");
        }
    }
}
