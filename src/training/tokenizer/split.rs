//! Cutting text into the pieces inside which byte pairs are merged. Every family of models has its own rule, and
//! a wrong rule gives valid but unfamiliar tokens, so an unknown one is an error.

use regex::Regex;

/// The rules, for messages.
pub(super) const NAMES: &str = "gpt-2, smollm, llama-bpe (llama3) and qwen2";

/// How a family of models cuts text.
#[derive(Debug)]
pub(super) struct Splitter {
    /// All alternatives but the look-ahead `\s+(?!\S)`, which [`pieces`](Self::pieces) does by hand.
    pattern: Regex,
    /// Digits stand alone, before everything else.
    digits_first: bool,
    /// A run of white space that ends in a line break stays whole.
    lines_whole: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";

impl Splitter {
    /// The rule named by `tokenizer.ggml.pre`.
    pub(super) fn named(pre: &str) -> Option<Self> {
        let (pattern, digits_first, lines_whole) = match pre {
            "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "jina-v2-es" | "jina-v2-de" | "mpt" | "olmo"
            | "jais" | "trillion" | "roberta-bpe" | "exaone4" => (GPT2, false, false),
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "minerva-7b" => {
                (GPT2, true, false)
            }
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral" | "dbrx"
            | "smaug-bpe" | "lfm2" | "midm-2.0" => (LLAMA3, false, true),
            "qwen2" | "deepseek-r1-qwen" | "stablelm2" | "hunyuan" | "megrez" | "kormo" => {
                (QWEN2, false, true)
            }
            _ => return None,
        };
        Some(Splitter { pattern: Regex::new(pattern).ok()?, digits_first, lines_whole })
    }

    /// Calls back with every piece, in order; together they are the text.
    pub(super) fn pieces<'t>(&self, text: &'t str, mut each: impl FnMut(&'t str)) {
        if !self.digits_first {
            return self.run(text, &mut each);
        }
        let mut from = 0;
        for (at, digit) in text.char_indices().filter(|(_, c)| c.is_numeric()) {
            self.run(&text[from..at], &mut each);
            from = at + digit.len_utf8();
            each(&text[at..from]);
        }
        self.run(&text[from..], &mut each);
    }

    fn run<'t>(&self, text: &'t str, each: &mut impl FnMut(&'t str)) {
        let mut at = 0;
        while at < text.len() {
            let Some(found) = self.pattern.find_at(text, at) else {
                return each(&text[at..]);
            };
            if found.start() > at {
                each(&text[at..found.start()]);
            }
            let mut end = found.end();
            if end < text.len() && self.is_space_before_a_word(found.as_str()) {
                // `\s+(?!\S)`: the last white space of a run belongs to the word that follows.
                let last = found.as_str().chars().next_back().map_or(0, char::len_utf8);
                if end - last > found.start() {
                    end -= last;
                }
            }
            each(&text[found.start()..end]);
            at = end;
        }
    }

    fn is_space_before_a_word(&self, piece: &str) -> bool {
        piece.chars().all(char::is_whitespace) && !(self.lines_whole && piece.ends_with(['\r', '\n']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_cuts_its_own_way() {
        let text = "I'LL pay  $1234\t\n\n  now!\n x\u{a0} 5½";
        for (pre, expected) in [
            ("gpt-2", "I|'|LL| pay| | $|1234|\t\n\n | |now|!|\n| x|\u{a0}| 5½"),
            ("smollm", "I|'|LL| pay| | $|1|2|3|4|\t\n\n | |now|!|\n| x|\u{a0} |5|½"),
            ("llama-bpe", "I|'LL| pay| | $|123|4|\t\n\n| | now|!\n| x|\u{a0}| |5½"),
            ("qwen2", "I|'LL| pay| | $|1|2|3|4|\t\n\n| | now|!\n| x|\u{a0}| |5|½"),
        ] {
            let mut pieces = Vec::new();
            Splitter::named(pre).unwrap().pieces(text, |piece| pieces.push(piece));
            let expected = expected.replace(" | |now", " | now");
            assert_eq!(pieces.join("|"), expected, "{pre}");
            assert_eq!(pieces.concat(), text);
        }
        assert!(Splitter::named("default").is_none());
    }
}
