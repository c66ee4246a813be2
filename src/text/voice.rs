//! Whether words in the first person are the speaker's own and meant.

use std::sync::LazyLock;

use regex::Regex;

use super::phrase::listed;
use super::prose::{Normal, begins_as_question, is_question};
use super::trigger::ascii;

/// Words that, right before "I …", make it a condition, a question, a wish or a relative clause.
const TURNING: &str = "\
    if when whenever unless whether until till once what which who whom whose where why how than do does \
    did am can could would will shall may might must have had should suppose imagine pretend assume \
    assuming wish maybe perhaps wherever whatever says said like";

/// What, anywhere before "I …" in its sentence, makes it somebody else's words, fiction, irony or its own denial.
const FOREIGN: &str = concat!(
    r"\b(?:he|she|they|who|it|[a-z]+)\s+(?:always\s+|often\s+|just\s+|once\s+)?",
    r"(?:says?|said|tells?|told|asks?|asked|claims?|claimed|thinks?|thought|believes?|wrote|writes|mentioned|",
    r"complained|replied|answered|argues?|insists?|shouted|assumes?)\b",
    r"|\b(?:can't|cannot|couldn't|wouldn't|won't|don't|didn't|do\s+not|not|never|hardly)\s+(?:\w+\s+)?",
    r"(?:say|think|claim|mean|imply|believe|suggest|pretend)\b",
    r"|\bnot\s+(?:that|like|as\s+if|because)\b|\bas\s+(?:if|though)\b|\bi\s+(?:wonder|doubt)\b|\bnot\s+sure\b",
    r"|\b(?:write|draft|compose|generate|imagine|pretend|suppose|act\s+as|act\s+like|role-?play|play\s+the\s+role|",
    r"character|lyrics|narrator|protagonist|persona|bio|headline|slogan|sentence|phrase|meaning\s+of|let's\s+say)\b",
    r"|\b(?:things?|stuff|people|something|anything|everything|someone|ones?|part|kind)\s+(?:that\s+|who\s+)?$",
    r"|^(?:oh|yeah|wow|ah|sure|great|right|of\s+course)\b[\s,]*(?:[a-z]+[\s,]+){0,3}$",
);

/// Subjects of "said", "told", … that leave the words the speaker's own: "as I said, …", "you know, …".
const OWN: [&str; 4] = ["i ", "i've ", "already ", "we "];

/// Signs that a message stages a scene or speaks as somebody else.
const STAGED: &str = concat!(
    r"(?i)\b(?:act\s+(?:as|like)|pretend|imagine|role-?\s?play(?:ing)?|play\s+the\s+(?:role|part)|suppose|",
    r"in\s+the\s+(?:voice|style|role)\s+of|from\s+the\s+perspective\s+of|as\s+if\s+you\s+were|",
    r"you\s+are\s+(?:now\s+)?an?\s|you['’]re\s+(?:now\s+)?an?\s|your\s+name\s+is|i\s+want\s+you\s+to\s+be\s+an?\s|",
    r"how\s+(?:may|can)\s+i\s+(?:help|assist)\s+you|(?:what|how)\s+can\s+i\s+do\s+for\s+you\s+today)",
);

static FOREIGN_BEFORE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&ascii(FOREIGN.to_owned())).ok());
static STAGED_IN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&ascii(STAGED.to_owned())).ok());

/// Whether a statement in the first person is meant, judged by what stands before and behind it in its sentence (both
/// as [`Normal`] text).
pub(crate) fn earnest(before: &str, behind: &str) -> bool {
    let before = before.trim_end();
    let last = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or(before);
    if listed(TURNING, last) || reported_behind(behind) {
        return false;
    }
    if before.is_empty() {
        return true;
    }
    FOREIGN_BEFORE.as_ref().is_none_or(|foreign| {
        foreign.find_iter(before).all(|found| OWN.iter().any(|own| found.as_str().starts_with(own)))
    })
}

/// "…, said the critic".
fn reported_behind(behind: &str) -> bool {
    behind.strip_prefix(',').map(str::trim_start).is_some_and(|rest| {
        let mut words = rest.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        let second = words.next().unwrap_or_default();
        let reports =
            |word: &str| matches!(word, "said" | "says" | "replied" | "wrote" | "shouted" | "asked");
        reports(first) || (reports(second) && first != "i")
    })
}

/// The part of a sentence that states something: all of it, nothing of a question, and of "I'm vegan, what can I
/// cook?" what stands before the question.
pub(crate) fn stated(sentence: &str) -> &str {
    if !is_question(sentence) {
        return sentence;
    }
    if begins_as_question(sentence) {
        return "";
    }
    let joints = sentence.match_indices([',', '-', '–', '—', ':']).map(|(at, mark)| (at, at + mark.len()));
    let words = [" so ", " and ", " but "]
        .into_iter()
        .flat_map(|word| sentence.match_indices(word).map(|(at, word)| (at, at + word.len())));
    let cut = joints.chain(words).filter(|(_, behind)| begins_as_question(sentence[*behind..].trim_start()));
    cut.map(|(at, _)| &sentence[..at]).min_by_key(|part| part.len()).unwrap_or_default()
}

/// Where in a message a staged scene begins, so that first-person words behind it are not the speaker's.
pub(crate) fn staged_from(message: &str) -> usize {
    STAGED_IN.as_ref().and_then(|staged| staged.find(message)).map_or(usize::MAX, |found| found.start())
}

/// A sentence with its evened text.
pub(crate) struct Sentence<'a> {
    /// Byte offset of the sentence in its message.
    pub(crate) start: usize,
    /// The evened text.
    pub(crate) even: Normal<'a>,
}

impl Sentence<'_> {
    /// The span in the message of a span in the evened text.
    pub(crate) fn span(&self, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let span = self.even.span(range);
        self.start + span.start..self.start + span.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_are_meant_are_earnest() {
        for before in
            ["", "honestly, ", "as i said, ", "i told you that ", "because ", "when i cook, ", "you know, "]
        {
            assert!(earnest(before, ""), "{before}");
        }
        for before in [
            "if ",
            "she said that ",
            "it's not that ",
            "i wouldn't say ",
            "oh great, ",
            "write a poem that says ",
            "why do ",
            "tom thinks ",
            "i wonder whether ",
        ] {
            assert!(!earnest(before, ""), "{before}");
        }
        assert!(!earnest("", ", said the critic"));
        assert!(earnest("", ", i said"));
    }

    #[test]
    fn a_statement_before_a_question_is_kept() {
        for (text, expected) in [
            ("I'm vegan, what can I cook?", "I'm vegan"),
            ("I hate cilantro so what can I use instead?", "I hate cilantro"),
            ("I love jazz, right?", ""),
            ("Why do I hate it, and what now?", ""),
            ("I love jazz.", "I love jazz."),
        ] {
            assert_eq!(stated(text), expected);
        }
    }

    #[test]
    fn a_staged_scene_is_noticed_where_it_begins() {
        assert_eq!(staged_from("Hello. Act as a nurse. I am tired."), 7);
        assert_eq!(staged_from("My name is Vanessa, how may I help you?"), 20);
        assert_eq!(staged_from("I act on it. You are right."), usize::MAX);
    }
}
