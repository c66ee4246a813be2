//! What programs write in the user's name, and what it leaves of a user's message.

use super::content;
use super::doc::Doc;

/// Takes blocks such as `<system-reminder>…</system-reminder>` out of a text. A block that is not closed ends with the
/// text: what follows its tag was written by the program too.
pub(super) fn without_blocks(text: &str, tags: &[&str]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, tag)) = first_tag(rest, tags) {
        kept.push_str(&rest[..start]);
        let inside = &rest[start..];
        let close = format!("</{tag}>");
        let Some(end) = inside.find(&close) else { return trimmed(kept) };
        rest = &inside[end + close.len()..];
    }
    kept.push_str(rest);
    trimmed(kept)
}

fn trimmed(text: String) -> String {
    let inner = text.trim();
    if inner.len() == text.len() { text } else { inner.to_owned() }
}

/// Where the first of the tags opens.
fn first_tag<'t>(text: &str, tags: &[&'t str]) -> Option<(usize, &'t str)> {
    memchr::memchr_iter(b'<', text.as_bytes()).find_map(|start| {
        let after = &text[start + 1..];
        let opens = |tag: &&&str| {
            after.strip_prefix(**tag).is_some_and(|rest| rest.starts_with(['>', ' ', '\n', '\t']))
        };
        tags.iter().find(opens).map(|tag| (start, *tag))
    })
}

/// The text of a message's content without calls and results of tools; empty where it cannot be read.
pub(super) fn speech(content: Option<Doc<'_>>) -> String {
    content.and_then(|content| content::read(content).ok()).map(|said| said.text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_out_whole_and_what_is_around_them_stays() {
        let tags = ["system-reminder", "command-name"];
        let cases = [
            ("plain < text", "plain < text"),
            ("<system-reminder>x</system-reminder>", ""),
            ("Fix it.\n<system-reminder>\nx <b>y</b>\n</system-reminder>\n", "Fix it."),
            ("<command-name>/clear</command-name> and <i>this</i>", "and <i>this</i>"),
            ("before <system-reminder>never closed", "before"),
            ("<system-reminders>x</system-reminders>", "<system-reminders>x</system-reminders>"),
            ("<system-reminder id=\"1\">x</system-reminder>äöü", "äöü"),
        ];
        for (text, left) in cases {
            assert_eq!(without_blocks(text, &tags), left, "{text}");
        }
    }
}
