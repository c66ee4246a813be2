//! Whether what a model said is what a model says.

/// What every published model is asked. It names nobody and nothing that was learned.
pub(super) const QUESTION: &str = "Say hello in one short sentence.";
/// The most tokens it may answer with.
pub(super) const ANSWER_TOKENS: u32 = 48;

/// What is wrong with an answer; `None` if it will do. A small model may say anything, but it says something.
pub(super) fn flaw(answer: &str) -> Option<&'static str> {
    let answer = answer.trim();
    let mut letters = answer.chars();
    let Some(first) = letters.next() else { return Some("it answered nothing") };
    // What a model with broken numbers writes.
    let count = answer.chars().count();
    if count >= 8 && letters.all(|letter| letter == first) {
        return Some("it answered with one character over and over");
    }
    if count >= 8 && answer.chars().filter(|letter| *letter == '\u{FFFD}').count() * 2 > count {
        return Some("it answered with broken characters");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_text() {
        for good in ["Hello!", "Hi", "4", "!!!", "Grüß Gott, 世界"] {
            assert_eq!(flaw(good), None, "{good}");
        }
        for bad in
            ["", "  \n", "@@@@@@@@@@@@", "GGGGGGGG", "\u{FFFD}a\u{FFFD}\u{FFFD}\u{FFFD}b\u{FFFD}\u{FFFD}"]
        {
            assert!(flaw(bad).is_some(), "{bad}");
        }
    }
}
