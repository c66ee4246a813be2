use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2};

/// The parts of a message that are code or pasted output by their marking: fenced blocks (an unclosed one reaches to
/// the end), indented blocks that read like code or logs, and inline backticks. In order, without overlaps, in bytes.
pub fn code_ranges(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let marked = memchr2(b'`', b'~', bytes).is_some();
    let indented = is_indented(text)
        || memchr_iter(b'\n', bytes)
            .any(|at| matches!(bytes.get(at + 1..), Some([b'\t', ..] | [b' ', b' ', b' ', b' ', ..])));
    if !marked && !indented {
        return found;
    }
    let mut fence: Option<Fence> = None;
    let mut block = Indented::default();
    for line in lines(text) {
        let words = &text[line.clone()];
        if let Some(open) = &fence {
            if let Some(end) = open.closed_by(words) {
                found.push(open.start..line.start + end);
                fence = None;
                inline(text, line.start + end..line.end, &mut found, &mut fence);
            }
            continue;
        }
        if let Some(open) = Fence::opened_by(words, line.start) {
            block.finish(&mut found);
            fence = Some(open);
        } else if !block.takes(text, &line) {
            block.finish(&mut found);
            block.after(words);
            inline(text, line, &mut found, &mut fence);
        }
    }
    block.finish(&mut found);
    if let Some(open) = fence {
        found.push(open.start..text.len());
    }
    found
}

fn is_indented(line: &str) -> bool {
    line.starts_with("    ") || line.starts_with('\t')
}

/// The lines of a text as byte ranges, without their line breaks.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    memchr_iter(b'\n', text.as_bytes()).chain([text.len()]).map(move |end| {
        let line = start..end;
        start = end + 1;
        line
    })
}

/// An open fence.
struct Fence {
    mark: u8,
    length: usize,
    start: usize,
}

impl Fence {
    fn opened_by(line: &str, at: usize) -> Option<Fence> {
        let trimmed = line.trim_start();
        let mark = *trimmed.as_bytes().first().filter(|mark| matches!(mark, b'`' | b'~'))?;
        let length = run(trimmed.as_bytes(), mark);
        let info = &trimmed[length..];
        (length >= 3 && memchr(mark, info.as_bytes()).is_none()).then(|| Fence {
            mark,
            length,
            start: at + line.len() - trimmed.len(),
        })
    }

    /// Where in this line the fence ends, if it does. People close a fence at the end of a line of code, and go on
    /// writing behind the closing marks; both count.
    fn closed_by(&self, line: &str) -> Option<usize> {
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        let length = run(trimmed.as_bytes(), self.mark);
        if length >= self.length {
            let rest = &trimmed[length..];
            let speaks = rest.starts_with(' ') && rest.split_ascii_whitespace().nth(1).is_some();
            return (rest.is_empty() || speaks).then_some(indent + length);
        }
        let closing = trimmed.bytes().rev().take_while(|byte| *byte == self.mark).count();
        (closing >= self.length).then_some(indent + trimmed.len())
    }
}

fn run(bytes: &[u8], mark: u8) -> usize {
    bytes.iter().take_while(|byte| **byte == mark).count()
}

/// Finds inline code in one line; three or more backticks that the line does not close open a fence.
fn inline(text: &str, line: Range<usize>, found: &mut Vec<Range<usize>>, fence: &mut Option<Fence>) {
    let bytes = &text.as_bytes()[line.clone()];
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut next = 0;
    while let Some(at) = bytes.get(next..).and_then(|rest| memchr(b'`', rest)) {
        let length = run(&bytes[next + at..], b'`');
        runs.push((next + at, length));
        next += at + length;
    }
    if runs.is_empty() {
        return;
    }
    // The last run of each length, so that one that nothing closes costs no search.
    let mut last: Vec<(usize, usize)> =
        runs.iter().enumerate().map(|(i, (_, length))| (*length, i)).collect();
    last.sort_unstable();
    let last_of = |length: usize| {
        let behind = last.partition_point(|(l, _)| *l <= length);
        behind.checked_sub(1).and_then(|i| last.get(i)).map_or(0, |(_, i)| *i)
    };
    let mut i = 0;
    while let Some((start, length)) = runs.get(i).copied() {
        if last_of(length) > i {
            let close = runs[i + 1..].iter().position(|(_, l)| *l == length).map_or(i, |step| i + 1 + step);
            found.push(line.start + start..line.start + runs[close].0 + length);
            i = close + 1;
        } else if length >= 3 {
            *fence = Some(Fence { mark: b'`', length, start: line.start + start });
            return;
        } else {
            i += 1;
        }
    }
}

/// A block of indented lines, gathered until it ends.
struct Indented {
    range: Option<Range<usize>>,
    lines: usize,
    code: usize,
    /// Whether an indented block may begin here: behind an empty line, a line that ends in `:`, or at the start.
    open: bool,
}

impl Default for Indented {
    fn default() -> Self {
        Indented { range: None, lines: 0, code: 0, open: true }
    }
}

impl Indented {
    fn takes(&mut self, text: &str, line: &Range<usize>) -> bool {
        let words = &text[line.clone()];
        if words.trim().is_empty() {
            return self.range.is_some();
        }
        if !is_indented(words) || (self.range.is_none() && !self.open) {
            return false;
        }
        let start = self.range.as_ref().map_or(line.start, |range| range.start);
        self.range = Some(start..line.end);
        self.lines += 1;
        self.code += usize::from(reads_like_code(words));
        true
    }

    fn finish(&mut self, found: &mut Vec<Range<usize>>) {
        if let Some(range) = self.range.take() {
            if self.code * 3 >= self.lines {
                found.push(range);
            }
            (self.lines, self.code) = (0, 0);
        }
    }

    fn after(&mut self, line: &str) {
        let line = line.trim_end();
        self.open = line.is_empty() || line.ends_with(':');
    }
}

/// Words that begin a line of code; they also begin sentences, so the line must hold a sign of code too.
const OPENERS: [&str; 26] = [
    "import ",
    "def ",
    "class ",
    "fn ",
    "pub ",
    "const ",
    "let ",
    "var ",
    "function ",
    "return ",
    "if (",
    "for ",
    "while ",
    "else",
    "elif ",
    "try",
    "except",
    "catch",
    "async ",
    "await ",
    "export ",
    "public ",
    "private ",
    "static ",
    "struct ",
    "impl ",
];

/// Beginnings that only code, logs and traces have.
const CERTAIN: [&str; 38] = [
    "Traceback (most",
    "File \"",
    "Caused by:",
    "#include",
    "#!/",
    "</",
    "<!",
    "<?",
    ">>> ",
    "$ ",
    "+++ ",
    "--- a/",
    "@@ ",
    "//",
    "/*",
    "npm ERR!",
    "npm WARN",
    "error[E",
    "error: ",
    "warning: ",
    "panic:",
    "thread '",
    "Exception ",
    "ERROR",
    "INFO ",
    "WARN",
    "DEBUG",
    "TRACE ",
    "FATAL",
    "[ERROR",
    "[INFO",
    "[WARN",
    "[DEBUG",
    "INSERT INTO",
    "CREATE TABLE",
    "FROM ",
    "ALTER TABLE",
    "Segmentation fault",
];

/// The signs that code has more of than prose, by byte.
const SIGNS: [bool; 256] = {
    let mut table = [false; 256];
    let signs = b"(){}[]<>=;_\\|&$#";
    let mut i = 0;
    while i < signs.len() {
        table[signs[i] as usize] = true;
        i += 1;
    }
    table
};

/// The first bytes of [`CERTAIN`].
const CERTAIN_FIRST: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < CERTAIN.len() {
        table[CERTAIN[i].as_bytes()[0] as usize] = true;
        i += 1;
    }
    table
};

/// Whether one line reads like code, a log line or a line of a stack trace rather than something said.
pub(crate) fn reads_like_code(line: &str) -> bool {
    let line = line.trim();
    let bytes = line.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if (CERTAIN_FIRST[usize::from(*first)] && CERTAIN.iter().any(|opener| line.starts_with(opener)))
        || stamped(bytes)
        || traced(line)
    {
        return true;
    }
    let signs = bytes.iter().filter(|byte| SIGNS[usize::from(**byte)]).count();
    match (first, last) {
        (b'{' | b'}', _) | (_, b'{' | b'}') => true,
        (_, b';') if bytes.iter().filter(|byte| **byte == b';').count() < signs || !line.contains(' ') => {
            true
        }
        (b'<', b'>') => true,
        _ if signs == 0 => false,
        _ if OPENERS.iter().any(|opener| line.starts_with(opener)) => {
            matches!(last, b':' | b';')
                || bytes.iter().any(|byte| b"{}[]=;<>".contains(byte))
                || called(bytes)
        }
        _ if line.starts_with("from ") => line.contains(" import "),
        _ if line.starts_with("SELECT ") => true,
        _ => signs * 100 > bytes.len() * 12 && signs > 2 && !line.contains("://"),
    }
}

/// Whether a bracket opens right behind a word, as in a call.
fn called(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair[0].is_ascii_alphanumeric() && pair[1] == b'(')
}

/// A line of a stack trace: `at f (file.js:1:2)`, `0: std::panicking`, `goroutine 1 [running]:`.
fn traced(line: &str) -> bool {
    let numbered = || {
        let digits = run_of_digits(line.as_bytes());
        digits > 0 && line[digits..].starts_with(": ") && line.contains("::")
    };
    let at = || {
        line.strip_prefix("at ").is_some_and(|rest| {
            rest.contains("::")
                || (rest.ends_with(')') && rest.contains('('))
                || rest.rsplit(':').next().is_some_and(|n| {
                    !n.is_empty()
                        && rest.contains(':')
                        && !rest.contains(' ')
                        && run_of_digits(n.as_bytes()) == n.len()
                })
        })
    };
    at() || numbered() || (line.starts_with("goroutine ") && line.ends_with("]:"))
}

fn run_of_digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Begins with a time or date as logs and copied chats do: `2024-01-31 10:00`, `10:00:01`, `[12:03]`, `[31/01/24`.
fn stamped(bytes: &[u8]) -> bool {
    let (bracket, bytes) = match bytes {
        [b'[', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    let digits = run_of_digits(bytes);
    let Some(mark) = bytes.get(digits) else { return false };
    let next = run_of_digits(bytes.get(digits + 1..).unwrap_or_default());
    let then = bytes.get(digits + next + 1);
    match (digits, mark, next) {
        (4, b'-' | b'/', 2) => then == Some(mark) && bytes.get(digits + next + 4).is_some(),
        (1 | 2, b':', 2) => bracket || then == Some(&b':'),
        (1 | 2, b'/' | b'.', 1 | 2) => bracket && then.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(text: &str) -> Vec<&str> {
        code_ranges(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn marked_code_is_found_however_people_close_it() {
        for (text, expected) in [
            ("a\n```rust\nlet x = 1;\n```\nb", vec!["```rust\nlet x = 1;\n```"]),
            ("a\n```\nnever closed\n\nat all", vec!["```\nnever closed\n\nat all"]),
            ("fix this: ```\nx = 1```\nthen go", vec!["```\nx = 1```"]),
            ("```\nx\n``` and then tell me", vec!["```\nx\n```"]),
            ("~~~\n```\n~~~\nprose", vec!["~~~\n```\n~~~"]),
            ("use `grep` or ``a ` b`` here", vec!["`grep`", "``a ` b``"]),
            ("one ` alone, and one `closed`", vec!["` alone, and one `"]),
            ("a lone ` stays", vec![]),
            ("look: ```x = 1``` yes", vec!["```x = 1```"]),
            ("a\n\n    let x = f(1);\n    g(x);\n\nb", vec!["    let x = f(1);\n    g(x);"]),
            ("a\n\n    only an indented remark\n\nb", vec![]),
            ("prose", vec![]),
        ] {
            assert_eq!(coded(text), expected, "{text:?}");
        }
    }

    #[test]
    fn traces_logs_and_code_do_not_read_like_speech() {
        for line in [
            "    at Object.<anonymous> (/app/index.js:10:15)",
            "  File \"main.py\", line 3, in <module>",
            "2024-01-31 10:00:01 INFO started",
            "[12:03] Bob: I love it",
            "[31/01/24, 10:00] Bob: I live in Rome",
            "const x = await fetch(url);",
            "def main(argv):",
            "SELECT name FROM users WHERE id = 1",
            "}",
            "  12: std::panicking::begin_panic",
        ] {
            assert!(reads_like_code(line), "{line}");
        }
        for line in [
            "I prefer tabs over spaces.",
            "let me know if (and when) you can",
            "at noon I eat soup",
            "for example I love tea",
            "12: the number I like",
            "return flights are what I want (cheap ones)",
            "2024 was the year I moved to Oslo",
            "see https://example.com/a_b?c=d&e=f for what I use",
            "My name is Anna; I live in Bern;",
        ] {
            assert!(!reads_like_code(line), "{line}");
        }
    }
}
