use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not do what was meant.
    Warning,
}

/// One thing that is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where, in bytes; `None` where it concerns the file as a whole.
    pub span: Option<Range<usize>>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// A [`Diagnostic`] as `--json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Located<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: &'a str,
    /// Line, from 1; `None` for the file as a whole.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: &'a str,
    /// What to do.
    pub hint: Option<&'a str>,
}

/// Everything that is wrong with one configuration file. Shown, it is a report with excerpts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    text: String,
    items: Vec<Diagnostic>,
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// Nothing wrong yet with `file`, whose content is `text`.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Diagnostics { file: file.into(), text: text.into(), items: Vec::new() }
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.items.push(diagnostic);
    }

    pub(crate) fn error(
        &mut self,
        span: impl Into<Option<Range<usize>>>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let (span, message, hint) = (span.into(), message.into(), hint.into());
        self.push(Diagnostic { severity: Severity::Error, span, message, hint });
    }

    pub(crate) fn warning(
        &mut self,
        span: impl Into<Option<Range<usize>>>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let (span, message, hint) = (span.into(), message.into(), hint.into());
        self.push(Diagnostic { severity: Severity::Warning, span, message, hint });
    }

    /// In the order of the file; what concerns the file as a whole comes last.
    pub(crate) fn sort(&mut self) {
        self.items.sort_by_key(|item| item.span.as_ref().map_or(usize::MAX, |span| span.start));
    }

    /// Each of them, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter()
    }

    /// How many there are, warnings included.
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is wrong at all.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the file cannot be used.
    pub fn is_error(&self) -> bool {
        self.items.iter().any(|item| item.severity == Severity::Error)
    }

    /// As in `pipeline.toml: 2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let errors = self.items.iter().filter(|item| item.severity == Severity::Error).count();
        let warnings = self.items.len() - errors;
        let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        match (errors, warnings) {
            (0, 0) => format!("{}: no problems", self.file),
            (0, n) => format!("{}: {}", self.file, counted(n, "warning")),
            (n, 0) => format!("{}: {}", self.file, counted(n, "error")),
            (n, m) => format!("{}: {}, {}", self.file, counted(n, "error"), counted(m, "warning")),
        }
    }

    /// The report with excerpts, in colour or plain. Ends without a newline.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let shown: Vec<String> = self.items.iter().map(|item| self.render_one(&renderer, item)).collect();
        shown.join("\n\n")
    }

    fn render_one(&self, renderer: &Renderer, item: &Diagnostic) -> String {
        let level = match item.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(item.message.as_str());
        let group = match &item.span {
            Some(span) => title.element(
                Snippet::source(self.text.as_str())
                    .path(self.file.as_str())
                    .annotation(AnnotationKind::Primary.span(self.on_one_line(span))),
            ),
            None => title.element(Origin::path(self.file.as_str())),
        };
        let group: Group<'_> = match &item.hint {
            Some(hint) => group.element(Level::HELP.message(hint.as_str())),
            None => group,
        };
        renderer.render(&[group])
    }

    /// A span cut at the end of its first line and moved to character boundaries, so that any span can be drawn.
    fn on_one_line(&self, span: &Range<usize>) -> Range<usize> {
        let start = floor(&self.text, span.start);
        let rest = self.text.get(start..).unwrap_or_default();
        let line = rest.find('\n').unwrap_or(rest.len());
        let line = rest.get(..line).unwrap_or_default().trim_end_matches('\r').len();
        start..floor(&self.text, span.end).clamp(start, start + line)
    }

    /// The diagnostics as `--json` shows them.
    pub fn located(&self) -> Vec<Located<'_>> {
        self.items.iter().map(|item| self.locate(item)).collect()
    }

    fn locate<'a>(&'a self, item: &'a Diagnostic) -> Located<'a> {
        let place = item.span.as_ref().map(|span| position(&self.text, span.start));
        Located {
            severity: item.severity,
            file: &self.file,
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            message: &item.message,
            hint: item.hint.as_deref(),
        }
    }
}

impl Serialize for Diagnostics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.located().serialize(serializer)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// The nearest character boundary at or before a byte.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// Line and column of a byte, both from 1, the column in characters.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..floor(text, byte)).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before.get(start..).unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_span_can_be_drawn() {
        let text = "a = \"ü\"\r\nb = 1\n";
        let mut all = Diagnostics::new("x.toml", text);
        for start in 0..=text.len() + 2 {
            for end in start..=text.len() + 2 {
                all.error(start..end, "somewhere", None);
            }
        }
        assert!(all.render(true).len() > all.render(false).len());
        assert_eq!(all.located().len(), all.count());
    }

    #[test]
    fn columns_count_characters() {
        let text = "a = 1\nü = \"ö\" x\n";
        let mut all = Diagnostics::new("x.toml", text);
        all.error(text.find('x').unwrap()..text.len(), "here", None);
        let located = all.located();
        assert_eq!((located[0].line, located[0].column), (Some(2), Some(9)));
    }
}
