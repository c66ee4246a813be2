//! Text from outside, made fit to be shown: it moves no cursor, turns no line around and hides nothing.

use std::borrow::Cow;

/// Whether a display would obey a character instead of showing it: control characters, and marks that turn the
/// direction of what follows.
pub(crate) fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// A page as it may be shown. Its own line ends and tabs stay; what else steers a display becomes `�`.
pub(crate) fn page(text: &str) -> Cow<'_, str> {
    let obeyed = |letter: char| steers(letter) && !matches!(letter, '\n' | '\t');
    if text.contains(obeyed) {
        Cow::Owned(text.chars().map(|letter| if obeyed(letter) { '\u{FFFD}' } else { letter }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// JSON as it may be shown: the same values, with what steers a display written as `\u202e`. The characters stand only
/// in strings, and all of them take one such escape.
pub(crate) fn json(text: String) -> String {
    let obeyed = |letter: char| steers(letter) && !letter.is_ascii_whitespace();
    if !text.contains(obeyed) {
        return text;
    }
    let mut tame = String::with_capacity(text.len() + 64);
    for letter in text.chars() {
        if obeyed(letter) {
            tame.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            tame.push(letter);
        }
    }
    tame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_its_lines_and_loses_what_steers_a_terminal() {
        assert_eq!(page("a\n\tb\u{1b}[2J\u{9b}\u{202e}c\r"), "a\n\tb\u{fffd}[2J\u{fffd}\u{fffd}c\u{fffd}");
        assert!(matches!(page("plain 👩‍👧 é\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_keeps_its_values() {
        let value = serde_json::json!({ "a\u{202e}": "\u{7f}\u{9b}\u{1b}\n\u{2066}\\" });
        let tame = json(serde_json::to_string_pretty(&value).unwrap());
        assert!(!tame.chars().any(|letter| steers(letter) && letter != '\n'), "{tame:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&tame).unwrap(), value);
    }
}
