use std::fmt::Write;
use std::path::Path;

use async_trait::async_trait;
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;
use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::Envelope;
use crate::stages::kinds::{KINDS, Kind, kind};

struct Nothing;

#[async_trait]
impl Stage for Nothing {
    async fn process(&self, _: &mut Envelope, _: &StageContext<'_>) -> Result<Verdict, StageError> {
        Ok(Verdict::Continue)
    }
}

/// Settings with a bit of everything.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Redact {
    emails: bool,
    limit: u32,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    regex: String,
}

impl StageConfig for Redact {
    const KIND: &'static str = "redact";
    fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let mut problems = Vec::new();
        for (i, rule) in self.rules.iter().enumerate() {
            if regex::Regex::new(&rule.regex).is_err() {
                let problem = Problem::new(format!("rules[{i}].regex"), "not a regular expression");
                problems.push(problem.hint("brackets that stand for themselves are written \\("));
            }
        }
        if self.limit > 10 {
            problems.push(Problem::new("", "the limits do not fit together"));
        }
        if self.emails && self.limit == 7 {
            problems.push(Problem::new("never.written", "a key with a bad default"));
        }
        if problems.is_empty() { Ok(Box::new(Nothing)) } else { Err(problems) }
    }
}

macro_rules! plain_kind {
    ($name:ident, $kind:literal) => {
        #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        struct $name {
            path: String,
        }
        impl StageConfig for $name {
            const KIND: &'static str = $kind;
            fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
                Ok(Box::new(Nothing))
            }
        }
    };
}
plain_kind!(Memory, "memory");
plain_kind!(SessionLog, "session_log");
plain_kind!(TrainingData, "training_data");

static MADE_UP: &[Kind] = &[kind::<Redact>(), kind::<Memory>(), kind::<TrainingData>(), kind::<SessionLog>()];

/// Kinds that take any settings.
macro_rules! any_kind {
    ($($name:ident $kind:literal),*) => {
        $(
            #[derive(Default, Serialize, Deserialize, JsonSchema)]
            struct $name(std::collections::BTreeMap<String, serde_json::Value>);
            impl StageConfig for $name {
                const KIND: &'static str = $kind;
                fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
                    Ok(Box::new(Nothing))
                }
            }
        )*
        static ANYTHING: &[Kind] = &[$(kind::<$name>()),*];
    };
}
any_kind!(
    AnyRedact "redact", AnyTopics "topics", AnyPreferences "preferences", AnyPatterns "patterns", AnyFacts "facts",
    AnyMemory "memory", AnyTrainingData "training_data", AnyFineTune "fine_tune", AnySessionLog "session_log"
);

/// A chain without anything to say about it.
const CHAIN: &str =
    "[[stage]]\nkind = 'redact'\n[[stage]]\nkind = 'memory'\n[[stage]]\nkind = 'session_log'\n";

fn read(text: &str) -> Result<(Config, Diagnostics), Diagnostics> {
    let dir = if cfg!(windows) { Path::new("C:\\here") } else { Path::new("/here") };
    parse(text, &Source { name: "pipeline.toml", dir, services: &Services::detached, kinds: MADE_UP })
}

fn config(text: &str) -> Config {
    read(text).map(|(config, _)| config).map_err(|found| found.to_string()).unwrap()
}

/// Each snapshot holds the text and the report.
#[test]
fn every_mistake_is_shown_with_its_place_and_what_to_do() {
    let with_chain = |head: &str| format!("version = 1\n{head}\n{CHAIN}");
    let stages = |rest: &str| {
        format!("version = 1\n{rest}\n[[stage]]\nkind = 'memory'\n[[stage]]\nkind = 'session_log'\n")
    };
    let cases = [
        ("syntax", "version = 1\n[spool\nsettle = '1s'\n".to_owned()),
        ("a_key_twice", "version = 1\n[spool]\nsettle = '1s'\nsettle = '2s'\n".to_owned()),
        ("newer_version", "version = 2\nunheard_of = true\n".to_owned()),
        ("odd_version", "version = 'one'\n".to_owned()),
        ("no_version", CHAIN.to_owned()),
        (
            "unknown_keys",
            with_chain("colour = 1\n[spool]\nsetle = '1s'\n[logs.rotate]\nkepp = 3\n[sool]\nx = 1"),
        ),
        (
            "wrong_types",
            with_chain(
                "[spool]\nsettle = 5\nmax_size = \"lots\"\nwatcher = \"natve\"\ninclude = \"*.json\"\n[workers]\nin_flight = -3\n\
                 threads = 1.5\n[logs]\nshow_text = \"no\"\n[home]\npath = 1\n[retry]\nbackoff = \"1 fortnight\"",
            ),
        ),
        ("section_that_is_none", with_chain("spool = 5\nworkers = [1]")),
        (
            "values_that_do_not_fit",
            with_chain(
                "[home]\npath = \"~/chats\"\n[spool]\nsettle = \"20s\"\nrescan = \"1ms\"\nmax_size = 0\ninclude = []\ndone = \"x\"\n\
                 failed = \"./y/../x\"\n[workers]\nin_flight = 0\nthreads = 5000\n[retry]\nattempts = 0\nbackoff = \"10m\"\n\
                 [retention]\ndone = \"0s\"\n[logs.rotate]\nmax_size = 1",
            ),
        ),
        ("sources_of_nothing", with_chain("source = 5")),
        (
            "sources_with_typos",
            with_chain(
                "[[source]]\npath = \"~/.claude/projects\"\nformat = \"claude-cod\"\nmode = \"move\"\n\
                 [[source]]\npth = \"x\"\nformat = \"jan\"\nquiet = \"10ms\"",
            ),
        ),
        (
            "sources_that_do_not_fit",
            with_chain(
                "[[source]]\npath = \"/jan/threads\"\nformat = \"jan\"\n[[source]]\npath = \"/jan/./threads\"\nformat = \"jan\"\n\
                 [[source]]\npath = \"atles_memory/spool\"\nformat = \"llm\"",
            ),
        ),
        ("patterns", with_chain("[spool]\ninclude = [\"*.json\", \"chats/*.json\", \"[ab].json\"]")),
        ("unknown_kind", stages("[[stage]]\nkind = \"redcat\"\n[[stage]]\nkind = \"banana\"")),
        ("no_kind", stages("[[stage]]\nname = \"x\"\n[[stage]]\nkind = 5")),
        ("one_bracket", "version = 1\n[stage]\nkind = \"memory\"\n".to_owned()),
        ("not_tables", "version = 1\nstage = [1, \"memory\"]\n".to_owned()),
        (
            "names",
            stages(
                "[[stage]]\nkind = \"redact\"\n[[stage]]\nkind = \"redact\"\n[[stage]]\nkind = \"redact\"\nname = \"redact\"\n\
                 [[stage]]\nkind = \"redact\"\nname = \"../up\"",
            ),
        ),
        (
            "common_keys",
            stages(
                "[[stage]]\nkind = \"redact\"\ntimout = \"1s\"\non_error = \"contine\"\ntimeout = \"soon\"\nenabled = 1\n\
                 [[stage]]\nkind = \"redact\"\nname = \"b\"\ntimeout = \"0s\"\nretry = { attempts = 0, backof = \"1s\" }\n\
                 [[stage]]\nkind = \"redact\"\nname = \"c\"\nretry.backoff = \"1h\"",
            ),
        ),
        (
            "settings_of_a_stage",
            stages(
                "[[stage]]\nkind = \"redact\"\nemail = true\nlimit = \"lots\"\n\n[[stage.rules]]\nname = \"a\"\nregex = \"(\"\n\n\
                 [[stage.rules]]\nname = \"b\"\nregexp = \"x\"\n\n[[stage.rules]]\nname = \"c\"\nregex = \"c[\"\n\n[[stage]]\nkind = \"redact\"\n\
                 name = \"more\"\nrules = [{ name = \"x\", regex = \"ok\" }, { name = \"y\", regex = \"(?P<\" }]\nlimit = 11\n\
                 [[stage]]\nkind = \"redact\"\nname = \"defaults\"\nemails = true\nlimit = 7",
            ),
        ),
        (
            "conditions",
            stages(
                "[[stage]]\nkind = \"redact\"\nwhen = \"size(sesion.messages) > 1 && session.ap == 'é'\"\n[[stage]]\nkind = \"redact\"\n\
                 name = \"b\"\nwhen = \"file.size >\"\n[[stage]]\nkind = \"redact\"\nname = \"c\"\nwhen = \"session.app == \\\"x\\\" && fiel.size > 1\"\n\
                 [[stage]]\nkind = \"redact\"\nname = \"d\"\nwhen = '''\nfile.size > 1\n  && count(session.messages)'''\n[[stage]]\nkind = \"redact\"\n\
                 name = \"e\"\nwhen = \"size(session.messages)\"",
            ),
        ),
        (
            "decode",
            stages(
                "[[stage]]\nkind = \"redact\"\n[[stage]]\nkind = \"decode\"\nformat = \"chatgtp\"\n[[stage]]\nkind = \"decode\"\nname = \"x\"\n\
                 when = \"file.size > 1\"",
            ),
        ),
        ("redact_too_late", stages("[[stage]]\nkind = \"training_data\"\n[[stage]]\nkind = \"redact\"")),
        (
            "chain_that_forgets",
            "version = 1\n[[stage]]\nkind = \"redact\"\n[[stage]]\nkind = \"memory\"\nenabled = false\n"
                .to_owned(),
        ),
        ("no_redaction", stages("")),
    ];
    for (name, text) in cases {
        let found = match read(&text) {
            Ok((_, warnings)) => warnings,
            Err(found) => found,
        };
        assert!(!found.is_empty(), "{name}: nothing was found");
        let mut shown = format!("{text}\n---------- {}\n", found.summary());
        let _ = writeln!(shown, "{found}\n\n---------- as JSON");
        for item in found.located() {
            let _ = writeln!(shown, "{}", serde_json::to_string(&item).unwrap());
        }
        insta::assert_snapshot!(name, shown);
    }
}

#[test]
fn a_chain_is_built_with_what_was_written() {
    let config = config(
        "version = 1\n[home]\npath = 'deep/../home'\n[spool]\ndone = '../done'\n[retry]\nattempts = 9\n\
         [[stage]]\nkind = 'decode'\nformat = 'claude'\n[[stage]]\nkind = 'redact'\nname = 'first'\ntimeout = '3s'\n\
         on_error = 'continue'\nwhen = 'size(session.messages) > 1'\nretry = { backoff = '2s' }\n\
         [[stage]]\nkind = 'memory'\nenabled = false\n[[stage]]\nkind = 'session_log'\n",
    );
    let names: Vec<_> = config.stages.iter().map(|stage| (stage.name.as_str(), stage.kind)).collect();
    assert_eq!(names, [("first", "redact"), ("session_log", "session_log")]);
    let first = &config.stages[0];
    assert_eq!(first.timeout, Some(std::time::Duration::from_secs(3)));
    assert_eq!(first.on_error, OnError::Continue);
    assert_eq!(first.retry, Retry { attempts: 9, backoff: Span::secs(2), max_backoff: Span::secs(300) });
    assert!(first.when.is_some() && config.stages[1].when.is_none());
    let dir = if cfg!(windows) { Path::new("C:\\") } else { Path::new("/") };
    assert_eq!(config.folders.home, dir.join("here/home"));
    assert_eq!(config.folders.spool, dir.join("here/home/spool"));
    assert_eq!(config.folders.done, dir.join("done"));
}

#[test]
fn a_stage_s_hash_changes_with_what_it_does_and_with_nothing_else() {
    let hash = |keys: &str| {
        let config = config(&format!("version = 1\n[[stage]]\nkind = 'redact'\n{keys}\n"));
        config.stages[0].settings_hash
    };
    let plain = hash("");
    for same in
        ["# a comment", "limit = 0", "emails = false\nlimit = 0", "timeout = '1s'", "on_error = 'continue'"]
    {
        assert_eq!(hash(same), plain, "{same}");
    }
    for other in
        ["limit = 1", "emails = true", "when = 'file.size > 1'", "rules = [{name = 'a', regex = 'a'}]"]
    {
        assert_ne!(hash(other), plain, "{other}");
    }
}

#[test]
fn the_default_file_says_what_the_defaults_are() {
    let (config, warnings) = parse_default().map_err(|found| found.to_string()).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(config.settings, Settings::default());
    assert_eq!(config.decode, Default::default());
}

#[test]
fn a_file_without_stages_gets_the_default_chain() {
    let (default, _) = parse_default().map_err(|found| found.to_string()).unwrap();
    let chain = |config: Config| {
        config.stages.into_iter().map(|stage| (stage.name, stage.settings_hash)).collect::<Vec<_>>()
    };
    let (bare, warnings) = parse_any("version = 1\n").map_err(|found| found.to_string()).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    assert!(bare.stages.len() > 4);
    assert_eq!(chain(bare), chain(default));
    let (none, warnings) = parse_any("version = 1\nstage = []\n").map_err(|found| found.to_string()).unwrap();
    assert_eq!((none.stages.len(), warnings.count()), (0, 2));
}

#[test]
fn every_key_of_the_settings_stands_in_the_default_file() {
    let schema = schemars::schema_for!(Settings).to_value();
    let text = default_pipeline();
    for (section, _) in schema["properties"].as_object().unwrap() {
        let written = [format!("\n[{section}]"), format!("\n# [[{section}]]")];
        assert!(written.iter().any(|line| text.contains(line)), "[{section}]");
    }
    for definition in [
        "Home",
        "Spool",
        "SourceSettings",
        "Retention",
        "Workers",
        "Retry",
        "Shutdown",
        "Logs",
        "Rotate",
        "Disk",
        "Publish",
        "OllamaTarget",
        "LlamaServerTarget",
        "FolderTarget",
        "CommandTrainer",
        "OpenaiTrainer",
    ] {
        for (key, _) in schema["$defs"][definition]["properties"].as_object().unwrap() {
            let written = [
                format!("\n{key} = "),
                format!("\n# {key} = "),
                format!("\n[logs.{key}]"),
                format!("\n[training.publish.{key}]"),
            ];
            assert!(written.iter().any(|line| text.contains(line)), "{definition}.{key}");
        }
    }
}

fn parse_any(text: &str) -> Result<(Config, Diagnostics), Diagnostics> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    parse(text, &Source { name: "pipeline.toml", dir, services: &Services::detached, kinds: ANYTHING })
}

fn parse_default() -> Result<(Config, Diagnostics), Diagnostics> {
    parse_any(default_pipeline())
}

#[test]
fn no_kind_has_a_key_that_every_stage_has() {
    let common = super::chain::common_keys();
    assert!(common.contains(&"on_error".to_owned()) && common.len() == 7, "{common:?}");
    for kind in KINDS {
        let schema = (kind.schema)().to_value();
        for key in schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key) {
            assert!(!common.contains(key), "{}.{key} could never be reached", kind.name);
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let report = |path: &Path| load(path, &Services::detached).map(|_| ()).unwrap_err().to_string();
    assert!(report(&folder.path().join("gone.toml")).contains("cannot be read"));
    assert!(report(folder.path()).contains("cannot be read"));
    let file = folder.path().join("latin1.toml");
    std::fs::write(&file, b"version = 1\n# caf\xe9\n").unwrap();
    assert!(report(&file).contains("line 2 is not UTF-8"));
}

#[test]
fn nesting_without_end_is_an_error_and_not_a_crash() {
    for text in
        ["[".repeat(50_000), format!("a = {}", "[".repeat(50_000)), format!("a = {}", "{a=".repeat(50_000))]
    {
        assert!(read(&text).is_err());
    }
    let deep = format!("version = 1\n[spool]\n{} = 1\n", vec!["a"; 20_000].join("."));
    assert!(read(&deep).is_err());
}

#[test]
fn a_file_of_mistakes_is_answered_quickly_and_not_in_full() {
    let text: String = (0..5_000).map(|i| format!("key{i} = {i}\n")).collect();
    let found = read(&format!("version = 1\n{text}{CHAIN}")).map(|_| ()).unwrap_err();
    assert!((50..200).contains(&found.count()), "{}", found.count());
}

/// Pieces that together come close to a pipeline.toml.
fn nearly_toml() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "version", "kind", "name", "when", "settle", "grace", "rules", "regex", "limit", "retry", "timeout",
        "path", "include", "é",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "2",
        "-1",
        "'1s'",
        "\"redact\"",
        "'memory'",
        "'decode'",
        "[]",
        "['*']",
        "[{name='a',regex='('}]",
        "[{regex=1},{}]",
        "{attempts=0}",
        "true",
        "1979-05-27",
        "nan",
        "\"\"\"\né\"\"\"",
        "'session.ap'",
        "\"\\u00e9 == file.nme\"",
        "{",
    ]);
    let line = prop_oneof![
        8 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        4 => prop::sample::select(vec!["[[stage]]", "[spool]", "[retry]", "[[stage.rules]]", "[stage]", "[home]", "[spool.x]"]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
    ];
    prop::collection::vec(line, 0..14).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_text_makes_the_reader_panic(text in prop_oneof![4 => nearly_toml(), 1 => "\\PC{0,60}"]) {
        let found = match read(&text) {
            Ok((_, warnings)) => warnings,
            Err(found) => found,
        };
        prop_assert!(found.render(true).len() >= found.count());
        for item in found.located() {
            prop_assert!(item.line.is_none_or(|line| line <= text.matches('\n').count() + 1));
        }
    }
}
