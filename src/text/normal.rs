use std::borrow::Cow;
use std::ops::Range;

/// A text made even for matching: lower case, and every typographic apostrophe a plain `'`. What is found in it can
/// be mapped back to the bytes of the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normal<'a> {
    text: Cow<'a, str>,
    /// For every place where the original is longer: the offset behind it here, and the bytes lost up to there.
    shifts: Vec<(usize, usize)>,
}

impl Normal<'_> {
    /// The text to match on.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The offset in the original of an offset in [`Normal::as_str`].
    pub fn original(&self, offset: usize) -> usize {
        let passed = self.shifts.partition_point(|(behind, _)| *behind <= offset);
        match passed.checked_sub(1).and_then(|last| self.shifts.get(last)) {
            Some((_, lost)) => offset + lost,
            None => offset,
        }
    }

    /// The span in the original of a span in [`Normal::as_str`].
    pub fn span(&self, range: Range<usize>) -> Range<usize> {
        self.original(range.start)..self.original(range.end)
    }
}

/// Lower-cases a text and straightens its apostrophes. Borrows where there is nothing to change.
///
/// A letter whose lower case has another length in UTF-8 (`İ`) is left as it is, so that offsets stay simple.
pub fn normal(text: &str) -> Normal<'_> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Normal { text: Cow::Borrowed(text), shifts: Vec::new() };
    }
    if text.is_ascii() {
        return Normal { text: Cow::Owned(text.to_ascii_lowercase()), shifts: Vec::new() };
    }
    let mut even = String::with_capacity(text.len());
    let mut shifts = Vec::new();
    let mut lost = 0;
    for letter in text.chars() {
        match letter {
            '’' | '‘' | 'ʼ' | '´' | '＇' => {
                even.push('\'');
                lost += letter.len_utf8() - 1;
                shifts.push((even.len(), lost));
            }
            _ => even.push(lower(letter)),
        }
    }
    Normal { text: Cow::Owned(even), shifts }
}

fn lower(letter: char) -> char {
    let mut lowered = letter.to_lowercase();
    match (lowered.next(), lowered.next()) {
        (Some(small), None) if small.len_utf8() == letter.len_utf8() => small,
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_match_behind_a_typographic_apostrophe_maps_back_to_its_own_bytes() {
        let text = "Ünlike you, I can’t stand ‘Olives’. I’M sure.";
        let even = normal(text);
        assert_eq!(even.as_str(), "ünlike you, i can't stand 'olives'. i'm sure.");
        for (here, there) in [("can't", "can’t"), ("olives", "Olives"), ("i'm", "I’M"), ("sure", "sure")]
        {
            let start = even.as_str().find(here).unwrap();
            assert_eq!(&text[even.span(start..start + here.len())], there);
        }
    }

    proptest! {
        #[test]
        fn every_char_boundary_maps_to_a_char_boundary(text in "[a-zA-Z’'İßŞ ẞK😀´]{0,40}") {
            let even = normal(&text);
            let mut last = 0;
            for (at, _) in even.as_str().char_indices().chain([(even.as_str().len(), ' ')]) {
                let there = even.original(at);
                prop_assert!(text.is_char_boundary(there) && there >= last);
                last = there;
            }
            prop_assert_eq!(last, text.len());
        }
    }
}
