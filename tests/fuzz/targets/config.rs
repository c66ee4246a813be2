use std::path::Path;

use atles::config::{Source, default_pipeline, parse};
use atles::pipeline::Services;
use atles::stages::kinds::KINDS;

use crate::driver::Target;
use crate::seeds;

/// pipeline.toml.
pub(crate) struct Configuration;

impl Target for Configuration {
    const NAME: &'static str = "config";
    const INPUTS: u64 = 700;
    const VARIANTS: usize = 1;
    const WORDS: &'static [&'static str] = &[
        "version = 1\n",
        "[[stage]]\n",
        "kind = \"redact\"\n",
        "kind = \"decode\"\n",
        "kind = \"memory\"\n",
        "kind = \"filter\"\n",
        "kind = \"exec\"\n",
        "kind = \"http\"\n",
        "command = [\"x\"]\n",
        "url = \"http://x\"\n",
        "when = \"session.messages.size() > 1\"\n",
        "[[stage.rule]]\n",
        "regex = '(a{9}){9}'\n",
        "regex = '('\n",
        "name = \"x\"\n",
        "[spool]\n",
        "path = \"..\"\n",
        "[retry]\n",
        "attempts = 0\n",
        "timeout = \"1s\"\n",
        "settle = \"99999999999y\"\n",
        "[disk]\n",
        "min_free = \"9EiB\"\n",
        "[training]\n",
        "[publish]\n",
        "[[source]]\n",
        "format = \"codex\"\n",
        "[a.b.c]\n",
        "\"\"\"",
        "'''",
        "1979-05-27T07:32:00Z",
        "0x_1",
        "inf",
        "{a=1}",
        "on_error = \"skip\"\n",
        "disable = [\"phone\"]\n",
        "allow = ['.*']\n",
    ];

    fn new() -> Self {
        Configuration
    }

    fn seeds() -> Vec<Vec<u8>> {
        let mut seeds = vec![default_pipeline().as_bytes().to_vec()];
        // Without its comments, changes hit what is read.
        let lines = default_pipeline().lines().filter(|line| !line.starts_with('#'));
        seeds.push(lines.collect::<Vec<_>>().join("\n").into_bytes());
        // With what stands in comments as an example.
        let lines = default_pipeline().lines().map(|line| {
            let key = line.strip_prefix("# ").or_else(|| line.strip_prefix('#')).unwrap_or(line);
            if key.contains(" = ") || key.starts_with('[') { key } else { line }
        });
        seeds.push(lines.collect::<Vec<_>>().join("\n").into_bytes());
        let examples = seeds::files(&["examples"]);
        seeds.extend(examples.into_iter().filter(|text| text.windows(9).any(|found| found == b"[[stage]]")));
        seeds
    }

    fn take(&mut self, input: &[u8], _: usize) {
        let text = String::from_utf8_lossy(input);
        let source = Source {
            name: "pipeline.toml",
            dir: Path::new("/nowhere"),
            services: &Services::detached,
            kinds: KINDS,
        };
        let found = match parse(&text, &source) {
            Ok((_, warnings)) => warnings,
            Err(errors) => {
                assert!(errors.is_error() && !errors.is_empty());
                errors
            }
        };
        found.render(true);
        found.summary();
        found.located();
    }
}
