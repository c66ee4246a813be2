use std::fs;

use atles::import::{Import, Options, Since};
use atles::session::formats::Format;
use atles::spool::Home;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::driver::Target;
use crate::seeds;

/// Exports, as files of several names and as zips; now and then handed over in earnest.
pub(crate) struct Exports {
    folder: TempDir,
}

const NAMES: [&str; 6] =
    ["conversations.json", "chat.jsonl", "chat.md", "noname", "export.zip", "messages.jsonl"];
const FORMATS: [Format; 8] = [
    Format::Auto,
    Format::Auto,
    Format::Auto,
    Format::Chatgpt,
    Format::Claude,
    Format::Jsonl,
    Format::Transcript,
    Format::OpenWebui,
];

impl Target for Exports {
    const NAME: &'static str = "import";
    const INPUTS: u64 = 700;
    const VARIANTS: usize = 16 * NAMES.len() * FORMATS.len();
    const WORDS: &'static [&'static str] = &[
        "conversations",
        "mapping",
        "chat_messages",
        "messages",
        "role",
        "content",
        "PK\u{3}\u{4}",
        "PK\u{1}\u{2}",
        "PK\u{5}\u{6}",
        "conversations.json",
        "../x.json",
        "[{",
        "}]",
        "]}",
        "},{",
        "User:",
        "\n---\n",
    ];

    fn new() -> Self {
        let folder = TempDir::with_prefix("atles-fuzz-").unwrap();
        fs::create_dir_all(folder.path().join("home/spool")).unwrap();
        Exports { folder }
    }

    fn seeds() -> Vec<Vec<u8>> {
        seeds::chats()
    }

    fn take(&mut self, input: &[u8], variant: usize) {
        let name = NAMES[variant % NAMES.len()];
        let format = FORMATS[variant / NAMES.len() % FORMATS.len()];
        let in_earnest = variant / NAMES.len() / FORMATS.len() == 0;
        let path = self.folder.path().join(name);
        fs::write(&path, input).unwrap();
        let home = Home::at(self.folder.path().join("home"));
        let options = Options {
            format,
            user: variant.is_multiple_of(3).then(|| "ada\u{1b}".to_owned()),
            since: variant.is_multiple_of(5).then_some(Since(Timestamp::UNIX_EPOCH)),
            again: variant.is_multiple_of(7),
            dry_run: !in_earnest,
            max_size: 1 << 20,
            min_free: 0,
            waiting: usize::MAX,
        };
        let report = Import::run(&home, &[path], options, |_| (), &mut |_| ()).unwrap();
        assert!(report.imported + report.already + report.older <= report.conversations.max(report.imported));
        for problem in &report.problems {
            let told = format!("{}: {}", problem.file, problem.why);
            assert!(!told.chars().any(char::is_control), "{told:?}");
        }
        if !in_earnest {
            return;
        }
        for entry in fs::read_dir(&home.spool).unwrap() {
            let path = entry.unwrap().path();
            let handed = fs::read(&path).unwrap();
            let read = atles::session::formats::decode(&handed, Format::Auto);
            assert!(
                read.is_ok_and(|read| read.sessions.len() == 1),
                "the daemon cannot read what it was handed"
            );
            fs::remove_file(path).unwrap();
        }
    }
}
